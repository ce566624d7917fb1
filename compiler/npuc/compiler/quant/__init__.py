"""Precision: quantised patterns become integer work; after it every value is fixed to the bit."""
