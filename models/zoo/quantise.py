"""Static int8 quantisation of a zoo network through onnxruntime, QuantizeLinear / DequantizeLinear.

Activations are int8 with a zero point, weights int8 per output channel, biases int32: products are
signed by signed, which every onnxruntime kernel computes exactly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import version_converter

CALIBRATION_INPUTS = 4
PER_CHANNEL_OPSET = 13  # the first whose QuantizeLinear has an axis


def seeded_inputs(model: onnx.ModelProto, count: int, seed: int) -> list[dict[str, NDArray]]:
    """Standard normal inputs of the model's shape, as normalised photographs are."""
    (value,) = model.graph.input
    shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
    rng = np.random.default_rng(seed)
    return [{value.name: rng.standard_normal(shape, np.float32)} for _ in range(count)]


def quantised(
    model: onnx.ModelProto, *, seed: int = 1, inputs: Sequence[dict[str, NDArray]] = ()
) -> onnx.ModelProto:
    """``model`` in int8, calibrated on ``inputs`` or a few seeded ones. Needs onnxruntime.

    Softmax stays float: 1000 classes of random weights have probabilities near 0.001, which eight
    bits from 0 to 1 would round to nothing.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # noqa: PLC0415
    from onnxruntime.quantization.registry import QDQRegistry  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{step}.onnx" for step in ("fp32", "prepared", "int8")]
        fp32, prepared, int8 = paths
        onnx.save_model(_with_axis(model), fp32)
        quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            int8,
            _Calibration(iter(inputs or seeded_inputs(model, CALIBRATION_INPUTS, seed))),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=sorted(set(QDQRegistry) - {"Softmax"}),
        )
        return _tidy(onnx.load(int8))


class _Calibration:
    """What onnxruntime's calibration asks for its inputs (its base class is an interface)."""

    def __init__(self, inputs: Iterator[dict[str, NDArray]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, NDArray] | None:
        return next(self._inputs, None)


def _with_axis(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in an opset that can quantise per channel."""
    if model.opset_import[0].version >= PER_CHANNEL_OPSET:
        return model
    return version_converter.convert_version(model, PER_CHANNEL_OPSET)


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without onnxruntime's notes and the domains that no node uses."""
    used = {node.domain for node in model.graph.node}
    domains = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(domains)
    model.ClearField("metadata_props")
    return model
