"""``npuc opt``: chosen passes over IR text."""
