"""Runs of jobs computed a few rows at a time: rows, rounds, segments and their steps."""
