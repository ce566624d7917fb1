"""Max pooling moved into the pieces of a concatenation: the same bits, and as ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.dialects.element_types import dtype_of
from npuc.compiler.dialects.nn import ConcatOp
from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.dtypes import DType
from tests.compiler.ops.cases import Case, Qdq

SCALES = st.floats(0.01, 0.3).map(lambda number: float(np.float32(number)))
ZEROS = st.integers(-128, 127)
AFFINE = st.tuples(SCALES, ZEROS)


def model_of(pieces: list[tuple[float, int]], reader: tuple[float, int]) -> Case:
    """Quantised pieces of rising widths from poolings, joined, pooled, quantised."""
    q = Qdq(3)
    inputs = [q.act(q.b.input((1, 2 + i, 7, 7), scale=4)) for i in range(len(pieces))]
    pooled = [q.b.node("MaxPool", x, kernel_shape=[2, 2]) for x in inputs]
    parts = [q.act(x, *affine) for x, affine in zip(pooled, pieces, strict=True)]
    x = q.b.node("Concat", *parts, axis=1)
    y = q.b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return q.b.case("pieces", q.act(y, *reader))


def normalised(case: Case) -> tuple[list[np.ndarray], ModuleOp]:
    """The outputs before and after normalise, and the graph after it."""
    modules: dict[str, ModuleOp] = {}
    observers = Observers(after_stage=lambda stage, m: modules.__setitem__(stage, m.clone()))
    options = CompileOptions(stop_after="normalise")
    result = compile_model(case.model.SerializeToString(), options, observers=observers)
    stages = ("import", "normalise")
    values = [evaluate(modules[s], case.inputs, result.ctx.consts) for s in stages]
    return [next(iter(v.values())) for v in values], modules["normalise"]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(pieces=st.lists(AFFINE, min_size=2, max_size=3), reader=AFFINE)
def test_pieces_give_the_bits_of_the_whole(
    pieces: list[tuple[float, int]], reader: tuple[float, int]
) -> None:
    case = model_of(pieces, reader)
    (before, after), module = normalised(case)
    np.testing.assert_array_equal(after, before)
    (want,) = ort.InferenceSession(case.model.SerializeToString()).run(None, case.inputs)
    np.testing.assert_allclose(after, want, atol=reader[0] * 1.01)
    joined = [op for op in module.walk() if isinstance(op, ConcatOp)]
    assert [dtype_of(op.result) for op in joined] == [DType.i8]


def test_a_concatenation_with_another_reader_stays_whole() -> None:
    q = Qdq(3)
    inputs = [q.b.node("MaxPool", q.b.input((1, 2, 5, 5)), kernel_shape=[2, 2]) for _ in range(2)]
    parts = [q.act(x, scale) for x, scale in zip(inputs, (0.05, 0.07), strict=True)]
    x = q.b.node("Concat", *parts, axis=1)
    case = q.b.case("shared", q.b.node("MaxPool", x, kernel_shape=[2, 2]), x)
    _, module = normalised(case)
    (joined,) = (op for op in module.walk() if isinstance(op, ConcatOp))
    assert dtype_of(joined.result) is DType.f32
