"""Which of several whole programs is the fastest, by the cycles of a timing engine (-O3)."""
