"""The textual form of a program: grammar, and how each part is written and read."""
