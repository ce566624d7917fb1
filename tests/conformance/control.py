"""Scalar, flow, map and word instructions; results leave through ``stw``. Worked out in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.conformance.building import Tensor, Vector, assembled, header

W = 2**64
PAIRS = [(0, 0), (5, 3), (-5, 3), (2**63 - 1, 1), (-(2**63), -1), (2**62, 65), (-1, 2**40), (7, -7)]


def wrap64(x: int) -> int:
    return (x + 2**63) % W - 2**63


SCALAR: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: wrap64(a + b),
    "sub": lambda a, b: wrap64(a - b),
    "mul": lambda a, b: wrap64(a * b),
    "min": min,
    "max": max,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: wrap64(a << (b & 63)),
    "shr": lambda a, b: a >> (b & 63),
    "slt": lambda a, b: int(a < b),
    "seq": lambda a, b: int(a == b),
}


def giving(
    name: str, code: Sequence[str], results: Sequence[int], more: Sequence[str] = ()
) -> Vector:
    """A program whose code stores its results with ``stw`` into output y."""
    outputs = {"y": Tensor("i64", list(results))}
    return Vector(name, assembled([*header({}, outputs), *more], code), {}, outputs)


def scalar_cases() -> Iterator[Vector]:
    for name, operation in SCALAR.items():
        code, results = [], []
        for a, b in PAIRS:
            at = 8 * len(results)
            code += [
                f"add r1, r0, {a}",
                f"add r2, r0, {b}",
                f"{name} r3, r1, r2",
                f"stw r3, {at}, output, i64",
                f"{name} r4, r1, {b}",
                f"stw r4, {at + 8}, output, i64",
            ]
            results += [operation(a, b)] * 2
        code += ["add r0, r0, 9", f"stw r0, {8 * len(results)}, output, i64"]
        yield giving(name, code, [*results, 0])


def flow_cases() -> Iterator[Vector]:
    count = "add r1, r1, 1"
    show = "stw r1, 0, output, i64"
    yield giving("loop", ["loop 3 {", count, "loop 2 {", "add r1, r1, 10", "}", "}", show], [63])
    yield giving(
        "loop of no trips",
        [
            "loop 0 {",
            count,
            "}",
            "loop -2 {",
            count,
            "}",
            "add r2, r0, 4",
            "loop r2 - 1 {",
            count,
            "}",
            show,
        ],
        [3],
    )
    yield giving(
        "break",
        ["loop 9 {", count, "slt r3, r0, r1 - 4", "break r3", "add r1, r1, 0", "}", show],
        [5],
    )
    yield giving(
        "break of the inner loop",
        [
            "loop 3 {",
            "loop 5 {",
            count,
            "break r1",
            "}",
            "add r2, r2, 100",
            "}",
            show,
            "stw r2, 8, output, i64",
        ],
        [3, 300],
    )
    yield giving(
        "bnz", ["add r2, r0, 3", "again:", count, "sub r2, r2, 1", "bnz r2, again", show], [3]
    )
    yield giving("jump", ["jump over", count, count, "over:", count, show], [1])
    nested = [f"loop {2} {{"] * 8 + [count] + ["}"] * 8
    yield giving("eight loops", [*nested, show], [256])
    yield giving("halt", [show, "jump on", "on:", count], [0])
    outputs = {"y": Tensor("i64", [0])}
    yield Vector("trap", assembled(header({}, outputs), ["trap 77"]), {}, trap="77")


def word_cases() -> Iterator[Vector]:
    raw = Tensor("i64", [-2, 0x0123456789ABCDEF])
    inputs = {"x": raw}
    data = raw.raw
    code, results = [], []
    for dtype, size in (("i64", 8), ("i32", 4), ("i16", 2), ("i8", 1), ("u16", 2), ("u8", 1)):
        for at in (0, 5, 8):
            code += [f"ldw r1, {at}, input, {dtype}", f"stw r1, {8 * len(results)}, output, i64"]
            results.append(int.from_bytes(data[at : at + size], "little", signed=dtype[0] == "i"))
    outputs = {"y": Tensor("i64", results)}
    yield Vector("ldw", assembled(header(inputs, outputs), code), inputs, outputs)
    code = [
        "add r1, r0, -1",
        "stw r1, 0, spm, i64",
        "add r1, r0, 0x1122334455667788",
        "stw r1, 1, spm, i32",
        "stw r1, 6, spm, u8",
        "ldw r2, 0, spm, i64",
        "stw r2, 0, output, i64",
        "stw r1, 8, output, u16",
    ]
    spm = bytearray(b"\xff" * 8)
    spm[1:5], spm[6:7] = b"\x88\x77\x66\x55", b"\x88"
    expected = [int.from_bytes(spm, "little", signed=True), 0x7788]
    yield giving("stw", code, expected)
    lines = ['.target "tiny"', '.argument "n" i32 [2] at 0', '.output "y" i64 [1] at 0']
    code = ["ldw r1, 4, arguments, i32", "stw r1, 0, output, i64"]
    yield Vector(
        "the argument block",
        assembled(lines, code),
        {"n": Tensor("i32", [1, -9])},
        {"y": Tensor("i64", [-9])},
    )
    lines = ['.target "tiny"', '.output "y" i64 [1] at 0', '.state "s" i64 [1] at 0']
    code = [
        "ldw r1, 0, state, i64",
        "stw r1, 0, output, i64",
        "add r1, r1, 1",
        "stw r1, 0, state, i64",
    ]
    yield Vector(
        "a state",
        assembled(lines, code),
        {},
        {"y": Tensor("i64", [41]), "s": Tensor("i64", [42])},
        states={"s": Tensor("i64", [41])},
    )


def map_cases() -> Iterator[Vector]:
    x = Tensor("i16", list(range(100, 120)))
    inputs = {"x": x}
    maps = [".map m0 = input i16 0 [20:2] box [4:2]", ".map m1 = output i16 0 [4:2] box [4:2]"]
    load = [
        "mld 3, 0",
        "mset 3, 0, 16, base",
        "mset 3, 0, 3, extent",
        "add r5, r0, 4",
        "mset 3, 0, r5, stride",
        "ldm 3, spm=64, ld0 inc 0",
        "mset 3, 0, 0, base",
    ]
    outputs = {"y": Tensor("i16", [108, 110, 112, 0])}
    code = [*load, "st m1, spm=64 wait ld0[0] >= 1"]
    yield Vector(
        "mld, mset, ldm", assembled([*header(inputs, outputs), *maps], code), inputs, outputs
    )
    code = [
        "ld m0, i0=2, ld0 inc 0",
        "mld 0, 1",
        "mset 0, 0, 2, extent",
        "stm 0, i0=-1 wait ld0[0] >= 1",
        "mset 0, 0, 4, base",
        "stm 0, i0=0 wait ld0[0] >= 1",
    ]
    outputs = {"y": Tensor("i16", [103, 104, 102, 103])}
    yield Vector("stm", assembled([*header(inputs, outputs), *maps], code), inputs, outputs)


def cases() -> list[Vector]:
    """All cases of the file."""
    return [*scalar_cases(), *flow_cases(), *word_cases(), *map_cases()]
