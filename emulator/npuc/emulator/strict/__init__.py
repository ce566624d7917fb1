"""Strict mode: what the machine's definition leaves without a meaning, with witnesses."""

from npuc.emulator.strict.check import Strict, check
from npuc.emulator.strict.finding import Finding
from npuc.emulator.strict.taxonomy import KINDS, finding_of, is_fault
from npuc.emulator.strict.waits import WaitField, redundant_waits, wait_fields, without_wait

__all__ = [
    "KINDS",
    "Finding",
    "Strict",
    "WaitField",
    "check",
    "finding_of",
    "is_fault",
    "redundant_waits",
    "wait_fields",
    "without_wait",
]
