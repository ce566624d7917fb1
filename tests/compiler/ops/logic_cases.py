"""Operator cases of comparisons, logic, selection by bools and by indices, integers."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tests.compiler.ops.case import F32, I8, Builder, Case

I32, I64 = TensorProto.INT32, TensorProto.INT64


def whole(b: Builder, shape: tuple[int, ...], kind: int, low: int = -9, high: int = 9) -> str:
    """An input of small integers."""
    name = f"in{len(b.inputs)}"
    dtype = {I32: np.int32, I64: np.int64, F32: np.float32}[kind]
    b.input(shape)
    b.inputs[name] = b.rng.integers(low, high + 1, shape).astype(dtype)
    b.infos[-1].type.tensor_type.elem_type = kind
    return name


def comparison(op: str, kind: int) -> Case:
    b = Builder(len(op))
    y = b.node(op, whole(b, (3, 4), kind, -2, 2), whole(b, (4,), kind, -2, 2))
    return b.case(f"{op.lower()}_{kind}", b.node("Cast", y, to=F32), exact=True)


def logic() -> Case:
    b = Builder(3)
    x, zero = whole(b, (4, 5), F32, -1, 1), b.const(np.float32(0))
    positive, negative = b.node("Greater", x, zero), b.node("Less", x, zero)
    either = b.node("Or", positive, negative)
    odd = b.node("Xor", either, b.node("Not", b.node("And", positive, either)))
    moved = b.node("Reshape", odd, b.const(np.asarray([2, 10], np.int64)))
    return b.case("logic", b.node("Cast", moved, to=I8), exact=True, kind=I8)


def where(kind: int) -> Case:
    b = Builder(5)
    x, y = whole(b, (2, 3, 4), kind), whole(b, (3, 1), kind)
    mask = b.const(np.asarray([True, False, True, True]))
    condition = b.node("And", b.node("Greater", x, y), mask)
    z = b.node("Where", condition, x, y)
    return b.case(f"where_{kind}", z, exact=True, kind=kind)


def mask() -> Case:
    """What attention does to positions that must not be seen."""
    b = Builder(6)
    x, seen = b.input((2, 4, 4)), b.const(np.tri(4, dtype=np.bool_))
    low = b.node("Where", seen, x, b.const(np.float32(-1e9)))
    nan = b.node("Not", b.node("IsNaN", low))
    return b.case("mask", b.node("Softmax", b.node("Where", nan, low, x)))


def to_bool(kind: int) -> Case:
    b = Builder(7)
    y = b.node("Cast", whole(b, (3, 5), kind, -1, 1), to=TensorProto.BOOL)
    return b.case(f"cast_to_bool_{kind}", b.node("Cast", y, to=F32), exact=True)


def integers(kind: int) -> Case:
    b = Builder(8)
    x, y = whole(b, (2, 5), kind), whole(b, (5,), kind)
    z = b.node("Mul", b.node("Sub", b.node("Add", x, y), b.node("Max", x, y, x)), y)
    z = b.node("Abs", b.node("Neg", b.node("Min", z, x)))
    return b.case(f"integers_{kind}", z, exact=True, kind=kind)


def gather(axis: int, kind: int, shape: tuple[int, ...]) -> Case:
    b = Builder(axis + 9)
    table = whole(b, (3, 4, 5), kind) if kind != F32 else b.input((3, 4, 5))
    size = (3, 4, 5)[axis]
    y = b.node("Gather", table, whole(b, shape, I64, -size, size - 1), axis=axis)
    return b.case(f"gather_{axis}_{kind}_{len(shape)}", y, exact=True, kind=kind)


def embedding() -> Case:
    b = Builder(11)
    rows = b.node("Gather", b.weights(7, 6), whole(b, (2, 3), I64, 0, 6))
    return b.case("embedding", b.node("MatMul", rows, b.weights(6, 4)))


LOGIC_CASES: list[Case] = [
    *(
        comparison(op, kind)
        for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
        for kind in (F32, I64)
    ),
    logic(),
    where(F32),
    where(I32),
    mask(),
    to_bool(F32),
    to_bool(I32),
    integers(I32),
    integers(I64),
    gather(0, F32, (2, 2)),
    gather(1, I32, (6,)),
    gather(2, F32, ()),
    embedding(),
]
