"""ResNet-50, version 1: 3.86 G multiply-accumulates, the stride in a block's first convolution.

Source: He et al., Deep Residual Learning for Image Recognition, table 1 and figure 5.
"""

from __future__ import annotations

import onnx

from models.zoo.layers import Conv, GraphWriter
from models.zoo.weights import BRANCH_SCALE, LINEAR_GAIN

# Blocks and inner channels of the four parts; a block's output has four times its inner channels.
PARTS = ((3, 64), (4, 128), (6, 256), (3, 512))
EXPANSION = 4


def resnet50_v1(seed: int = 0, fold_norm: bool = False) -> onnx.ModelProto:
    """The network with seeded weights; ``fold_norm`` folds the normalisations."""
    graph = GraphWriter(seed, fold_norm)
    y = graph.conv("x", Conv(64, kernel=7, stride=2), "stem")
    y = graph.node("Relu", [y], "stem.relu")
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    y = graph.node("MaxPool", [y], "stem.pool", **window)
    for part, (blocks, inner) in enumerate(PARTS):
        for block in range(blocks):
            stride = 2 if part > 0 and block == 0 else 1
            y = _bottleneck(graph, y, Conv(inner, stride=stride), f"part{part}.block{block}")
    return graph.model("resnet50_v1", graph.classifier(y))


def _bottleneck(graph: GraphWriter, x: str, first: Conv, name: str) -> str:
    """1x1, 3x3, 1x1 and the sum with ``x``, which is projected where its shape differs."""
    inner, outer = first.channels, first.channels * EXPANSION
    last = Conv(outer, gain=LINEAR_GAIN, scale=BRANCH_SCALE)
    y = graph.node("Relu", [graph.conv(x, first, f"{name}.reduce")], f"{name}.relu0")
    y = graph.node(
        "Relu", [graph.conv(y, Conv(inner, kernel=3), f"{name}.spatial")], f"{name}.relu1"
    )
    y = graph.conv(y, last, f"{name}.expand")
    if graph.channels[x] != outer:
        projection = Conv(outer, stride=first.stride, gain=LINEAR_GAIN)
        x = graph.conv(x, projection, f"{name}.project")
    return graph.node("Relu", [graph.node("Add", [y, x], f"{name}.add")], f"{name}.relu2")
