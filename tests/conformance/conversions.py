"""Conversions of streams on load and store, with explicit ties, by fractions and ``struct``."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from tests.conformance import exact
from tests.conformance.building import Run, Tensor, Vector, kernel, kernel_text
from tests.conformance.exact import INF, NAN, SIGN, bits_of
from tests.conformance.micro_ops import TYPES

LIMITS = {
    "i8": (-128, 127),
    "u8": (0, 255),
    "i16": (-(2**15), 2**15 - 1),
    "u16": (0, 2**16 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "i64": (-(2**31), 2**31 - 1),
}
HALVES = {"bf16": (8, -126, 127), "f16": (11, -14, 15)}


def half_bits(number: exact.Real, dtype: str, negative: bool) -> int:
    """The 16 bits of a number that is a bf16 or f16."""
    if isinstance(number, float) and math.isnan(number):
        return 0x7FC0 if dtype == "bf16" else 0x7E00
    if dtype == "bf16":
        return (exact.bits_of(float(number)) | (SIGN if negative else 0)) >> 16
    raw = struct.unpack("<H", struct.pack("<e", float(number)))[0]
    return raw | (0x8000 if negative else 0)


def to_half_bits(a: int, dtype: str) -> int:
    negative = bool(a & SIGN) and not exact.is_nan(a)
    return half_bits(exact.to_half(a, *HALVES[dtype]), dtype, negative)


def from_half_bits(raw: int, dtype: str) -> int:
    """The float32 with the value of 16 bits."""
    if dtype == "bf16":
        return exact.quiet(raw << 16)
    number = struct.unpack("<e", struct.pack("<H", raw))[0]
    return NAN if math.isnan(number) else bits_of(number)


def stored(a: int, domain: str, dtype: str) -> int:
    """One value of a domain as an element."""
    if dtype in HALVES:
        return to_half_bits(a if domain == "f" else exact.from_int(a), dtype)
    if dtype == "f32":
        return exact.quiet(a) if domain == "f" else exact.from_int(a)
    low, high = LIMITS[dtype]
    return exact.to_int(a, low, high) if domain == "f" else max(low, min(high, a))


def read(raw: int, dtype: str, domain: str) -> int:
    """One element as a value of a domain."""
    if dtype in HALVES or dtype == "f32":
        a = exact.quiet(raw) if dtype == "f32" else from_half_bits(raw, dtype)
        return a if domain == "f" else exact.to_int(a)
    return exact.from_int(raw) if domain == "f" else raw


def float_values() -> list[int]:
    """Ties at integers and at both halves, limits of every type, specials."""
    found = [0, SIGN, INF, SIGN | INF, 0x7FC00000, 0xFF800001, 1, SIGN | 1, 0x7F7FFFFF]
    for n in (0, 1, 2, 3, 126, 127, 128, 254, 255, 256, 32766, 32767, 65534, 65535, 65536):
        found += [bits_of(s * (n + 0.5)) for s in (1, -1)] + [bits_of(float(n)), bits_of(-float(n))]
    found += [bits_of(float(x)) for x in (2**31 - 128, 2**31, -(2**31), -(2**31) - 256, 2**32)]
    for high in (0x3F80, 0x3F81, 0x0080, 0x0001, 0x7F7F, 0x0000, 0xBF80, 0xBF81):  # bf16 ties
        found += [high << 16 | low for low in (0x7FFF, 0x8000, 0x8001)]
    for raw in (0x3C00, 0x3C01, 0x0400, 0x0001, 0x0000, 0x7BFF, 0xBC01, 0x03FF):  # f16 ties
        low = from_half_bits(raw, "f16")
        above = 0x47800000 if raw == 0x7BFF else from_half_bits(raw + 1, "f16")
        middle = exact.to_bits((exact.value(low) + exact.value(above)) / 2)
        found += [middle - 1, middle, middle + 1]
    return found


def int_values() -> list[int]:
    """Limits of every type and ties at 24, 11 and 8 bits."""
    found = [0, 1, -1]
    for low, high in LIMITS.values():
        found += [max(low - 1, -(2**31)), low, low + 1, high - 1, high, min(high + 1, 2**31 - 1)]
    for bits in (8, 11, 24):
        found += [s * (2**bits + d) for s in (1, -1) for d in (0, 1, 2, 3, 5)]
    # a tie of the double rounding to bf16 by way of float32
    return [*found, 2**30 + 2**22 + 1, 2**25 + 2, 2**25 + 6, 65519, 65520, -65520]


def store_cases() -> Iterator[Vector]:
    """Each domain into each element type."""
    for domain, numbers in (("f", float_values()), ("i", int_values())):
        for dtype in (*LIMITS, *HALVES, "f32"):
            inputs = {"x": Tensor(TYPES[domain], numbers)}
            outputs = {"y": Tensor(dtype, [stored(a, domain, dtype) for a in numbers])}
            # A micro-op makes the value one of its domain, whatever the element type.
            op = "minf in0, in0" if domain == "f" else "ori in0, in0"
            text = kernel(domain, (f"%0 = {op}", "store body %0"))
            yield Vector(
                f"{TYPES[domain]} to {dtype}",
                kernel_text(Run(text, len(numbers)), inputs, outputs),
                inputs,
                outputs,
            )


def load_cases() -> Iterator[Vector]:
    """Each element type into each domain; every encoding of 8 bits, many of 16."""
    halves = [0x7C00, 0xFC00, 0x7C01, 0x7F80, 0xFF80, 0x7FC1, 0x8000, *range(0, 2**16, 97)]
    pools = {
        dtype: list(range(low, high + 1))
        for dtype, (low, high) in LIMITS.items()
        if dtype in ("i8", "u8")
    }
    pools |= {"i16": [-(2**15), -1, 0, 1, 2**15 - 1], "u16": [0, 1, 2**15, 2**16 - 1]}
    pools |= {"i32": int_values(), "i64": int_values(), "f32": float_values()}
    pools |= dict.fromkeys(HALVES, halves)
    for dtype, elements in pools.items():
        for domain in "fi":
            inputs = {"x": Tensor(dtype, elements)}
            outputs = {"y": Tensor(TYPES[domain], [read(e, dtype, domain) for e in elements])}
            text = kernel(domain, ("store body in0",))
            yield Vector(
                f"{dtype} into {domain}",
                kernel_text(Run(text, len(elements)), inputs, outputs),
                inputs,
                outputs,
            )


def other_cases() -> Iterator[Vector]:
    """A NaN in a parameter; an int64 that does not fit."""
    inputs = {"x": Tensor("f32", [0x3F800000, SIGN])}
    outputs = {"y": Tensor("f32", [NAN, NAN])}
    run = Run(kernel("f", ("store body p0",)), 2, params="0xff812345")
    yield Vector("a parameter that is NaN", kernel_text(run, inputs, outputs), inputs, outputs)
    for number in (2**31, -(2**31) - 1, 2**40):
        inputs, outputs = {"x": Tensor("i64", [5, number])}, {"y": Tensor("i32", [0, 0])}
        text = kernel("i", ("store body in0",))
        yield Vector(
            f"i64 {number}", kernel_text(Run(text, 2), inputs, outputs), inputs, trap="does not fit"
        )


def cases() -> list[Vector]:
    """All cases of the file."""
    return [*store_cases(), *load_cases(), *other_cases()]
