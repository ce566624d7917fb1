"""The independent judges of an ONNX model's values: ONNX Runtime, else onnx's own evaluator.

ONNX Runtime runs with optimisations off: its default int8 kernels saturate on CPUs without VNNI.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import onnx

from npuc.isa.errors import ModelError
from npuc.runtime.arrays import AnyArray, Arrays

INSTALL_HINT = "pip install 'npuc[verify]'"


@dataclass(frozen=True)
class Judgement:
    """The values of a model's outputs, and who computed them."""

    judge: str
    outputs: Arrays


def has_onnx_runtime() -> bool:
    """Whether ONNX Runtime is installed."""
    return find_spec("onnxruntime") is not None


def judge(model: onnx.ModelProto, inputs: Mapping[str, AnyArray]) -> Judgement:
    """Every output of ``model`` by name, computed by ONNX Runtime or onnx's reference evaluator.

    The evaluator also judges what an installed ONNX Runtime refuses, such as a newer IR version.
    Bools are int8 of 0 and 1 on npuc's side: they are converted on the way in and out.
    Raises: ModelError when neither can evaluate the model.
    """
    given = _as_stated(model, inputs)
    if not has_onnx_runtime():
        return Judgement("onnx reference", _held(_run_reference(model, given)))
    try:
        return Judgement("ONNX Runtime", _held(_run_onnx_runtime(model, given)))
    except ModelError as refused:
        try:
            return Judgement("onnx reference", _held(_run_reference(model, given)))
        except ModelError:
            raise refused from None


def _as_stated(model: onnx.ModelProto, inputs: Mapping[str, AnyArray]) -> Arrays:
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    is_bool = {name for name, kind in kinds.items() if kind == onnx.TensorProto.BOOL}
    return {
        name: array.astype(np.bool_) if name in is_bool else array for name, array in inputs.items()
    }


def _held(outputs: Arrays) -> Arrays:
    return {
        name: array.astype(np.int8) if array.dtype == np.bool_ else array
        for name, array in outputs.items()
    }


def _run_onnx_runtime(model: onnx.ModelProto, inputs: Mapping[str, AnyArray]) -> Arrays:
    import onnxruntime  # noqa: PLC0415  # an extra

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        values = [np.asarray(value) for value in session.run(None, dict(inputs))]
    except Exception as error:  # its errors share no other base
        raise _no_judge("ONNX Runtime", error, "compare without it: --no-onnx") from error
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def _run_reference(model: onnx.ModelProto, inputs: Mapping[str, AnyArray]) -> Arrays:
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415  # slow to import

    try:
        evaluator = ReferenceEvaluator(model)
        values = evaluator.run(None, dict(inputs))
    except Exception as error:  # a missing operator may raise anything
        raise _no_judge("onnx's reference evaluator", error, INSTALL_HINT) from error
    assert isinstance(values, list)
    names = [str(name) for name in evaluator.output_names]
    return dict(zip(names, [np.asarray(value) for value in values], strict=True))


def _no_judge(name: str, error: Exception, next_step: str) -> ModelError:
    text = str(error).strip().splitlines()
    return ModelError(
        f"{name} cannot evaluate the model, so there is nothing to compare with",
        given=text[0] if text else type(error).__name__,
        next_step=next_step,
    )
