"""A CNN and a vision transformer as both of PyTorch's exporters write them, at every level."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import load
from npuc.runtime.sample_data import load_digits
from npuc.runtime.verification import VerifyOptions, verify_model
from tests.e2e.whole_path import MNIST, Tensor, compile_watched, onnx_runtime

EXPORTED = MNIST.parent / "exported"
NETWORKS = ("mnist_cnn", "mnist_vit")
EXPORTERS = ("dynamo", "torchscript")
BATCH = 10
TARGETS = ("edge", pytest.param("ref-2048", marks=pytest.mark.slow))


@cache
def machine_logits(name: str) -> Tensor:
    """Of the first digits, by the emulator's fast path."""
    path = EXPORTED / f"{name}.onnx"
    program = compile_watched(path, CompileOptions(dims={"batch": BATCH})).program
    return load(program).run({"x": load_digits().as_input_NCHW()[:BATCH]}).outputs["logits"]


def runtime_logits(name: str) -> Tensor:
    x = load_digits().as_input_NCHW()[:BATCH]
    return onnx_runtime(onnx.load(EXPORTED / f"{name}.onnx"), {"x": x})["logits"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_level_is_verified(network: str, exporter: str, target: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra 'verify'")
    x = load_digits().as_input_NCHW()[:1]
    options = CompileOptions(target=target, dims={"batch": 1})
    path = EXPORTED / f"{network}_{exporter}.onnx"
    report = verify_model(path, options, VerifyOptions(inputs={"x": x}))
    assert report.passed, report.first_failure


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_digits_are_told_as_by_onnx_runtime(network: str, exporter: str) -> None:
    got, want = machine_logits(f"{network}_{exporter}"), runtime_logits(f"{network}_{exporter}")
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(got.argmax(axis=1), want.argmax(axis=1))


@pytest.mark.parametrize("network", NETWORKS)
def test_both_exporters_wrote_one_network(network: str) -> None:
    one, other = (machine_logits(f"{network}_{exporter}") for exporter in EXPORTERS)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
    assert np.unique(one).size == one.size
