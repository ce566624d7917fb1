"""From a fused nn.group to the frozen problem that the scheduler solves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from npuc.compiler.analysis.layouts import packed
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import ConstantOp, GroupOp, YieldOp
from npuc.compiler.locations import describe
from npuc.compiler.ops.iteration import (
    IndexedValue,
    Iteration,
    identity_kernel,
    iteration_of,
)
from npuc.compiler.schedule.problem import (
    RANK,
    Contraction,
    GroupProblem,
    LinearForm,
    Operand,
    VectorWork,
)
from npuc.compiler.xdsl_api import Operation
from npuc.isa.descriptors import Params
from npuc.isa.errors import CompileError

ACCUMULATOR = -1


@dataclass(frozen=True)
class Placed:
    """Where a tensor of a group lies in its DRAM tensor: bytes before it, byte strides."""

    base: int
    strides: tuple[int, ...]


def problem_of(group: GroupOp, places: Sequence[Placed] = ()) -> GroupProblem:
    """The problem of one fused group; its tensors are the group's operands, then its results.

    ``places`` says where each of them lies; without, all are row-major tensors of their own.

    Raises: CompileError naming the ONNX nodes where no engine can hold the group's work.
    """
    work = [op for op in group.block.ops if not isinstance(op, YieldOp)]
    steps = [(op, iteration_of(op)) for op in work]
    contractions = [step for step in steps if step[1].is_contraction]
    if len(steps) > 2 or (len(contractions) != len(steps) - 1 and len(steps) != 1):
        raise CompileError(
            "a group holds more than one piece of work",
            describe(group),
            ", ".join(op.name for op in work),
            "one contraction and its epilogue, or one vector operation",
        )
    if not contractions:
        problem = _vector_problem(group, steps[0][1])
    else:
        epilogue = steps[1][1] if len(steps) == 2 else None
        problem = _contraction_problem(group, contractions[0], epilogue)
    return replace(problem, operands=tuple(_placed(o, places) for o in problem.operands))


def _placed(operand: Operand, places: Sequence[Placed]) -> Operand:
    if not places:
        return operand
    place = places[operand.argument]
    return replace(operand, base=place.base, strides=place.strides)


def _vector_problem(group: GroupOp, iteration: Iteration) -> GroupProblem:
    assert iteration.kernel is not None
    operands = [_operand(group, value) for value in iteration.inputs]
    lists = {o.rows_from for o in operands}
    streams = tuple(n for n in range(len(operands)) if n not in lists)
    work = VectorWork(iteration.kernel, iteration.params, streams, (len(operands),))
    operands.append(_output(group, iteration.result))
    return GroupProblem(iteration.extents, tuple(operands), work, None, group.group_name.data)


def _contraction_problem(
    group: GroupOp, contraction: tuple[Operation, Iteration], epilogue: Iteration | None
) -> GroupProblem:
    op, matrix = contraction
    operands = [_operand(group, value) for value in matrix.inputs]
    operands[1] = replace(operands[1], queue="ld1")
    acc_dtype = dtype_of(op.results[0])
    if epilogue is None:
        operands.append(_output(group, matrix.result))
        work = VectorWork(identity_kernel(acc_dtype), Params(()), (ACCUMULATOR,), (2,))
    else:
        work = _epilogue(group, contraction, epilogue, operands)
    parts = Contraction(0, 1, acc_dtype)
    return GroupProblem(matrix.extents, tuple(operands), work, parts, group.group_name.data)


def _epilogue(
    group: GroupOp,
    contraction: tuple[Operation, Iteration],
    epilogue: Iteration,
    operands: list[Operand],
) -> VectorWork:
    accumulator, matrix = contraction[0].results[0], contraction[1]
    assert epilogue.kernel is not None
    own = next(v for v in epilogue.inputs if v.value is accumulator)
    dims = _dimension_map(own.forms, matrix.result)
    unmapped = [d for d in range(RANK) if epilogue.extents[d] > 1 and d not in dims]
    if unmapped:
        raise CompileError(
            "an epilogue runs over more than its contraction's result",
            describe(group),
            f"dimensions {unmapped}",
            "the result's dimensions",
        )
    streams = []
    for value in epilogue.inputs:
        if value.value is accumulator:
            streams.append(ACCUMULATOR)
            continue
        forms = tuple(_moved(form, dims) for form in value.forms)
        streams.append(len(operands))
        operand = _operand(group, IndexedValue(value.value, forms, value.fill))
        operands.append(replace(operand, queue="ld0"))  # W has the other engine for itself
    operands.append(_output(group, tuple(_moved(form, dims) for form in epilogue.result)))
    return VectorWork(epilogue.kernel, epilogue.params, tuple(streams), (len(operands) - 1,))


def _dimension_map(own: tuple[LinearForm, ...], result: tuple[LinearForm, ...]) -> dict[int, int]:
    dims: dict[int, int] = {}
    for mine, theirs in zip(own, result, strict=True):
        if mine.dims:
            (source,), (destination,) = mine.dims, theirs.dims
            dims[source] = destination
    return dims


def _moved(form: LinearForm, dims: Mapping[int, int]) -> LinearForm:
    coefficients = [0] * RANK
    for source, destination in dims.items():
        coefficients[destination] = form.coefficients[source]
    return LinearForm(tuple(coefficients), form.constant)


def _operand(group: GroupOp, value: IndexedValue) -> Operand:
    position = list(group.block.args).index(value.value)  # type: ignore[arg-type]
    outer = group.inputs[position]
    queue = "ld1" if isinstance(outer.owner, ConstantOp) else "ld0"
    name = outer.name_hint or f"operand {position}"
    dtype, shape = dtype_of(value.value), shape_of(value.value)
    return Operand(
        position,
        dtype,
        shape,
        packed(shape, dtype.bytes),
        value.forms,
        queue,
        value.fill,
        name,
        rows_from=value.rows_from,
    )


def _output(group: GroupOp, forms: tuple[LinearForm, ...]) -> Operand:
    (result,) = group.outputs
    dtype, shape = dtype_of(result), shape_of(result)
    return Operand(
        len(group.inputs),
        dtype,
        shape,
        packed(shape, dtype.bytes),
        forms,
        "st",
        name=result.name_hint or "result",
    )
