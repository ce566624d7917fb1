"""Passes of the graph and tile levels, one file each."""
