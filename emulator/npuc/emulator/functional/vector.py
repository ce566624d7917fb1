"""Fast vector commands: a strip interpreter, one compiled function per micro-op and block.

The parallel space is cut into runs of consecutive points, so that a block of values stays in the
host's cache; the whole reduction space belongs to each point. An output that overlaps an input in
another way than point for point is computed in one block, so that all reads come first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from npuc.emulator.footprint import along
from npuc.emulator.functional import plain
from npuc.emulator.functional.gather import elements, is_plain_store, strided
from npuc.emulator.functional.kernel_plan import (
    DOMAIN_DTYPE,
    KernelPlan,
    PlanCache,
    Step,
    constant,
    is_param,
)
from npuc.emulator.functional.overlap import same_points
from npuc.emulator.functional.vector_kernels import (
    quiet_in_place,
    resume_sum,
    saturate_float,
    saturate_int,
)
from npuc.emulator.functional.weights import byte_range
from npuc.emulator.memory import Memory
from npuc.emulator.region import Part, Region, VexecWork
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.dtypes import DType
from npuc.isa.jit import HAS_NUMBA
from npuc.isa.numerics.arrays import U32, NumericTrap
from npuc.isa.numerics.convert import load_convert, store_convert
from npuc.isa.numerics.partial import finish_part, fold_part
from npuc.isa.numerics.reduction import PARTIAL_COUNT, SEQUENTIAL_LIMIT

Values = npt.NDArray[Any]
# Measured on requantisation: below this the interpreter's own time shows, above it nothing gains.
BLOCK_ELEMENTS = 16384
PARALLEL = plain.PARALLEL
_EXACT_INTEGERS = (DType.i8, DType.u8, DType.i16, DType.u16, DType.i32)
_NARROW = {
    DType.i8: (-128, 127),
    DType.u8: (0, 255),
    DType.i16: (-32768, 32767),
    DType.u16: (0, 65535),
}


@dataclass(frozen=True)
class Block:
    """Consecutive points of the parallel space: ``first`` is the row-major number of the first."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    first: int

    @property
    def points(self) -> int:
        """Number of points."""
        return prod(self.sizes)


def blocks(parallel: tuple[int, ...], per_point: int, limit: int) -> Iterator[Block]:
    """The parallel space in row-major order, in blocks of about ``limit`` values."""
    axis, inner = len(parallel) - 1, max(per_point, 1)
    while axis > 0 and inner * parallel[axis] <= limit:
        inner *= parallel[axis]
        axis -= 1
    chunk = max(1, limit // inner)
    first, points_inside = 0, prod(parallel[axis + 1 :])
    for outer in product(*(range(e) for e in parallel[:axis])):
        for start in range(0, parallel[axis], chunk):
            size = min(chunk, parallel[axis] - start)
            starts = (*outer, start) + (0,) * (len(parallel) - axis - 1)
            sizes = (1,) * axis + (size,) + parallel[axis + 1 :]
            yield Block(starts, sizes, first)
            first += size * points_inside


def execute_vexec(memory: Memory, core: int, work: VexecWork, plans: PlanCache) -> None:
    """Run body, reductions and epilogue, bit for bit as the twin. Raises: NumericTrap."""
    if not _is_fast(work):
        plain.execute_vexec(memory, core, work)
        return
    parallel, per_point = work.space[:PARALLEL], prod(work.space[PARALLEL:])
    if 0 in parallel:
        return
    limit = BLOCK_ELEMENTS
    if _needs_one_block(work):
        limit = max(prod(work.space), prod(parallel))
    plan = plans.plan(work.kernel)
    for block in blocks(parallel, per_point, limit):
        _Strip(memory, core, work, block).run(plan)


def _written(work: VexecWork) -> tuple[Region, ...]:
    """Outputs, and the state of a part, whether or not this command writes them."""
    return (*work.outputs, work.part.state) if work.part else work.outputs


def _is_fast(work: VexecWork) -> bool:
    return HAS_NUMBA and all(is_plain_store(region) for region in _written(work))


def works_in_blocks(work: VexecWork) -> bool:
    """Whether ``execute_vexec`` holds the values of one block at a time."""
    return _is_fast(work) and not _needs_one_block(work)


def _needs_one_block(work: VexecWork) -> bool:
    for out in _written(work):
        low, high = byte_range(out)
        for stream in work.inputs:
            if stream.view.space is not out.view.space or same_points(stream, out):
                continue
            first, stop = byte_range(stream)
            if low < stop and first < high:
                return True
    return _outputs_overlap(work)


def _outputs_overlap(work: VexecWork) -> bool:
    written = _written(work)
    if len(written) < 2 or written[0].view.space is not written[1].view.space:
        return False
    (low, high), (first, stop) = (byte_range(out) for out in written)
    return low < stop and first < high


def part(region: Region, block: Block, reduction: tuple[int, ...]) -> Region:
    """The piece of a region that a block works on."""
    view = region.view
    if block.first == 0 and block.sizes + reduction == region.extents:
        return region  # most commands are one block
    shift = sum(s * d for s, d in zip(block.starts, view.strides, strict=False))
    origins = tuple(
        origin + sum(s * c for s, c in zip(block.starts, window.coefficients, strict=False))
        for origin, window in zip(region.origins, view.windows, strict=True)
    )
    return Region(view, region.address + shift, block.sizes + reduction, origins)


class _Strip:
    """One block of one command: values by number, body ones of P * R elements, others of P."""

    def __init__(self, memory: Memory, core: int, work: VexecWork, block: Block) -> None:
        self.memory, self.core, self.work, self.block = memory, core, work, block
        self.points = block.points
        self.per_point = prod(work.space[PARALLEL:])
        self.loaded: dict[tuple[int, bool], Values] = {}
        self.results: list[Values] = []
        self.states: list[U32] = []
        self.part = None if work.part is None else work.part._replace(state=self._state(work.part))
        self.before = plain.read_state(memory, core, self.part) if self.part else None

    def run(self, plan: KernelPlan) -> None:
        """Load what the kernel names, run the micro-ops, store."""
        at_end = self.part is None or self.part.is_last
        for stream, in_body in plan.loads:
            if in_body or at_end:
                self._load(stream, in_body)
        for step in plan.steps:
            if step.in_body or at_end:
                self.results.append(self._compute(step))
        stored = [(region, self._converted(i)) for i, region in self.work.written]
        if self.part and not at_end:
            plain.write_state(self.memory, self.core, self.part.state, self.states)
        for region, values in stored:
            piece = part(region, self.block, region.extents[PARALLEL:])
            target = strided(self.memory.space(self.core, region.view.space), piece)
            target[...] = values.reshape(piece.extents)

    def _state(self, whole: Part) -> Region:
        """The words of this block's points."""
        return part(whole.state, self.block, whole.state.extents[PARALLEL:])

    def _load(self, stream: int, in_body: bool) -> None:
        region = self.work.inputs[stream]
        reduction = self.work.space[PARALLEL:] if in_body else (1, 1, 1)
        piece = part(region, self.block, reduction)
        raw = elements(self.memory.space(self.core, region.view.space), piece)
        domain = self.work.kernel.inputs[stream].domain
        try:
            self.loaded[stream, in_body] = convert_in(raw, region.view.dtype, domain)
        except NumericTrap as trap:
            raise self._rebased(trap, in_body) from trap

    def _value(self, number: int, domain: str, in_body: bool) -> Values:
        if number >= FIRST_RESULT:
            return self.results[number - FIRST_RESULT]
        if is_param(number):
            size = self.points * (self.per_point if in_body else 1)
            return constant(self.work.words[number - FIRST_PARAM], domain, size)
        return self.loaded[number, in_body]

    def _compute(self, step: Step) -> Values:
        values = [self._value(number, domain, step.in_body) for number, domain in step.operands]
        if step.spec.is_reduction:
            return self._reduce(step, values)
        if step.compiled is not None:
            out = np.empty(len(values[0]), step.result)
            step.compiled(out, *values)
            return out
        try:
            return np.ascontiguousarray(step.spec.meaning(*values, *self._extra(step)))
        except NumericTrap as trap:
            raise self._rebased(trap, step.in_body) from trap

    def _extra(self, step: Step) -> tuple[Values | int, ...]:
        """What a meaning takes after the operands."""
        if step.spec.extra == "coordinate":
            return (self._coordinate(step.immediate, step.in_body),)
        if step.spec.extra == "table":
            return (self.work.tables[step.immediate].array,)
        return (step.immediate,) if step.spec.extra else ()

    def _coordinate(self, dimension: int, in_body: bool) -> Values:
        reduction = self.work.space[PARALLEL:] if in_body else (1, 1, 1)
        extents = self.block.sizes + reduction
        starts = (*self.block.starts, 0, 0, 0)
        line = starts[dimension] + np.arange(extents[dimension])
        whole = np.broadcast_to(along(line, dimension, len(extents)), extents)
        return whole.astype(np.int32).reshape(-1)

    def _reduce(self, step: Step, values: list[Values]) -> Values:
        rows = [v.reshape(self.points, self.per_point) for v in values]
        if self.part:
            return self._fold(step.spec.name, rows, self.part)
        if step.compiled is None or self.per_point == 0:
            return np.ascontiguousarray(step.spec.meaning(*rows))
        out = np.empty(self.points, step.result)
        step.compiled(out, *rows)
        return out

    def _fold(self, name: str, rows: list[Values], part: Part) -> Values:
        """Take this part into the state; the value of the reduction where it is the last."""
        before = None if self.before is None else self.before[:, len(self.states)]
        if name == "sumf":
            state = np.zeros((self.points, PARTIAL_COUNT), np.uint32)
            if before is not None:
                state[...] = before
            width = 1 if part.total <= SEQUENTIAL_LIMIT else PARTIAL_COUNT
            resume_sum(state.view(np.float32), rows[0], part.start, width)
        else:
            state = fold_part(name, before, tuple(rows), (part.start, part.total))
        self.states.append(state)
        value = finish_part(name, state, part.total) if part.is_last else state
        return np.ascontiguousarray(value)

    def _converted(self, position: int) -> Values:
        output = self.work.kernel.outputs[position]
        dtype = self.work.outputs[position].view.dtype
        value = self._value(output.value, "f" if dtype.is_float else "i", not output.epilogue)
        return convert_out(value, dtype)

    def _rebased(self, trap: NumericTrap, in_body: bool) -> NumericTrap:
        point = trap.point + self.block.first * (self.per_point if in_body else 1)
        return NumericTrap(
            trap.what, f"element {point}", trap.given, trap.allowed, trap.next_step, point
        )


def convert_in(raw: Values, dtype: DType, domain: str) -> Values:
    """Stream elements as a contiguous row of values of a domain. Raises: NumericTrap."""
    kind = DOMAIN_DTYPE[domain]
    if dtype in _EXACT_INTEGERS or (dtype is DType.f32 and domain == "f"):
        out: Values = np.empty(raw.shape, kind)
        np.copyto(out, raw, casting="unsafe")
        flat = out.reshape(-1)
        if dtype is DType.f32:
            quiet_in_place(flat)
        return flat
    return np.ascontiguousarray(load_convert(raw, "f32" if domain == "f" else "i32")).reshape(-1)


def convert_out(values: Values, dtype: DType) -> Values:
    """Values of either domain as elements of an output stream."""
    if values.dtype == dtype.numpy:
        return values  # float32 values are canonical, int32 words are the elements
    if dtype not in _NARROW:
        return store_convert(values, dtype.numpy)
    low, high = _NARROW[dtype]
    out = np.empty(len(values), dtype.numpy)
    if values.dtype == np.float32:
        saturate_float(out, values, float(low), float(high))
    else:
        saturate_int(out, values, low, high)
    return out
