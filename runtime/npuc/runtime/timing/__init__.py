"""One run, timed in other ways: under other machines, and by other simulators' conventions."""
