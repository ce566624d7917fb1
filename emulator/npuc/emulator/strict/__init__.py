"""Strict mode: out-of-bounds accesses, uninitialised reads, races and deadlock, with witnesses."""

from npuc.emulator.strict.check import check
from npuc.emulator.strict.finding import Finding
from npuc.emulator.strict.waits import WaitField, redundant_waits, wait_fields, without_wait

__all__ = ["Finding", "WaitField", "check", "redundant_waits", "wait_fields", "without_wait"]
