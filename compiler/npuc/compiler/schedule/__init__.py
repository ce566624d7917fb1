"""The scheduler: problems, tilings, their cost, the search, the decisions as data, tile loops."""
