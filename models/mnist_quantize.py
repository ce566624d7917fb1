"""Static int8 quantization of the digit CNN with onnxruntime, in both of ONNX's notations.

Third step of ``train_mnist.py``; needs onnxruntime. Activations are int8 with a zero point, weights
are int8 per output channel and symmetric, biases int32: products are signed x signed, which every
onnxruntime kernel computes exactly (its unsigned x signed ones are wrong on CPUs without VNNI).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from mnist_data import Digits, Floats, to_input
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

CALIBRATION_IMAGES = 500
CALIBRATION_SEED = 3
CALIBRATION_BATCH = 50


def quantize_to_qdq(fp32: Path, training: Digits, out: Path) -> None:
    """Write float operators between QuantizeLinear / DequantizeLinear pairs, standard ONNX only."""
    _quantize(fp32, training, out, QuantFormat.QDQ)


def quantize_to_qoperator(fp32: Path, training: Digits, out: Path) -> None:
    """Write QLinearConv and com.microsoft QGemm; the mean over space stays float."""
    _quantize(fp32, training, out, QuantFormat.QOperator)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds a seeded choice of training images, in batches, as the input ``x``."""

    def __init__(self, training: Digits) -> None:
        rng = np.random.default_rng(CALIBRATION_SEED)
        rows = rng.choice(len(training), CALIBRATION_IMAGES, replace=False)
        x_NCHW = to_input(training.take(rows).images)
        batches = np.split(x_NCHW, CALIBRATION_IMAGES // CALIBRATION_BATCH)
        self._batches: Iterator[Floats] = iter(batches)

    def get_next(self) -> dict[str, Floats] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


def _quantize(fp32: Path, training: Digits, out: Path, notation: QuantFormat) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            out,
            _Calibration(training),
            quant_format=notation,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
        )
    _tidy(out)


def _tidy(path: Path) -> None:
    """Drop what onnxruntime leaves behind: notes on the tool, domains that no node uses."""
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    domains = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(domains)
    model.ClearField("metadata_props")
    onnx.save_model(model, path)
