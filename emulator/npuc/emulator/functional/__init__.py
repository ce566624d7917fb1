"""The functional pass: commands to values. ``plain`` is the truth, ``fast`` is checked by it."""
