"""A model at every level that has values: nn after each stage, both emulator paths, ONNX Runtime.

``check_levels`` is what end-to-end tests assert of npuc's own levels. Judgements of ONNX Runtime
are made with its optimisations off, as a whole or link by link (``linked``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from npuc.compiler.driver import CompileResult, compile_model
from npuc.compiler.interpreter import Memo, evaluate
from npuc.compiler.legality import NN_STAGES
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import RunOptions, run
from npuc.isa.program import Program

Tensor = npt.NDArray[Any]
Tensors = dict[str, Tensor]
MNIST = Path(__file__).parents[2] / "models" / "mnist"
FIXED = NN_STAGES[NN_STAGES.index("quantize") :]
QUANTISED_RESULT = ("QuantizeLinear", "QLinearConv", "QLinearMatMul", "QLinearAdd", "QGemm")


@dataclass(frozen=True)
class Compiled:
    """A compilation with a copy of the module after each nn stage."""

    result: CompileResult
    modules: dict[str, ModuleOp]

    @property
    def program(self) -> Program:
        """The program; the compilation must not have stopped before it."""
        assert self.result.program is not None
        return self.result.program

    def values(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensors]:
        """The outputs after each nn stage."""
        memo, consts = Memo(), self.result.ctx.consts
        return {s: evaluate(m, inputs, consts, memo) for s, m in self.modules.items()}


def compile_watched(model: Path | bytes, options: CompileOptions) -> Compiled:
    """Compile, and copy the module after each nn stage."""
    modules: dict[str, ModuleOp] = {}

    def watch(stage: str, module: ModuleOp) -> None:
        if stage in NN_STAGES:
            modules[stage] = module.clone()

    return Compiled(compile_model(model, options, observers=Observers(after_stage=watch)), modules)


def check_levels(compiled: Compiled, inputs: Mapping[str, Tensor]) -> Tensors:
    """The outputs, after nn from quantize on, fast path and twin agreed; strict mode is clean."""
    values = compiled.values(inputs)
    want = values[FIXED[0]]
    for stage in FIXED[1:]:
        assert_same_bits(values[stage], want, stage)
    for path in ("fast", "plain"):
        got = run(compiled.program, inputs, RunOptions(path=path, strict=True)).outputs
        assert_same_bits(got, want, path)
    return want


def assert_same_bits(got: Mapping[str, Tensor], want: Mapping[str, Tensor], what: str) -> None:
    """Same names in the same order, types, shapes and bytes."""
    assert list(got) == list(want), what
    for name, value in want.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape), f"{what}: {name}"
        if got[name].tobytes() != value.tobytes():
            np.testing.assert_array_equal(got[name], value, f"{what}: {name}")
            pytest.fail(f"{what}: {name} differs in the sign of a zero or in a NaN")


def onnx_runtime(model: onnx.ModelProto, inputs: Mapping[str, Tensor]) -> Tensors:
    """Every output by name; optimisations off, one thread."""
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra 'verify'")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def quantised_tensors(model: onnx.ModelProto) -> list[str]:
    """Names of the 8-bit tensors that nodes compute, but for those of constants, in order."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [
        node.output[0]
        for node in model.graph.node
        if node.op_type in QUANTISED_RESULT
        and node.input[0] not in stored
        and (node.op_type != "QGemm" or len(node.input) > 7)
    ]


def exposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose quantised tensors are outputs too, before its own."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {output.name for output in model.graph.output}
    outputs = [
        helper.make_tensor_value_info(name, _element_type(model, name), None)
        for name in quantised_tensors(model)
        if name not in known
    ]
    del copy.graph.output[:]
    copy.graph.output.extend([*outputs, *model.graph.output])
    return copy


def linked(model: onnx.ModelProto, values: Mapping[str, Tensor]) -> tuple[onnx.ModelProto, Tensors]:
    """A copy that judges each link alone, and the inputs to add.

    Whoever reads a quantised tensor reads the value given in ``values`` instead: a difference in
    one link then shows in the result of that link, and in no other.
    """
    copy = exposed(model)
    names = [name for name in quantised_tensors(model) if name in values]
    given = {name: f"{name} given" for name in names}
    for node in copy.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = given.get(name, name)
    for name in names:
        kind = helper.np_dtype_to_tensor_dtype(values[name].dtype)
        info = helper.make_tensor_value_info(given[name], kind, values[name].shape)
        copy.graph.input.append(info)
    return copy, {given[name]: values[name] for name in names}


def _element_type(model: onnx.ModelProto, name: str) -> int:
    """int8 or uint8, as the output zero point says."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    (node,) = (node for node in model.graph.node if name in node.output)
    positions = {"QuantizeLinear": 2, "QGemm": 8}
    return types.get(node.input[positions.get(node.op_type, 7)], TensorProto.UINT8)
