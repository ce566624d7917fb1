"""Folding of constant nodes by the ONNX reference evaluator: shape code and constant subgraphs."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from npuc.compiler.frontend.load import Array
from npuc.compiler.frontend.order import describe_node
from npuc.isa.errors import ModelError

# Quantisation stays visible to the quantize stage; random numbers are no constants.
NOT_FOLDED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    }
)


def is_foldable(node: onnx.NodeProto) -> bool:
    """Whether a node of constant inputs may be replaced by its value."""
    has_subgraph = any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute)
    return node.domain in ("", "ai.onnx") and node.op_type not in NOT_FOLDED and not has_subgraph


def fold(
    node: onnx.NodeProto, inputs: Mapping[str, Array], opsets: Mapping[str, int]
) -> Sequence[Array]:
    """The outputs of ``node`` that have a name, in order.

    Raises: ModelError when the evaluator cannot give them.
    """
    # Only who folds pays for loading the evaluator and its operators.
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

    graph = helper.make_graph(
        [node],
        "constant",
        [helper.make_empty_tensor_value_info(name) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()]
    )
    try:
        values = ReferenceEvaluator(model).run(None, dict(inputs))
    except Exception as error:  # the evaluator raises whatever its kernels raise
        raise ModelError(
            "a constant node cannot be evaluated",
            where=describe_node(node),
            given=f"{type(error).__name__}: {error}",
            next_step="check the node's inputs and attributes",
        ) from error
    return [np.asarray(value) for value in values]
