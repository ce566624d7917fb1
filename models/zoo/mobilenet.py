"""MobileNetV2, width 1.0 at 224x224: 0.30 G multiply-accumulates.

Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, table 2.
"""

from __future__ import annotations

import onnx

from models.zoo.layers import Conv, GraphWriter
from models.zoo.weights import BRANCH_SCALE, LINEAR_GAIN

# Expansion, output channels, blocks, stride of the first block.
PARTS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(seed: int = 0, fold_norm: bool = False) -> onnx.ModelProto:
    """The network with seeded weights; ``fold_norm`` folds the normalisations."""
    graph = GraphWriter(seed, fold_norm)
    y = graph.relu6(graph.conv("x", Conv(32, kernel=3, stride=2), "stem"))
    for part, (expansion, channels, blocks, stride) in enumerate(PARTS):
        for block in range(blocks):
            last = Conv(channels, stride=stride if block == 0 else 1)
            y = _inverted_residual(graph, y, expansion, last, f"part{part}.block{block}")
    y = graph.relu6(graph.conv(y, Conv(1280), "head"))
    return graph.model("mobilenet_v2", graph.classifier(y))


def _inverted_residual(graph: GraphWriter, x: str, expansion: int, last: Conv, name: str) -> str:
    """1x1 expansion, 3x3 depthwise with the stride, linear 1x1; plus ``x`` of the same shape."""
    wide = graph.channels[x] * expansion
    y = x
    if expansion > 1:
        y = graph.relu6(graph.conv(y, Conv(wide), f"{name}.expand"))
    depthwise = Conv(wide, kernel=3, stride=last.stride, groups=wide)
    y = graph.relu6(graph.conv(y, depthwise, f"{name}.depthwise"))
    is_residual = last.stride == 1 and graph.channels[x] == last.channels
    scale = BRANCH_SCALE if is_residual else 1.0
    y = graph.conv(y, Conv(last.channels, gain=LINEAR_GAIN, scale=scale), f"{name}.project")
    return graph.node("Add", [y, x], f"{name}.add") if is_residual else y
