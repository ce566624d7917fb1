"""Compiled kernels that carry out records of commands; ``encode`` makes records of works."""
