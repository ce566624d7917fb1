"""The integer path against ONNX Runtime's s8s8 QLinearMatMul: identical, not merely close."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from npuc.isa.numerics.matrix import mma_int
from npuc.isa.numerics.requantize import requantize

M, N = 37, 29


def qlinear_matmul(a_MK: np.ndarray, constants: dict[str, np.ndarray]) -> np.ndarray:
    """The operator run by ONNX Runtime without rewrites; ``constants`` in operator order."""
    node = helper.make_node("QLinearMatMul", ["a", *constants], ["y"])
    a = helper.make_tensor_value_info("a", onnx.TensorProto.INT8, a_MK.shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.INT8, (M, N))
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "product", [a], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"a": a_MK})[0])


@pytest.mark.parametrize("seed", range(8))
def test_product_and_requantisation_are_identical(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 200))
    a_MK = rng.integers(-128, 128, (M, k)).astype(np.int8)
    w_KN = rng.integers(-127, 128, (k, N)).astype(np.int8)
    a_scale, w_scale = rng.uniform(0.001, 0.1, 2).astype(np.float32)
    y_scale = np.float32(rng.uniform(0.5, 4) * a_scale * w_scale * np.sqrt(k) * 60)
    a_zero, y_zero = (int(zero) for zero in rng.integers(-128, 128, 2))
    constants = {
        "a_scale": np.asarray(a_scale),
        "a_zero": np.asarray(a_zero, np.int8),
        "w": w_KN,
        "w_scale": np.asarray(w_scale),
        "w_zero": np.asarray(0, np.int8),
        "y_scale": np.asarray(y_scale),
        "y_zero": np.asarray(y_zero, np.int8),
    }
    expected = qlinear_matmul(a_MK, constants)
    bias_N = (-a_zero * w_KN.astype(np.int64).sum(axis=0)).astype(np.int32)
    acc_MN = mma_int(a_MK, w_KN, np.tile(bias_N, (M, 1)))
    scale = np.float32(a_scale * w_scale) / y_scale
    result = requantize(acc_MN, np.asarray(scale), y_zero, (-128, 127))
    assert len(np.unique(expected)) > 50
    assert result.tolist() == expected.tolist()
