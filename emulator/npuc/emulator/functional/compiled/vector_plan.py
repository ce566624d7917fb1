"""What all vector commands of one kernel and one set of views share, as a row of words."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from npuc.emulator.functional.compiled import vector
from npuc.emulator.functional.compiled.fused import FUSED, Step, steps_of
from npuc.emulator.functional.compiled.geometry import OPERAND_WORDS, Int64s
from npuc.emulator.functional.compiled.leaves import Leaf
from npuc.emulator.functional.compiled.micro import MICRO
from npuc.emulator.functional.compiled.operands import operand_words
from npuc.emulator.functional.compiled.reductions import ORDERED, STEPS, WHOLE
from npuc.emulator.functional.compiled.rows import LOADS, STORES
from npuc.emulator.functional.compiled.taps import products_of_taps
from npuc.emulator.region import VexecWork
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT, Kernel, value_domain
from npuc.isa.dtypes import DType
from npuc.isa.microops import BY_NAME

Address = Callable[[Leaf], int]


class VectorPlan(NamedTuple):
    """A static row, and what decides which way a command goes through its space."""

    words: Int64s
    is_elementwise: bool  # no reduction and no epilogue: all axes are points
    ordered: int  # reductions with a written order
    goes_across: bool  # every reduction can take one element of all points at a time
    takes_taps: bool  # the body sums products of bytes of two streams


def plan_vector(work: VexecWork, address: Address, tables: tuple[int, ...]) -> VectorPlan | None:
    """The plan, or None where a micro-op, an element type or a view asks for the way of NumPy.

    ``tables`` are the addresses of the program's tables.
    """
    kernel = work.kernel
    if any(op.name not in MICRO and op.name not in WHOLE for op in kernel.ops):
        return None
    if not all(_is_aligned(region.view.strides, region.view.dtype.bytes)
               for region in (*work.inputs, *work.outputs)):  # fmt: skip
        return None
    words, steps = np.zeros(vector.STATIC_WORDS, np.int64), steps_of(kernel)
    words[vector.OPS] = len(steps)
    words[vector.BODY_OPS] = sum(step.start < kernel.body_count for step in steps)
    if not (_put_inputs(work, words, address) and _put_outputs(work, words, address)):
        return None
    for number, step in enumerate(steps):
        _put_step(step, words, number, (kernel.body_count, address, tables))
    reductions = [kernel.ops[i].name for i in kernel.reductions]
    is_elementwise = not reductions and kernel.body_count == len(kernel.ops)
    is_elementwise = is_elementwise and not any(output.epilogue for output in kernel.outputs)
    _reuse_slots(kernel, steps, words)
    slots = {
        int(words[vector.OP + number * vector.OP_WORDS + field])
        for number in range(len(steps))
        for field in (vector.A, vector.B, vector.C, vector.D)
    }
    slots |= {int(words[vector.OUT + 2 * out]) for out in range(vector.OUTPUTS)}
    words[vector.USES] = sum(
        (vector.WORD_SLOT + number in slots) << 2 * number
        | (vector.FLOAT_SLOT + number in slots) << 2 * number + 1
        for number in range(vector.PARAMETERS)
    )
    words[vector.FLAT_AXES] = vector.AXES if is_elementwise else vector.PARALLEL
    return VectorPlan(
        words,
        is_elementwise,
        sum(name in ORDERED for name in reductions),
        bool(reductions) and all(name in STEPS for name in reductions),
        _takes_taps(work),
    )


def _takes_taps(work: VexecWork) -> bool:
    kernel = work.kernel
    body = kernel.ops[: kernel.body_count]
    if [op.name for op in body] != ["mac8"] or not all(out.epilogue for out in kernel.outputs):
        return False
    streams = body[0].operands
    if max(streams) >= vector.STREAMS or streams[0] == streams[1]:
        return False
    a, w = (work.inputs[stream].view for stream in streams)
    are_bytes = a.dtype is DType.i8 and w.dtype is DType.i8 and not w.windows
    # Channels lie side by side, and those of a pixel are all in a window or none is.
    channels = vector.PARALLEL - 1
    are_rows = a.strides[channels] == 1 and w.strides[channels] == 1
    return are_bytes and are_rows and not any(win.coefficients[channels] for win in a.windows)


def _is_aligned(strides: tuple[int, ...], size: int) -> bool:
    return all(stride % size == 0 for stride in strides)


def _put_inputs(work: VexecWork, words: Int64s, address: Address) -> bool:
    loads = [(s, s, 0) for s in sorted(work.kernel.body_streams)]
    loads += [(s, vector.EPILOGUE_SLOT + s, 1) for s in sorted(work.kernel.epilogue_streams)]
    words[vector.LOADS] = len(loads)
    for number, load in enumerate(loads):
        at = vector.LOAD + number * vector.LOAD_WORDS
        words[at : at + vector.LOAD_WORDS] = load
    for stream in {load[0] for load in loads}:
        view, domain = work.inputs[stream].view, work.kernel.inputs[stream].domain
        leaf = LOADS.get((view.dtype, domain))
        if leaf is None:
            return False
        _put_operand(words, stream, operand_words(view, range(7), address(leaf), domain))
    return True


def _put_outputs(work: VexecWork, words: Int64s, address: Address) -> bool:
    words[vector.OUT : vector.OUT + 2 * vector.OUTPUTS : 2] = -1
    for number, (output, region) in enumerate(zip(work.kernel.outputs, work.outputs, strict=True)):
        dtype = region.view.dtype
        domain = value_domain(work.kernel, output.value)
        if domain == "?":
            domain = "f" if dtype.is_float else "i"
        leaf = STORES.get((dtype, domain))
        if leaf is None or region.view.windows:
            return False
        at = vector.OUT + 2 * number
        words[at] = _slot(output.value, domain, output.epilogue)
        words[at + 1] = output.epilogue
        _put_operand(
            words, vector.STREAMS + number, operand_words(region.view, range(7), address(leaf), "i")
        )
    return True


def _put_operand(words: Int64s, number: int, operand: Int64s) -> None:
    at = vector.OPERAND + number * OPERAND_WORDS
    words[at : at + OPERAND_WORDS] = operand


def _put_step(
    step: Step, words: Int64s, number: int, about: tuple[int, Address, tuple[int, ...]]
) -> None:
    body_count, address, tables = about
    op, spec = step.ops[0], BY_NAME[step.ops[0].name]
    at = vector.OP + number * vector.OP_WORDS
    slots = [_slot(value, domain, step.start >= body_count) for value, domain in step.operands]
    words[at + vector.D] = slots[3] if len(slots) > 3 else -1
    words[at + vector.A : at + vector.C + 1] = (slots + slots[:1] * 3)[:3]
    words[at + vector.TO] = vector.RESULT_SLOT + step.result
    if spec.extra == "table":
        words[at + vector.EXTRA] = tables[op.immediate]
    if not spec.is_reduction:
        leaf = MICRO[op.name] if len(step.ops) == 1 else FUSED[step.names]
        words[at + vector.RUN] = address(leaf)
        return
    words[at + vector.RUN] = address(WHOLE[op.name])
    words[at + vector.IS_ORDERED] = op.name in ORDERED
    words[at + vector.EXTRA] = address(products_of_taps) if op.name == "mac8" else 0
    way = STEPS.get(op.name)
    words[at + vector.BEGIN] = address(way.begin) if way else 1
    words[at + vector.TAKE] = address(way.take) if way else 1


def _reuse_slots(kernel: Kernel, steps: Sequence[Step], words: Int64s) -> None:
    """Give results that are not needed at one time the same slot: fewer rows stay in the cache.

    A step never writes over its operands; reductions and outputs keep theirs to the end.
    """
    last = {step.result + FIRST_RESULT: at for at, step in enumerate(steps)}
    last |= {value: at for at, step in enumerate(steps) for value, _ in step.operands}
    kept = {output.value for output in kernel.outputs} | {
        FIRST_RESULT + i for i in kernel.reductions
    }
    place: dict[int, int] = {}  # of the results so far, by their micro-op
    free: list[int] = []
    for at, step in enumerate(steps):
        used = len(set(place.values()))
        is_kept = step.result + FIRST_RESULT in kept
        place[step.result] = used if is_kept or not free else free.pop()
        free += [
            place[done]
            for done in place
            if done + FIRST_RESULT not in kept and last[done + FIRST_RESULT] == at
        ]
    fields = [
        vector.OP + at * vector.OP_WORDS + field
        for at in range(len(steps))
        for field in (vector.A, vector.B, vector.C, vector.D, vector.TO)
    ]
    fields += [vector.OUT + 2 * out for out in range(vector.OUTPUTS)]
    for field in fields:
        if words[field] >= vector.RESULT_SLOT:
            words[field] = vector.RESULT_SLOT + place[int(words[field]) - vector.RESULT_SLOT]


def _slot(value: int, domain: str, in_epilogue: bool) -> int:
    """Where a value lies, for a use in ``domain``."""
    if value >= FIRST_RESULT:
        return vector.RESULT_SLOT + value - FIRST_RESULT
    if value >= FIRST_PARAM:
        first = vector.FLOAT_SLOT if domain == "f" else vector.WORD_SLOT
        return first + value - FIRST_PARAM
    return vector.EPILOGUE_SLOT + value if in_epilogue else value
