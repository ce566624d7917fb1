"""Windows: where ONNX says each padding, TFLite says SAME, VALID or a PAD before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import onnx
import tflite

from tests.bench.vela.convert import Conversion
from tests.bench.vela.network import INT8_MIN
from tests.bench.vela.qdq import attributes, refused

PADDING = {"SAME": tflite.Padding.SAME, "VALID": tflite.Padding.VALID}


class Pads(NamedTuple):
    """Elements before and behind one axis."""

    begin: int
    end: int


@dataclass(frozen=True)
class Window:
    """Of a node, in the order height, width."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[Pads, Pads]

    @property
    def stride_fields(self) -> dict[str, int]:
        """As the options of TFLite name them."""
        return {"StrideH": self.strides[0], "StrideW": self.strides[1]}


def window_of(made: Conversion, node: onnx.NodeProto, kernel: tuple[int, int]) -> Window:
    """The window, with only those elements of padding that some output reads.

    Raises: ModelError for ``auto_pad`` and for rounding up.
    """
    given = attributes(node)
    if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise refused(node, "auto_pad", given["auto_pad"], "NOTSET, VALID")
    if given.get("ceil_mode", 0):
        raise refused(node, "ceil_mode", "1", "0")
    begins = given.get("pads", [0] * 4)[:2]
    strides, dilations = (tuple(given.get(key, (1, 1))) for key in ("strides", "dilations"))
    sizes, outs = (made.qdq.shapes[name][2:] for name in (node.input[0], node.output[0]))
    pads = tuple(
        Pads(begin, max(0, (out - 1) * stride + dilation * (k - 1) + 1 - size - begin))
        for begin, out, stride, dilation, k, size in zip(
            begins, outs, strides, dilations, kernel, sizes, strict=True
        )
    )
    return Window(kernel, strides, dilations, (pads[0], pads[1]))


def padded(
    made: Conversion, node: onnx.NodeProto, window: Window, empty: int | None = None
) -> tuple[int, int]:
    """The input of a windowed operator and TFLite's padding for it, a PAD emitted if need be.

    ``empty`` is the integer that padding must have, for zero if None; PAD can only write zero.
    """
    source = made.operand(node, 0)
    if all(pads == (0, 0) for pads in window.pads):
        return source, PADDING["VALID"]
    shape = made.tensor(source).shape
    if all(
        pads == same_pads(size, window, axis)
        for axis, (pads, size) in enumerate(zip(window.pads, shape[1:3], strict=True))
    ):
        return source, PADDING["SAME"]
    zero_point = made.quantisation(source).zero_point
    if empty is not None and empty != zero_point:
        raise refused(node, "padding that PAD would make zero", f"{window.pads}", "SAME, VALID")
    return _pad(made, source, window), PADDING["VALID"]


def same_pads(size: int, window: Window, axis: int) -> Pads:
    """What TFLite's SAME pads: outputs are as many as strides begin in the input."""
    stride = window.strides[axis]
    extent = window.dilations[axis] * (window.kernel[axis] - 1) + 1
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return Pads(total // 2, total - total // 2)


def _pad(made: Conversion, source: int, window: Window) -> int:
    tensor = made.tensor(source)
    amounts = np.array([(0, 0), *window.pads, (0, 0)], np.int32)
    shape = tuple(n + int(sum(pads)) for n, pads in zip(tensor.shape, amounts, strict=True))
    name = f"{tensor.name}.padded"
    out = made.network.add(replace(tensor, name=name, shape=shape))
    made.emit(
        "PAD", (source, made.network.constant(f"{name}.by", amounts)), out, options="PadOptions"
    )
    return out


MAX_POOL_EMPTY = INT8_MIN  # less than any: padding never wins
