"""The digit classifiers after every nn stage, against ONNX Runtime with its optimisations off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npuc.compiler.dialects.nn import GenericOp, GroupOp, TransposeOp
from npuc.compiler.driver import CompileResult, compile_model
from npuc.compiler.interpreter import Memo, evaluate
from npuc.compiler.legality import NN_STAGES
from npuc.compiler.ops.scalar_ops import kernel_of
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers

ort = pytest.importorskip("onnxruntime")
MNIST = Path(__file__).parents[2] / "models" / "mnist"
BATCH = 40


@pytest.fixture(scope="module")
def images() -> Any:
    digits = np.load(MNIST / "digits.npz")["images"][:BATCH]
    return (digits.astype(np.float32) / np.float32(255)).reshape(-1, 1, 28, 28)


def compiled(kind: str, level: int, batch: int = BATCH) -> tuple[CompileResult, dict[str, Any]]:
    modules: dict[str, Any] = {}
    observers = Observers(after_stage=lambda name, m: modules.__setitem__(name, m.clone()))
    options = CompileOptions(dims={"batch": batch}, level=level, stop_after="partition")
    result = compile_model(MNIST / f"mnist_cnn_{kind}.onnx", options, observers=observers)
    return result, modules


def runtime(kind: str, images: Any) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(MNIST / f"mnist_cnn_{kind}.onnx"), options)
    return session.run(None, {"x": images})[0]


def logit_steps(kind: str, got: Any, want: Any) -> Any:
    """The distance in steps of the logits' scale."""
    import onnx

    model = onnx.load(MNIST / f"mnist_cnn_{kind}.onnx")
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return np.rint(np.abs(got - want) / scales["logits_scale"])


@pytest.mark.parametrize("kind", ["qdq_int8", "qop_s8s8"])
def test_every_stage_of_the_int8_files(kind: str, images: Any) -> None:
    want = runtime(kind, images)
    result, modules = compiled(kind, level=2)
    memo = Memo()
    outputs = {
        name: evaluate(module, {"x": images}, result.ctx.consts, memo)["logits"]
        for name, module in modules.items()
    }
    assert tuple(outputs) == NN_STAGES
    for name, got in outputs.items():
        steps = logit_steps(kind, got, want)
        assert steps.max() <= 1 and np.mean(steps > 0) <= 0.001, name
    assert memo.hits > 0
    for name in ("fuse", "partition"):
        assert outputs[name].tobytes() == outputs["quantize"].tobytes(), name


def test_qoperator_file_equals_the_runtime(images: Any) -> None:
    result, modules = compiled("qop_s8s8", level=2)
    got = evaluate(modules["partition"], {"x": images}, result.ctx.consts)["logits"]
    np.testing.assert_array_equal(got, runtime("qop_s8s8", images))


@pytest.mark.parametrize("kind", ["fp32", "qdq_int8", "qop_s8s8"])
def test_levels_give_the_same_bits(kind: str, images: Any) -> None:
    logits = set()
    for level in (0, 1, 2, 3):
        result, modules = compiled(kind, level, batch=2)
        got = evaluate(modules["partition"], {"x": images[:2]}, result.ctx.consts)["logits"]
        logits.add(got.tobytes())
    assert len(logits) == 1


def test_float_file_is_close(images: Any) -> None:
    result, modules = compiled("fp32", level=2)
    got = evaluate(modules["partition"], {"x": images}, result.ctx.consts)["logits"]
    np.testing.assert_allclose(got, runtime("fp32", images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["qdq_int8", "qop_s8s8"])
def test_int8_files_become_few_integer_groups(kind: str) -> None:
    result, _ = compiled(kind, level=2, batch=1)
    groups = [op for op in result.module.walk() if isinstance(op, GroupOp)]
    assert len(groups) == 12  # quantise, nine convolutions, mean, product
    assert not any(isinstance(op, TransposeOp) for op in result.module.walk())
    middle = [group.outputs[0].type for group in groups[:-1]]
    assert all("xi8>" in str(kind_of) for kind_of in middle), "activations stay int8"
    for op in result.module.walk():
        if isinstance(op, GenericOp):
            kernel_of(op)
