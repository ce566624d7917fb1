"""From ``tile`` to a program: lower, place, emit."""
