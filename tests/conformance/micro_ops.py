"""Each vector micro-op on special and random operands, by exact fractions and Python integers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import reduce

from tests.conformance import exact, functions
from tests.conformance.building import Run, Tensor, Vector, kernel, kernel_text
from tests.conformance.exact import INF, SIGN, bits_of, wrap

FLOATS = [0, SIGN, 1, SIGN | 1, 0x007FFFFF, 0x00800000, INF, SIGN | INF, 0x7FC00000, 0xFFC00001,
          0x7F800001, 0x7F7FFFFF, 0xFF7FFFFF] + [bits_of(x) for x in (
    1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 3.0, -0.75, 0.625, 0.925, 4.0, 126.5, -149.5, 16777216.0,
    2147483648.0, -2147483648.0, 1e10)]  # fmt: skip
INTEGERS = [0, 1, -1, 2, -2, 3, 7, -7, 31, 32, 33, 255, 256, 2**16, 2**24 + 1, 2**31 - 1,
            -(2**31), -(2**31) + 1, 0x55555555, -0x12345678]  # fmt: skip
EVEN, UP, AWAY = "half_even", "half_up", "half_away"
Operation = Callable[..., int]


def _ordered(a: int, b: int) -> tuple[bool, bool]:
    """(a < b, a == b) of floats: NaN is neither, -0 equals +0."""
    if exact.is_nan(a) or exact.is_nan(b):
        return False, False
    x, y = exact.value(a), exact.value(b)
    return x < y, x == y


def _divided(a: int, b: int) -> int:
    return wrap(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))


def philox(counter: int, key: int) -> int:
    c, k = [counter % 2**32, 0, 0, 0], [key % 2**32, 0]
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [q >> 32 ^ c[1] ^ k[0], q % 2**32, p >> 32 ^ c[3] ^ k[1], p % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[0]


ELEMENTWISE: dict[str, tuple[str, Operation]] = {
    "addf": ("ff>f", exact.add),
    "subf": ("ff>f", exact.sub),
    "mulf": ("ff>f", exact.mul),
    "divf": ("ff>f", exact.div),
    "minf": ("ff>f", exact.smaller),
    "maxf": ("ff>f", exact.larger),
    "absf": ("f>f", lambda a: exact.quiet(a) if exact.is_nan(a) else a & ~SIGN),
    "negf": ("f>f", exact.negated),
    "floorf": ("f>f", lambda a: exact.integral(a, lambda x: x.__floor__())),
    "ceilf": ("f>f", lambda a: exact.integral(a, lambda x: x.__ceil__())),
    "roundf": ("f>f", lambda a: exact.integral(a, round)),
    "exp2": ("f>f", functions.exp2),
    "log2": ("f>f", functions.log2),
    "recip": ("f>f", lambda a: exact.div(functions.ONE, a)),
    "sqrt": ("f>f", exact.sqrt),
    "rsqrt": ("f>f", lambda a: exact.div(functions.ONE, exact.sqrt(a))),
    "sin": ("f>f", functions.sin),
    "cos": ("f>f", functions.cos),
    "tanh": ("f>f", functions.tanh),
    "erf": ("f>f", functions.erf),
    "ltf": ("ff>i", lambda a, b: int(_ordered(a, b)[0])),
    "lef": ("ff>i", lambda a, b: int(any(_ordered(a, b)))),
    "eqf": ("ff>i", lambda a, b: int(_ordered(a, b)[1])),
    "nef": ("ff>i", lambda a, b: int(not _ordered(a, b)[1])),
    "addi": ("ii>i", lambda a, b: wrap(a + b)),
    "subi": ("ii>i", lambda a, b: wrap(a - b)),
    "muli": ("ii>i", lambda a, b: wrap(a * b)),
    "divi": ("ii>i", _divided),
    "mini": ("ii>i", min),
    "maxi": ("ii>i", max),
    "absi": ("i>i", lambda a: wrap(abs(a))),
    "negi": ("i>i", lambda a: wrap(-a)),
    "andi": ("ii>i", lambda a, b: a & b),
    "ori": ("ii>i", lambda a, b: a | b),
    "xori": ("ii>i", lambda a, b: a ^ b),
    "shli": ("ii>i", lambda a, b: wrap(a << (b & 31))),
    "shri": ("ii>i", lambda a, b: a >> (b & 31)),
    "shrui": ("ii>i", lambda a, b: wrap(a % 2**32 >> (b & 31))),
    "lti": ("ii>i", lambda a, b: int(a < b)),
    "lei": ("ii>i", lambda a, b: int(a <= b)),
    "eqi": ("ii>i", lambda a, b: int(a == b)),
    "nei": ("ii>i", lambda a, b: int(a != b)),
    "randi": ("ii>i", lambda a, b: wrap(philox(a, b))),
    "i2f": ("i>f", exact.from_int),
    "f2i": ("f>i", exact.to_int),
    "selectf": ("iff>f", lambda c, a, b: exact.quiet(a if c else b)),
    "selecti": ("iii>i", lambda c, a, b: a if c else b),
    "randf": ("ii>f", lambda a, b: exact.to_bits(exact.Fraction(philox(a, b) >> 8, 2**24))),
}
TYPES = {"f": "f32", "i": "i32"}


def operands(signature: str, seed: int) -> list[list[int]]:
    """Columns of operands: all pairs of specials for two operands, then random ones."""
    rng = random.Random(seed)
    domains = signature.split(">", maxsplit=1)[0]
    pools = {"f": FLOATS, "i": INTEGERS}
    rows: list[tuple[int, ...]]
    if len(domains) == 1:
        rows = [(x,) for x in pools[domains]]
    else:
        pairs = [(a, b) for a in pools[domains[-2]][::2] for b in pools[domains[-1]]]
        rows = [(0, *p) if len(domains) == 3 else p for p in pairs]
        rows += [(5, *p) for p in pairs[:20]] if len(domains) == 3 else []
    for _ in range(60):
        rows.append(tuple(_random(rng, domain) for domain in domains))
    return [list(column) for column in zip(*rows, strict=True)]


def _random(rng: random.Random, domain: str) -> int:
    if domain == "i":
        return rng.randrange(-(2**31), 2**31)
    return rng.choice((rng.randrange(2**32), bits_of(rng.randrange(-4096, 4096) / 256)))


def elementwise_cases() -> Iterator[Vector]:
    """Every micro-op of operands alone."""
    for number, (name, (signature, operation)) in enumerate(ELEMENTWISE.items()):
        columns = operands(signature, number)
        if name == "divi":
            columns = [list(c) for c in zip(*(r for r in zip(*columns, strict=True) if r[1]),
                                            strict=True)]  # fmt: skip
        domains, result = signature.split(">")
        inputs = {
            f"x{i}": Tensor(TYPES[d], c)
            for i, (d, c) in enumerate(zip(domains, columns, strict=True))
        }
        found = [operation(*row) for row in zip(*columns, strict=True)]
        outputs = {"y": Tensor(TYPES[result], found)}
        named = ", ".join(f"in{i}" for i in range(len(domains)))
        text = kernel(domains, (f"%0 = {name} {named}", "store body %0"))
        yield Vector(name, kernel_text(Run(text, len(found)), inputs, outputs), inputs, outputs)


def _shifted(product: int, shift: int, mode: str) -> int:
    quotient = exact.Fraction(product, 2**shift)
    low = quotient.__floor__()
    if quotient - low != exact.Fraction(1, 2):
        found = round(quotient)
    elif mode == EVEN:
        found = low + low % 2
    else:
        found = low + 1 if mode == UP or product > 0 else low
    return max(-(2**31), min(2**31 - 1, found))


def immediate_cases() -> Iterator[Vector]:
    """Micro-ops with an immediate: mulshift, index, tables."""
    for mode_number, mode in enumerate((UP, EVEN, AWAY)):
        for shift in (1, 31, 62):
            x, y = operands("ii>i", shift)
            x, y = [*x, 3, -3, 5, -5], [*y, 2 ** (shift - 1) if shift < 32 else 1, 1, 1, 1]
            found = [_shifted(a * b, shift, mode) for a, b in zip(x, y, strict=True)]
            inputs = {"x0": Tensor("i32", x), "x1": Tensor("i32", y)}
            code = shift + 64 * mode_number
            lines = (f"%0 = mulshift in0, in1 # {code}", "store body %0")
            outputs = {"y": Tensor("i32", found)}
            run = Run(kernel("ii", lines), len(found))
            yield Vector(f"mulshift {mode} by {shift}", kernel_text(run, inputs, outputs),
                         inputs, outputs)  # fmt: skip
    index = Tensor("i32", list(range(40)))
    inputs = {"x0": Tensor("i32", [7] * 40)}
    lines = ("%0 = index # 3", "%1 = muli in0, p0", "%2 = addi %0, %1", "store body %2")
    run = Run(kernel("i", lines), 40, params="0")
    yield Vector("index", kernel_text(run, inputs, {"y": index}), inputs, {"y": index})
    words = [(i * 0x9E3779B1) % 2**32 for i in range(256)]
    words[9], words[10] = 0xFF800001, 0x7FFFFFFF
    rows = [b"".join(w.to_bytes(4, "little") for w in words[i : i + 8]).hex()
            for i in range(0, 256, 8)]  # fmt: skip
    table = ".table t0 {\n" + "\n".join(f"  {row}" for row in rows) + "\n}"
    at = [0, 1, 9, 10, 255, 256, -1, -256, 2**31 - 1, -(2**31), 1000]
    for name, dtype in (("tablei", "i32"), ("tablef", "f32")):
        found = [words[i % 256] for i in at]
        found = [wrap(w) for w in found] if dtype == "i32" else [exact.quiet(w) for w in found]
        inputs, outputs = {"x0": Tensor("i32", at)}, {"y": Tensor(dtype, found)}
        run = Run(kernel("i", (f"%0 = {name} in0 # 0", "store body %0")), len(at), more=(table,))
        yield Vector(name, kernel_text(run, inputs, outputs), inputs, outputs)


def in_order(step: Operation) -> Callable[[list[int]], int]:
    """The written order of float sums and products."""

    def run(x: list[int]) -> int:
        if len(x) <= 32:
            return exact.quiet(reduce(step, x))
        partial = [reduce(step, x[lane::16]) for lane in range(16)]
        while len(partial) > 1:
            partial = [step(a, b) for a, b in zip(partial[::2], partial[1::2], strict=True)]
        return partial[0]

    return run


def _arg(x: list[int], sign: int, domain: str) -> int:
    if domain == "i":
        return x.index(min(x, key=lambda v: sign * v))
    nan = [i for i, v in enumerate(x) if exact.is_nan(v)]
    return nan[0] if nan else min(range(len(x)), key=lambda i: (sign * exact.value(x[i]), i))


REDUCTIONS: dict[str, tuple[str, Callable[..., int]]] = {
    "sumf": ("f>f", in_order(exact.add)),
    "prodf": ("f>f", in_order(exact.mul)),
    "rminf": ("f>f", lambda x: exact.quiet(reduce(exact.smaller, x))),
    "rmaxf": ("f>f", lambda x: exact.quiet(reduce(exact.larger, x))),
    "sumi": ("i>i", lambda x: wrap(sum(x))),
    "rmini": ("i>i", min),
    "rmaxi": ("i>i", max),
    "mac8": ("ii>i", lambda x, y: wrap(sum(a * b for a, b in zip(x, y, strict=True)))),
    "prodi": ("i>i", lambda x: wrap(reduce(lambda a, b: a * b, x))),
    "argminf": ("f>i", lambda x: _arg(x, 1, "f")),
    "argmaxf": ("f>i", lambda x: _arg(x, -1, "f")),
    "argmini": ("i>i", lambda x: _arg(x, 1, "i")),
    "argmaxi": ("i>i", lambda x: _arg(x, -1, "i")),
}


def _rows(rng: random.Random, domain: str, points: int, length: int) -> list[int]:
    x = [_random(rng, domain) if domain == "i" else bits_of(rng.randrange(-9999, 9999) / 1024)
         for _ in range(points * length)]  # fmt: skip
    if domain == "f":  # the last row has specials: one NaN, else infinities and zeros
        x[-length:] = [rng.choice((0, SIGN, INF, 0x3F800000)) for _ in range(length)]
        x[-1] = rng.choice((0xFF800001, INF))
    return x


def reduction_cases() -> Iterator[Vector]:
    """Every reduction over 1, 5, 32, 33 and 70 elements."""
    for number, (name, (signature, operation)) in enumerate(REDUCTIONS.items()):
        rng = random.Random(1000 + number)
        domains, result = signature.split(">")
        for length in (1, 5, 32, 33, 70):
            points = 3
            columns = [_rows(rng, domain, points, length) for domain in domains]
            found = [
                operation(*(c[p * length : (p + 1) * length] for c in columns))
                for p in range(points)
            ]
            inputs = {
                f"x{i}": Tensor(TYPES[d], c)
                for i, (d, c) in enumerate(zip(domains, columns, strict=True))
            }
            outputs = {"y": Tensor(TYPES[result], found)}
            named = ", ".join(f"in{i}" for i in range(len(domains)))
            lines = (f"%0 = {name} {named}", "epilogue:", "store epilogue %0")
            run = Run(kernel(domains, lines), points, length)
            yield Vector(f"{name} of {length}", kernel_text(run, inputs, outputs), inputs, outputs)


def trap_cases() -> Iterator[Vector]:
    """A division by zero."""
    inputs = {"x0": Tensor("i32", [6, 7]), "x1": Tensor("i32", [3, 0])}
    text = kernel("ii", ("%0 = divi in0, in1", "store body %0"))
    outputs = {"y": Tensor("i32", [0, 0])}
    yield Vector("divi by zero", kernel_text(Run(text, 2), inputs, outputs), inputs,
                 trap="division by zero")  # fmt: skip


def cases() -> list[Vector]:
    """All cases of the file."""
    return [*elementwise_cases(), *immediate_cases(), *reduction_cases(), *trap_cases()]
