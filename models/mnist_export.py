"""From PyTorch to ONNX with both of its exporters, which write different graphs for one network.

Names of source files and stack traces, which the exporters store, are removed: a file must not
depend on the folder it was made in.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from mnist_data import SIDE
from torch import nn

OPSET = 20
TORCHSCRIPT_OPSET = 17


def export_network(network: nn.Module, path: Path, name: str) -> None:
    """Write ``network`` by the newer exporter: ``x[batch, 1, 28, 28]`` to ``logits[batch, 10]``.

    It folds each BatchNorm into the convolution before it.
    """
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 1, SIDE, SIDE),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["x"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None  # only the older exporter returns nothing
    _save(program.model_proto, path, name)


def export_through_torchscript(network: nn.Module, path: Path, name: str) -> None:
    """The same by the older exporter, which records TorchScript."""
    torch.onnx.export(
        network,
        (torch.zeros(2, 1, SIDE, SIDE),),
        path,
        dynamo=False,
        opset_version=TORCHSCRIPT_OPSET,
        input_names=["x"],
        output_names=["logits"],
        dynamic_axes={"x": {0: "batch"}, "logits": {0: "batch"}},
    )
    _save(onnx.load(path), path, name)


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove documentation strings and metadata from model, graph, nodes and values, in place."""
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    for item in [model, graph, *graph.node, *graph.initializer, *values]:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def _save(model: onnx.ModelProto, path: Path, name: str) -> None:
    strip_metadata(model)
    model.graph.name = name
    onnx.save_model(model, path)
