"""Precision bf16 and fp16: values by an independent computation, bits, traffic, and mistakes."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc import api
from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import run
from npuc.isa.errors import CompileError, UsageError
from npuc.isa.target import target_text
from tests.command_line import npuc
from tests.compiler.ops.cases import Builder, Case
from tests.e2e.random_graphs import graphs
from tests.e2e.whole_path import (
    MNIST,
    Tensor,
    Tensors,
    assert_same_bits,
    check_levels,
    compile_watched,
    onnx_runtime,
)

NARROW = {"bf16": np.dtype(ml_dtypes.bfloat16), "fp16": np.dtype(np.float16)}
FP32 = MNIST / "mnist_cnn_fp32.onnx"
LEVELS, TARGETS = (0, 1, 2, 3), ("tiny", "edge", "ref-2048")
# Of the largest output of a random graph; its products may cancel.
TOLERANCE = {"bf16": 0.06, "fp16": 0.008}


def narrowed(array: Tensor, precision: str) -> Tensor:
    """What a load gives after a store in 16 bits; ml_dtypes and NumPy round half to even."""
    return array.astype(np.float32).astype(NARROW[precision]).astype(np.float32)


def ordered(a_MK: Tensor, w_KN: Tensor) -> Tensor:
    """acc = rne(acc + rne(a * w)), k ascending."""
    acc = np.zeros((a_MK.shape[0], w_KN.shape[1]), np.float32)
    for k in range(a_MK.shape[1]):
        acc = acc + a_MK[:, k, None] * w_KN[None, k]
    return acc


def compiled_values(case: Case, precision: str) -> list[Tensor]:
    options = CompileOptions(precision=precision)
    compiled = compile_watched(case.model.SerializeToString(), options)
    return list(check_levels(compiled, case.inputs).values())


@pytest.mark.parametrize("precision", NARROW)
def test_perceptron_by_an_independent_computation(precision: str) -> None:
    """Operands are narrow, sums and vector work float32, the output float32."""
    b = Builder(3)
    x = b.input((5, 40), scale=3)
    w1, b1, w2, b2 = (b.weights(*shape) for shape in ((40, 17), (17,), (17, 6), (6,)))
    hidden = b.node("Relu", b.node("Add", b.node("MatMul", x, w1), b1))
    case = b.case("perceptron", b.node("Add", b.node("MatMul", hidden, w2), b2))
    w = {t.name: np.frombuffer(t.raw_data, np.float32).reshape(t.dims) for t in b.initializers}
    given_x = narrowed(case.inputs[x], precision)
    h = np.maximum(ordered(given_x, narrowed(w[w1], precision)) + w[b1], np.float32(0))
    want = ordered(narrowed(h, precision), narrowed(w[w2], precision)) + w[b2]
    (got,) = compiled_values(case, precision)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("precision", NARROW)
def test_a_tensor_of_several_readers_is_narrow_and_one_inside_a_kernel_is_not(
    precision: str,
) -> None:
    b = Builder(5)
    x, w = b.input((4, 64)), b.weights(64, 64, scale=0.1)
    shared = b.node("Neg", b.node("MatMul", x, w))
    left = b.node("Add", b.node("Relu", shared), b.const(np.float32(1e-3)))
    case = b.case("several", b.node("Mul", left, b.node("Abs", shared)), shared)
    weights = np.frombuffer(b.initializers[0].raw_data, np.float32).reshape(64, 64)
    product = ordered(narrowed(case.inputs[x], precision), narrowed(weights, precision))
    want = narrowed(-product, precision)
    both = (np.maximum(want, np.float32(0)) + np.float32(1e-3)) * np.abs(want)
    for got, expected in zip(compiled_values(case, precision), (both, want), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_statistics_stay_float32() -> None:
    """The mean of large numbers would lose all of their differences in 8 bits."""
    b = Builder(7)
    x = b.node("Mul", b.input((3, 256)), b.const(np.float32(1)))
    mean = b.node("ReduceMean", x, b.const(np.asarray([1], np.int64)), keepdims=1)
    case = b.case("centred", b.node("Sub", x, mean))
    case.inputs["in0"][:] = np.round(case.inputs["in0"] * 4) + 128  # exact in bf16
    (got,) = compiled_values(case, "bf16")
    exact = case.inputs["in0"].astype(np.float64)
    np.testing.assert_allclose(got, exact - exact.mean(1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("precision", NARROW)
def test_levels_and_targets_change_no_bit(precision: str) -> None:
    with np.load(MNIST / "digits.npz") as arrays:
        images = arrays["images"][:2, np.newaxis].astype(np.float32) / np.float32(255)
    wanted: Tensors = {}
    for target in TARGETS:
        for level in LEVELS if target == "tiny" else (2,):
            options = CompileOptions(target, level, {"batch": 2}, precision=precision)
            program = compile_model(FP32, options).program
            assert program is not None
            got = run(program, {"x": images}).outputs
            wanted = wanted or got
            assert_same_bits(got, wanted, f"{target} -O{level}")
    full = onnx_runtime_outputs(images)
    (logits,) = wanted.values()
    assert not np.array_equal(logits, full), "narrow operands round"
    assert np.abs(logits - full).max() <= TOLERANCE[precision] * np.abs(full).max()
    np.testing.assert_array_equal(logits.argmax(1), full.argmax(1))


def onnx_runtime_outputs(images: Tensor) -> Tensor:
    (logits,) = onnx_runtime(onnx.load(FP32), {"x": images}).values()
    return logits


def agree(case: Case, precision: str, other: tuple[str, int]) -> None:
    """All levels of a compilation; another target and level; ONNX Runtime within the tolerance."""
    data = case.model.SerializeToString()
    want = check_levels(compile_watched(data, CompileOptions(precision=precision)), case.inputs)
    target, level = other
    program = compile_model(data, CompileOptions(target, level, precision=precision)).program
    assert program is not None
    assert_same_bits(run(program, case.inputs).outputs, want, f"{target} -O{level}")
    for name, judged in onnx_runtime(case.model, case.inputs).items():
        largest = float(np.abs(judged).max(initial=1e-6))
        assert np.abs(want[name] - judged).max() <= TOLERANCE[precision] * largest, name


OTHERS = st.tuples(st.sampled_from(["tiny", "ref-2048"]), st.sampled_from(LEVELS))


@settings(max_examples=10)
@given(case=graphs("float"), precision=st.sampled_from(list(NARROW)), other=OTHERS)
def test_random_graphs(case: Case, precision: str, other: tuple[str, int]) -> None:
    agree(case, precision, other)


@pytest.mark.slow
@settings(max_examples=200)
@given(case=graphs("float"), precision=st.sampled_from(list(NARROW)), other=OTHERS)
def test_many_random_graphs(case: Case, precision: str, other: tuple[str, int]) -> None:
    agree(case, precision, other)


def test_traffic_and_matrix_cycles_fall() -> None:
    b = Builder(1)
    x = b.input((1, 32, 20, 20))
    for _ in range(3):
        w = b.weights(32, 32, 3, 3, scale=0.06)
        x = b.node("Relu", b.node("Conv", x, w, pads=[1, 1, 1, 1]))
    model = b.model(x).SerializeToString()
    wide, narrow = (
        api.profile(api.compile(model, precision=p)).to_json() for p in ("float32", "bf16")
    )
    assert narrow["cycles"] < 0.5 * wide["cycles"]  # type: ignore[operator]


def test_an_input_that_is_an_output_too_is_not_rounded() -> None:
    b = Builder(2)
    x = b.input((3, 8))
    product = b.node("MatMul", x, b.weights(8, 4))
    case = b.case("passed on", product, b.node("Identity", x))
    assert np.array_equal(compiled_values(case, "bf16")[1], case.inputs[x])


def test_unknown_precision() -> None:
    with pytest.raises(UsageError, match="unknown precision") as error:
        CompileOptions(precision="int8")
    assert error.value.allowed == "float32, bf16, fp16"
    result = npuc("compile", str(FP32), "-o", "x.npu", "--precision", "half")
    assert result.code == 2
    assert "float32, bf16, fp16" in result.err


def test_a_quantised_model_has_nothing_to_narrow() -> None:
    with pytest.raises(CompileError, match="quantised"):
        api.compile(MNIST / "mnist_cnn_qdq_int8.onnx", dims={"batch": 1}, precision="bf16")


def test_a_partly_quantised_model_keeps_its_integers() -> None:
    b = Builder(4)
    scale, zero = b.const(np.float32(0.02)), b.const(np.int8(0))
    x = b.node("DequantizeLinear", b.node("QuantizeLinear", b.input((2, 8)), scale, zero), scale)
    w = b.node("DequantizeLinear", b.int8(8, 6), b.const(np.float32(0.01)), zero)
    case = b.case("mixed", b.node("MatMul", b.node("MatMul", x, w), b.weights(6, 3)))
    result = api.compile(case.model.SerializeToString(), precision="bf16")
    told = [str(remark) for remark in result.remarks if remark.source == "narrow-floats"]
    assert any("stays an integer product" in line for line in told)
    compiled_values(case, "bf16")


def test_a_target_without_float_products(tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    path.write_text(target_text("edge").replace('["F"]', "[]"))
    with pytest.raises(CompileError, match="extension F"):
        api.compile(FP32, target=path, dims={"batch": 1}, precision="bf16")


def test_command_line(tmp_path: Path) -> None:
    """verify states the tolerance that it used; profile refuses a precision for a program."""
    arguments = [str(FP32), "--dim", "batch=1", "--precision", "fp16"]
    verified = npuc("verify", *arguments)
    assert verified.code == 0
    assert "within 0.0078125 of the largest magnitude" in verified.out
    program = tmp_path / "p.npu"
    assert npuc("compile", *arguments, "-o", str(program)).code == 0
    refused = npuc("profile", str(program), "--precision", "fp16")
    assert refused.code == 2
    assert "fp16" in refused.err
