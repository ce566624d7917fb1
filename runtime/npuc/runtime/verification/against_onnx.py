"""npuc's values before scheduling against ONNX's, link by link.

Each quantised tensor is judged for itself: whoever reads one in ONNX's graph reads npuc's value of
it. Float sums before a rounding, whose order ONNX leaves free, push a few elements to the other
side of a tie; judged as one chain, each of them would change everything that comes after.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx.helper import make_tensor_value_info

from npuc.runtime.arrays import Arrays
from npuc.runtime.verification.case import QUANTIZE, Case
from npuc.runtime.verification.comparison import (
    CLOSE,
    MIN_IDENTICAL_OF_FLOATS,
    Comparison,
    Sides,
    compare,
    suited,
    ties_of,
)
from npuc.runtime.verification.exposure import (
    expose_quantised,
    linked,
    output_rules,
    roundings,
)
from npuc.runtime.verification.levels import nn_values
from npuc.runtime.verification.referee import judge


def against_onnx(case: Case, values: Mapping[str, Arrays]) -> Iterator[Comparison]:
    """The stages until quantize: what fails and the outputs; after quantize every tensor.

    ``values`` are the outputs after each stage; a model without quantised tensors is not compiled
    again. Raises: ModelError when ONNX's side cannot be computed.
    """
    exposed = expose_quantised(case.proto)
    own = {output.name for output in case.proto.graph.output}
    if len(exposed.graph.output) > len(own):
        values = nn_values(case.compile_exposed(QUANTIZE), case.inputs, case.memo)
    for stage, given in values.items():
        for comparison in _judged(case, exposed, stage, given):
            if stage == QUANTIZE or comparison.tensor in own or not comparison.passed:
                yield comparison
        if stage == QUANTIZE:
            return


def _judged(
    case: Case, exposed: onnx.ModelProto, stage: str, values: Arrays
) -> Iterator[Comparison]:
    """Before quantize npuc still computes in float where ONNX's integers are exact."""
    chain, links = linked(exposed, values)
    rounded = roundings(exposed)
    present = {output.name for output in chain.graph.output}
    for source in sorted({rounding.source for rounding in rounded.values()} - present):
        chain.graph.output.append(make_tensor_value_info(source, onnx.TensorProto.FLOAT, None))
    judgement = judge(chain, {**case.inputs, **links})
    for name, stated in output_rules(exposed).items():
        rule = suited(stated, case.options.precision)
        if stage != QUANTIZE and stated.name != CLOSE.name:
            share = MIN_IDENTICAL_OF_FLOATS
            rule = replace(stated, name="steps", step=stated.step or 1.0, identical=share)
        elif stage != QUANTIZE:
            rule = stated
        ties = None
        if name in rounded:
            floats = judgement.outputs[rounded[name].source].astype(np.float64)
            ties = ties_of(floats / rounded[name].scale)
        sides = Sides(f"nn after {stage}", judgement.judge, name, ties)
        yield compare(sides, values[name], judgement.outputs[name], rule)
