"""The emulator: executes NPU binaries, exact in value and honest in time."""
