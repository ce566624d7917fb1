"""The runtime: runs, verifies and profiles programs, and offers the command line."""
