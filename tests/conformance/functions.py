"""The published vector functions once more, in exact fractions, from ``docs/isa/numerics.md``."""

from fractions import Fraction

from tests.conformance.exact import (
    INF,
    NAN,
    SIGN,
    add,
    bits_of,
    div,
    from_int,
    integral,
    is_nan,
    key,
    mul,
    negated,
    sub,
    to_bits,
    value,
)

ONE, HALF, TWO = (bits_of(x) for x in (1.0, 0.5, 2.0))
EXP2 = (0x3E45C861, 0x3E75FDEE, 0x3D635788, 0x3C1D96C6, 0x3AAF97F4, 0x3920E453)
LOG = (0x3EAAAAA4, 0xBE800003, 0x3E4CD23B, 0xBE2AAE22, 0x3E119DD1, 0xBDFE1465, 0x3DF36006,
       0xBDEF00F1, 0x3D8A39A0)  # fmt: skip
LOG2_E_LESS_ONE, TWO_LOG2_E = 0x3EE2A8ED, 0x4038AA3B
TANH_LIMIT = 0x3F200000
TANH = (0xBEAAAAAA, 0x3E08883D, 0xBD5CF8C4, 0x3CB1D2A8, 0xBC062F68, 0x3B0D140B)
ERF_LIMIT, ERF_TAIL_LIMIT = 0x3F6CCCCD, 0x40800000
ERF = (0x3E0375D4, 0xBEC093A1, 0x3DE716F7, 0xBCDC0694, 0x3BAA5F9C, 0xBA55073B, 0x38AE3BFC)
ERF_TAIL = (0xB98522D4, 0x3FD09541, 0x3F69E8BD, 0x3E1FFC5D, 0xBD147E71, 0x3BC55B5A, 0xBA2499D5,
            0x38000E1B)  # fmt: skip
QUARTER_PI = 0x3F490FDB
SIN = (0xBE2AAAAB, 0x3C0888BB, 0xB9502DDD, 0x363E6C20)
COS = (0x3D2AAAAB, 0xBAB60BB1, 0x37D03AF4, 0xB49B921D)
PI_HALF, PI_HALF_HIGH, PI_HALF_LOW = 0x3FC90FDB, 0x3FC90000, 0x39FDAA22
TWO_OVER_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE  # 200 fraction bits


def polynomial(x: int, coefficients: tuple[int, ...]) -> int:
    result = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        result = add(mul(result, x), coefficient)
    return result


def power(exponent: int) -> int:
    return (exponent + 127) << 23


def below(a: int, b: int) -> bool:
    return not is_nan(a) and key(a) < key(b)


def exp2(x: int) -> int:
    if is_nan(x):
        return NAN
    low, high = bits_of(-152.0), bits_of(129.0)
    number = max(min(x, high, key=key), low, key=key)
    whole = integral(number, round)
    fraction = sub(number, whole)
    half = mul(fraction, HALF)
    leading = add(ONE, half)
    lost = sub(half, sub(leading, ONE))
    mantissa = add(leading, add(lost, mul(fraction, polynomial(fraction, EXP2))))
    exponent = int(value(whole))
    first = exponent >> 1
    return mul(mul(mantissa, power(first)), power(exponent - first))


def log2(x: int) -> int:
    if is_nan(x) or (x & SIGN and x != SIGN):
        return NAN
    if x in (0, SIGN):
        return SIGN | INF
    if x == INF:
        return INF
    is_subnormal = x < 0x00800000
    scaled = mul(x, bits_of(2.0**23)) if is_subnormal else x
    offset = scaled - 0x3F3504F3
    exponent = (offset >> 23) - (23 if is_subnormal else 0)
    f = sub((offset & 0x7FFFFF) + 0x3F3504F3, ONE)
    square = mul(f, f)
    tail = sub(mul(mul(square, f), polynomial(f, LOG)), mul(square, HALF))
    inner = add(mul(tail, LOG2_E_LESS_ONE), mul(f, LOG2_E_LESS_ONE))
    return add(from_int(exponent), add(f, add(tail, inner)))


def tanh(x: int) -> int:
    if is_nan(x):
        return NAN
    a = x & ~SIGN
    z = mul(a, a)
    if below(a, TANH_LIMIT):
        result = add(a, mul(a, mul(z, polynomial(z, TANH))))
    else:
        result = sub(ONE, div(TWO, add(exp2(mul(a, TWO_LOG2_E)), ONE)))
    return result | x & SIGN


def erf(x: int) -> int:
    if is_nan(x):
        return NAN
    a = x & ~SIGN
    if below(a, ERF_LIMIT):
        result = add(a, mul(a, polynomial(mul(a, a), ERF)))
    else:
        clipped = min(a, ERF_TAIL_LIMIT, key=key)
        result = sub(ONE, exp2(negated(polynomial(clipped, ERF_TAIL))))
    return result | x & SIGN


def _angle(magnitude: int) -> tuple[int, int]:
    """(angle, quadrant) of a finite magnitude."""
    if not key(magnitude) > key(QUARTER_PI):
        return magnitude, 0
    mantissa, exponent = magnitude & 0x7FFFFF | 0x800000, (magnitude >> 23) - 150
    whole = (TWO_OVER_PI >> (200 - (exponent + 94))) % 2**96
    high, middle, low = whole >> 64, whole >> 32 & 0xFFFFFFFF, whole & 0xFFFFFFFF
    turns = ((high * mantissa << 32) + middle * mantissa + (low * mantissa >> 32)) % 2**64
    quadrant = (turns + 2**61) % 2**64 >> 62
    rest = (turns - (quadrant << 62) + 2**63) % 2**64 - 2**63
    head = from_int(rest) & 0xFFFFF000
    tail = from_int(rest - int(value(head)))
    correction = add(mul(head, PI_HALF_LOW), mul(tail, PI_HALF))
    scaled = add(mul(head, PI_HALF_HIGH), correction)
    return to_bits(Fraction(value(scaled)) / 2**62), quadrant


def _sine(angle: int, quadrant: int) -> int:
    square = mul(angle, angle)
    if quadrant & 1:
        fourth = mul(square, square)
        loss = sub(mul(square, HALF), mul(fourth, polynomial(square, COS)))
        result = sub(ONE, loss)
    else:
        result = add(angle, mul(angle, mul(square, polynomial(square, SIN))))
    return negated(result) if quadrant & 2 else result


def sin(x: int) -> int:
    if x & ~SIGN >= INF:
        return NAN
    result = _sine(*_angle(x & ~SIGN))
    return negated(result) if x & SIGN else result


def cos(x: int) -> int:
    if x & ~SIGN >= INF:
        return NAN
    angle, quadrant = _angle(x & ~SIGN)
    return _sine(angle, quadrant + 1)
