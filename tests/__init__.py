"""Tests of npuc: they mirror the four source folders, plus golden, conformance, e2e and bench."""
