"""Known architectures with seeded weights, from ONNX to the machine, in float32, bf16, int8.

The emulator must equal the nn level bit for bit, on every target; ONNX Runtime, optimisations off,
judges both: float32 within rounding; bf16 within what verify states; int8 within a few steps, for
its float accumulation rounds some ties to the other side: without bias, in 0.3 % of the elements of
one average pooling, and from there on in more (its own two levels of optimisation differ alike).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

from models.zoo import NAMES, build, quantised
from models.zoo.quantise import seeded_inputs
from npuc.compiler.interpreter import Memo, evaluate
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import run
from npuc.runtime.verification.comparison import NARROW_FRACTIONS
from tests.e2e.whole_path import FIXED, Tensors, assert_same_bits, compile_watched, onnx_runtime

pytest.importorskip("onnxruntime")

QUICK = (("mobilenet_v2", "int8"), ("light_squeezenet", "int8"))
LARGE = ("light_bvlc_alexnet", "light_zfnet512", "light_vgg19")  # minutes to quantise
PRECISIONS = {"fp32": "float32", "bf16": "bf16", "int8": "float32"}  # of what is float in them
CASES = [
    pytest.param(name, precision, marks=() if (name, precision) in QUICK else pytest.mark.slow)
    for name in NAMES
    for precision in PRECISIONS
    if not (name in LARGE and precision == "int8")
]
# Of the largest output; a step of int8 is 0.008 of it.
TOLERANCES = {"fp32": 1e-5, "bf16": NARROW_FRACTIONS["bf16"], "int8": 0.05}
MIN_CORRELATION = 0.999


@cache
def model(name: str, precision: str) -> onnx.ModelProto:
    made = build(name)
    return quantised(made) if precision == "int8" else made


@cache
def inputs(name: str) -> Tensors:
    return seeded_inputs(model(name, "fp32"), 1, seed=7)[0]


@cache
def machine_outputs(name: str, precision: str, target: str) -> Tensors:
    """Of the emulator; equal to those of the nn level, which is evaluated before scheduling."""
    data = model(name, precision).SerializeToString()
    options = CompileOptions(target=target, precision=PRECISIONS[precision])
    compiled = compile_watched(data, options)
    last = compiled.modules[FIXED[-1]]
    want = evaluate(last, inputs(name), compiled.result.ctx.consts, Memo())
    got = run(compiled.program, inputs(name)).outputs
    assert_same_bits(got, want, f"{name} {precision} on {target}")
    return got


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_machine_agrees_with_onnx_runtime(name: str, precision: str) -> None:
    (got,) = machine_outputs(name, precision, "edge").values()
    (want,) = onnx_runtime(model(name, precision), inputs(name)).values()
    assert got.shape == want.shape
    largest = float(np.abs(want).max())
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCES[precision] * largest)
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > MIN_CORRELATION


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_targets_change_no_bit(name: str, precision: str) -> None:
    edge, other = (machine_outputs(name, precision, t) for t in ("edge", "ref-2048"))
    assert_same_bits(other, edge, "ref-2048")
