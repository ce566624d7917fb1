"""From a problem and its tiling to a ``tile.group``: loops, transfers, mma and vexec.

Parallel loops stand outside, reduction loops inside them. Every operand is transferred in the
innermost loop that moves its box; the accumulator is acquired for the reduction loops, drained by
the vector kernel into the output slot, and stored.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from npuc.compiler.analysis.layouts import packed
from npuc.compiler.dialects.tile_attributes import BufferSpec, BufferType
from npuc.compiler.dialects.tile_commands import (
    AcquireOp,
    AwaitOp,
    GatherOp,
    HeldOp,
    LoadOp,
    MmaOp,
    Operands,
    ReleaseOp,
    SignalOp,
    StoreOp,
    VexecOp,
)
from npuc.compiler.dialects.tile_group import GroupOp
from npuc.compiler.dialects.tile_structure import AffineOp, BufferOp, ForOp, MinOp
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.schedule.estimate import cut_operands
from npuc.compiler.schedule.panels import panel_columns, panel_map
from npuc.compiler.schedule.problem import (
    K_DIMS,
    N_DIM,
    PARALLEL,
    RANK,
    GroupProblem,
    Home,
    Operand,
)
from npuc.compiler.schedule.program import tensor_bytes
from npuc.compiler.schedule.queues import in_halves
from npuc.compiler.schedule.split.multicast import room_signal, sent_signal
from npuc.compiler.schedule.tiling import (
    Tiling,
    acc_ring_depth,
    acc_slot_bytes,
    placement,
    ring_depth,
    slot_bytes,
)
from npuc.compiler.shared_attributes import int_attr
from npuc.compiler.xdsl_api import Block, Operation, SSAValue
from npuc.isa.descriptors import Segment, Space, TensorMap, View, Window
from npuc.isa.dtypes import DType
from npuc.isa.target import Target

A_DIMS = (0, 1, 2, *K_DIMS)
W_DIMS = (*K_DIMS, N_DIM)
ACC_DIMS = (0, 1, 2, N_DIM)
ALL_DIMS = tuple(range(RANK))


@dataclass(frozen=True)
class GroupMemory:
    """What a group finds in memory: DRAM ``tensors`` by argument, SPM ``buffers`` by operand.

    ``first`` and ``last`` are the buffers that no earlier, or no later, group of the core uses.
    ``awaits`` are pairs (signal, queue) to wait for before what other cores make is loaded.
    """

    tensors: Sequence[SSAValue | None]
    buffers: Mapping[int, SSAValue] = field(default_factory=dict)
    first: Collection[SSAValue] = ()
    last: Collection[SSAValue] = ()
    awaits: Sequence[tuple[str, str]] = ()


def build_group(
    problem: GroupProblem, tiling: Tiling, target: Target, memory: GroupMemory
) -> GroupOp:
    """The tile group of one problem, under its name."""
    outer = list(dict.fromkeys([t for t in memory.tensors if t is not None]))
    outer += list(dict.fromkeys(memory.buffers.values()))
    group = GroupOp(problem.name, outer)
    inner = dict(zip(outer, group.body.block.args, strict=True))
    builder = _GroupBuilder(
        problem,
        tiling,
        target,
        tuple(None if t is None else inner[t] for t in memory.tensors),
        group.body.block,
        awaits=tuple(memory.awaits),
    )
    for buffer in dict.fromkeys(memory.buffers.values()):
        builder.enter(inner[buffer], buffer in memory.first)
    builder.resident = {n: inner[buffer] for n, buffer in memory.buffers.items()}
    builder.build()
    for buffer in dict.fromkeys(memory.buffers.values()):
        if buffer in memory.last:
            group.body.block.add_op(ReleaseOp(inner[buffer]))
    return group


def build_multicast(
    name: str,
    ends: tuple[SSAValue, SSAValue],
    part: Sequence[tuple[str, tuple[int, int]]],
    cores: tuple[int, int],
) -> GroupOp:
    """The tile group that loads a ``part`` of a constant for all cores: its bytes, by queue.

    ``ends``: the buffer, whole, and the tensor. ``cores``: which one this is, of how many.
    """
    (buffer, tensor), (own, n_cores) = ends, cores
    group = GroupOp(name, [buffer, tensor])
    block = group.body.block
    acquire = AcquireOp(block.args[0])
    block.add_op(acquire)
    for queue, (first, last) in part:
        transfer = _bytes_map(first, last), Place(((0, 0),), (0, first))
        load = LoadOp((acquire.slot, block.args[1]), transfer, (), queue)
        load.cores = int_attr((1 << n_cores) - 1)
        others = [room_signal(core, queue) for core in range(n_cores) if core != own]
        block.add_op(SignalOp(room_signal(own, queue), queue))
        block.add_ops([AwaitOp(signal, queue) for signal in others])
        block.add_ops([load, SignalOp(sent_signal(own, queue), queue)])
    return group


@dataclass
class _GroupBuilder:
    problem: GroupProblem
    tiling: Tiling
    target: Target
    tensors: tuple[SSAValue | None, ...]
    block: Block
    resident: dict[int, SSAValue] = field(default_factory=dict)
    entered: dict[SSAValue, SSAValue] = field(default_factory=dict)
    starts: dict[int, SSAValue] = field(default_factory=dict)
    true_extents: dict[int, SSAValue] = field(default_factory=dict)
    rings: dict[int, SSAValue] = field(default_factory=dict)
    slots: dict[int, SSAValue] = field(default_factory=dict)
    acc_ring: SSAValue | None = None
    cut: frozenset[int] = frozenset()
    awaits: Sequence[tuple[str, str]] = ()
    sums: dict[Block, dict[tuple[tuple[int, int], ...], SSAValue]] = field(default_factory=dict)

    def enter(self, buffer: SSAValue, is_first: bool) -> None:
        """Name the slot of a buffer that outlives the group."""
        self.entered[buffer] = self._add(AcquireOp(buffer) if is_first else HeldOp(buffer))

    def build(self) -> None:
        if not any(o.waits and not o.is_resident for o in self.problem.operands):
            self._await()
        for number, buffer in self.resident.items():
            self.slots[number] = self.entered[buffer]
            if self.problem.operands[number].home is Home.fetched:
                self._fetch(number)
        trips = self.tiling.trips(self.problem)
        self.loops = [d for d in self.tiling.loops if trips[d] > 1]
        self.outer = sum(d < PARALLEL for d in self.loops)
        self._declare_rings()
        self._emit_level(0)

    def _declare_rings(self) -> None:
        self.cut = cut_operands(self.problem, self.tiling, self.target)
        tile = self.tiling.tile
        for number, operand in enumerate(self.problem.operands):
            if operand.is_resident:
                continue
            depth = ring_depth(self.problem, self.tiling, operand)
            spec = BufferSpec(Space.spm, slot_bytes(operand, tile, self.target), depth)
            self.rings[number] = self._add(BufferOp(operand.name, BufferType(spec)))
        if self.problem.contraction is not None:
            depth = acc_ring_depth(self.problem, self.tiling)
            spec = BufferSpec(Space.acc, acc_slot_bytes(tile), depth)
            self.acc_ring = self._add(BufferOp("accumulator", BufferType(spec)))

    def _emit_level(self, level: int) -> None:
        """Everything inside the first ``level`` loops."""
        loaded = [
            n for n in self.problem.inputs if n not in self.resident and self._level(n) == level
        ]
        waiting = [n for n in loaded if self.problem.operands[n].waits]
        for number in (n for n in loaded if n not in waiting):
            self._load(number)
        if level == 0:
            self._await()
        for number in waiting:
            self._load(number)
        if level == self.outer:
            self._compute()
        elif level == len(self.loops):
            self._mma()
        if level < len(self.loops) and level != self.outer:
            self._loop(level)
        for number in loaded:
            self._add_op(ReleaseOp(self.rings[number]))

    def _await(self) -> None:
        for signal, queue in self.awaits:
            self._add_op(AwaitOp(signal, queue))
        self.awaits = ()

    def _compute(self) -> None:
        """One output tile: contraction if there is one, vector kernel, store."""
        if self.acc_ring is not None:
            self.slots[-1] = self._add(AcquireOp(self.acc_ring))
            if self.outer == len(self.loops):
                self._mma()
            else:
                self._loop(self.outer)
        stored = [n for n in self.problem.vector.outputs if n not in self.resident]
        for number in stored:
            self.slots[number] = self._add(AcquireOp(self.rings[number]))
        self._vexec()
        if self.acc_ring is not None:
            self._add_op(ReleaseOp(self.acc_ring))
        for number in stored:
            self._store(number)
            self._add_op(ReleaseOp(self.rings[number]))

    def _loop(self, level: int) -> None:
        dim = self.loops[level]
        extent, tile = self.problem.extents[dim], self.tiling.tile[dim]
        loop = ForOp(0, extent, tile)
        outside = self.block
        outside.add_op(loop)
        self.block = loop.body.block
        self.starts[dim] = self.block.args[0]
        if extent % tile:
            left = self._add(AffineOp([-1], extent, [self.starts[dim]]))
            self.true_extents[dim] = self._add(MinOp(left, tile))
        self._emit_level(level + 1)
        del self.starts[dim]
        self.true_extents.pop(dim, None)
        self.block = outside

    def _load(self, number: int) -> None:
        operand = self.problem.operands[number]
        self.slots[number] = self._add(AcquireOp(self.rings[number]))
        ends, numbers = (self.slots[number], self._tensor(operand)), Operands()
        transfer = self._map(operand), self._place(operand, numbers)
        chosen_by = operand.rows_from
        if chosen_by is None:
            is_cut = number in self.cut
            for queue, part in in_halves(transfer) if is_cut else [(operand.queue, transfer)]:
                self._add_op(LoadOp(ends, part, numbers.values, queue))
            return
        rows = self._view(chosen_by, sorted(operand.forms[0].dims), numbers)
        gathered = (*ends, self.slots[chosen_by]), (*transfer, rows)
        self._add_op(GatherOp(*gathered, numbers.values, operand.queue))

    def _fetch(self, number: int) -> None:
        """Load the whole tensor, as bytes, into the buffer that keeps it."""
        operand = self.problem.operands[number]
        whole = _bytes_map(0, tensor_bytes(operand))
        ends = (self.slots[number], self._tensor(operand))
        self._add_op(LoadOp(ends, (whole, Place(((0, 0),))), [], operand.queue))

    def _tensor(self, operand: Operand) -> SSAValue:
        tensor = self.tensors[operand.argument]
        assert tensor is not None, "an operand in DRAM has a tensor"
        return tensor

    def _store(self, number: int) -> None:
        operand = self.problem.operands[number]
        ends, numbers = (self.slots[number], self._tensor(operand)), Operands()
        transfer = self._map(operand), self._place(operand, numbers)
        self._add_op(StoreOp(ends, transfer, numbers.values))

    def _mma(self) -> None:
        parts = self.problem.contraction
        assert parts is not None
        numbers = Operands()
        viewed = (
            (self.slots[-1], self._acc_view(ACC_DIMS, numbers)),
            (self.slots[parts.a], self._view(parts.a, A_DIMS, numbers)),
            (self.slots[parts.w], self._view(parts.w, W_DIMS, numbers)),
        )
        reducing = [self.starts[d] for d in K_DIMS if d in self.starts]
        condition = reducing[0] if len(reducing) == 1 else None
        if len(reducing) > 1:
            condition = self._add(AffineOp([1] * len(reducing), 0, reducing))
        self._add_op(MmaOp(viewed, numbers.values, condition=condition))

    def _vexec(self) -> None:
        work, numbers = self.problem.vector, Operands()
        ins = [
            (
                self.slots[n],
                self._view(n, ALL_DIMS, numbers) if n >= 0 else self._acc_view(ALL_DIMS, numbers),
            )
            for n in work.inputs
        ]
        outs = [(self.slots[n], self._view(n, ALL_DIMS, numbers)) for n in work.outputs]
        params = work.params if work.params.words else None
        self._add_op(VexecOp((work.kernel, params), ins, outs, numbers.values))

    def _view(self, number: int, dims: Sequence[int], numbers: Operands) -> View:
        """The view of an operand over ``dims``: of its slot, packed row-major, or in place."""
        operand = self.problem.operands[number]
        is_vector = len(dims) == RANK
        is_output = number in self.problem.vector.outputs
        once = is_vector and (is_output or self.problem.contraction is not None)
        extents = tuple([1 if once and d in K_DIMS else self.tiling.tile[d] for d in dims])
        if operand.is_resident:
            return self._in_place(operand, (dims, extents), numbers)
        steps = packed(operand.box(self.tiling.tile), operand.dtype.bytes)
        strides = tuple(
            sum(f.coefficients[d] * s for f, s in zip(operand.forms, steps, strict=True))
            for d in dims
        )
        registers = self._registers(dims, extents, numbers)
        return View(operand.dtype, Space.spm, 0, extents, strides, extent_regs=registers)

    def _in_place(
        self, operand: Operand, shape: tuple[Sequence[int], tuple[int, ...]], numbers: Operands
    ) -> View:
        """The view of a tile of a resident operand, with windows where it is padded.

        ``shape``: the dimensions that the view has, and the tile's extents along them.
        """
        dims, extents = shape
        extent_regs = self._registers(dims, extents, numbers)
        moves = {d: operand.steps[d] for d in self.starts if operand.steps[d]}
        register = numbers.number(self._affine(moves)) if moves else 0
        windows = []
        for axis in operand.masked_axes(self.problem.extents):
            form = operand.forms[axis]
            starts = {d: c for d, c in enumerate(form.coefficients) if c and d in self.starts}
            windows.append(
                Window(
                    form.constant,
                    operand.shape[axis],
                    tuple(form.coefficients[d] for d in dims),
                    numbers.number(self._affine(starts)) if starts else 0,
                )
            )
        return View(
            operand.dtype,
            Space.spm,
            operand.origin,
            extents,
            operand.steps if len(dims) == RANK else tuple([operand.steps[d] for d in dims]),
            register,
            extent_regs,
            tuple(windows),
            operand.fill if windows else 0,
        )

    def _affine(self, coefficients: Mapping[int, int]) -> SSAValue:
        """The sum of loop indices times ``coefficients``, by dimension."""
        if list(coefficients.values()) == [1]:
            return self.starts[next(iter(coefficients))]
        known = tuple(sorted(coefficients.items()))
        scope = self.sums.setdefault(self.block, {})
        if known not in scope:
            terms = [self.starts[d] for d, _ in known]
            scope[known] = self._add(AffineOp([c for _, c in known], 0, terms))
        return scope[known]

    def _acc_view(self, dims: Sequence[int], numbers: Operands) -> View:
        assert self.problem.contraction is not None
        dtype = self.problem.contraction.acc_dtype
        row_major = packed(self.tiling.tile[:PARALLEL], dtype.bytes)
        steps: dict[int, int] = dict(zip(ACC_DIMS, row_major, strict=True))
        extents = tuple(self.tiling.tile[d] if d in steps else 1 for d in dims)
        strides = tuple(steps.get(d, 0) for d in dims)
        registers = self._registers(dims, extents, numbers)
        return View(dtype, Space.acc, 0, extents, strides, extent_regs=registers)

    def _registers(
        self, dims: Sequence[int], extents: Sequence[int], numbers: Operands
    ) -> tuple[int, ...]:
        """Numbers of the true extents along ``dims``; 0 where that of the tile is always true."""
        if not self.true_extents:
            return (0,) * len(dims)
        return tuple(
            numbers.number(self.true_extents.get(d)) if e > 1 else 0
            for d, e in zip(dims, extents, strict=True)
        )

    def _columns(self, operand: Operand) -> int | None:
        return panel_columns(self.problem, self.tiling, operand, self.target)

    def _map(self, operand: Operand) -> TensorMap:
        columns = self._columns(operand)
        if columns is not None:
            return panel_map(operand, self.tiling.tile, columns)
        box = operand.box(self.tiling.tile)
        steps = packed(box, operand.dtype.bytes)
        if not box:
            size = operand.dtype.bytes
            return TensorMap(
                Segment.scratch, operand.dtype, operand.base, (1,), (size,), (1,), (size,)
            )
        return TensorMap(
            Segment.scratch,
            operand.dtype,
            operand.base,
            self._reach(operand),
            operand.strides,
            box if operand.rows_from is None else (1, *box[1:]),
            steps,
            operand.fill,
        )

    def _reach(self, operand: Operand) -> tuple[int, ...]:
        """Extents of the operand's tensor; a result's end with this problem's part of it.

        The last tile of a part may be ragged: what is beyond belongs to another stripe or core.
        """
        if operand.queue != "st":
            return operand.shape
        ends = [form.constant + form.box(self.problem.extents) for form in operand.forms]
        return tuple(map(min, operand.shape, ends))

    def _place(self, operand: Operand, numbers: Operands) -> Place:
        coordinates = [self._coordinate(f.coefficients, f.constant, numbers) for f in operand.forms]
        if operand.rows_from is not None:
            coordinates[0] = (0, 0)  # the list says which row
        if self._columns(operand) is not None:
            coordinates = [coordinates[-1], *coordinates[:-1], (0, 0)]
        return Place(tuple(coordinates or [(0, 0)]))

    def _coordinate(
        self, coefficients: tuple[int, ...], constant: int, numbers: Operands
    ) -> tuple[int, int]:
        terms = [(c, self.starts[d]) for d, c in enumerate(coefficients) if c and d in self.starts]
        if not terms:
            return 0, constant
        if len(terms) == 1 and terms[0][0] == 1:
            return numbers.number(terms[0][1]), constant
        index = self._add(AffineOp([c for c, _ in terms], 0, [v for _, v in terms]))
        return numbers.number(index), constant

    def _level(self, number: int) -> int:
        """Number of this group's loops around the transfer of an operand."""
        inside = placement(self.problem, self.tiling, self.problem.operands[number])
        return sum(d in self.loops for d in self.tiling.loops[:inside])

    def _add(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def _add_op(self, op: Operation) -> None:
        self.block.add_op(op)


def _bytes_map(first: int, last: int) -> TensorMap:
    """Bytes [first, last) of a tensor, one after another."""
    n_bytes = (last - first,)
    return TensorMap(Segment.scratch, DType.i8, first, n_bytes, (1,), n_bytes, (1,))
