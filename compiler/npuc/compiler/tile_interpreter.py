"""The value of a program at the ``tile`` level: its sequential meaning, in machine numerics.

Slots and tensors are byte arrays that begin as garbage, so that a byte which nothing wrote shows in
the result. Cores run in turn, one until it awaits what another has not signalled yet.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects import tile
from npuc.compiler.locations import describe
from npuc.compiler.ops.interface import Array
from npuc.compiler.tile_values import WORD_MASK, Box, Bytes, Operand, multiply, run_kernel
from npuc.compiler.xdsl_api import Block, ModuleOp, Operation, SSAValue
from npuc.isa.descriptors import View
from npuc.isa.descriptors.kernel import MAX_PARAMS
from npuc.isa.errors import CompileError, ExecutionError, InputError

GARBAGE = 0x5B
_Viewing = tile.MmaOp | tile.VexecOp | tile.GatherOp


@dataclass(frozen=True)
class TileResult:
    """Every DRAM tensor by its name in the program as that leaves it; the outputs by theirs."""

    tensors: Mapping[str, Array]
    outputs: dict[str, Array]


def program_of(module: ModuleOp) -> tile.ProgramOp:
    """The one tile program of ``module``. Raises: CompileError for a module of another form."""
    programs = [op for op in module.body.block.ops if isinstance(op, tile.ProgramOp)]
    if len(programs) != 1:
        raise CompileError(
            "the module has another form than values of the tile level need",
            given=f"{len(programs)} operations tile.program",
            allowed="one tile.program",
            next_step="give IR of the stage schedule",
        )
    return programs[0]


def evaluate_tiles(module: ModuleOp, inputs: Mapping[str, Array], consts: ConstStore) -> TileResult:
    """What the tile program in ``module`` makes of ``inputs``; every tensor by name.

    Raises: InputError for a missing input or one of another size; ExecutionError where a command
    traps or leaves its slot, naming the group.
    """
    program = program_of(module)
    tensors = [op for op in program.body.block.ops if isinstance(op, tile.TensorOp)]
    memory: dict[SSAValue, Bytes] = {op.tensor: _initial(op, inputs, consts) for op in tensors}
    _run_cores([op for op in program.body.block.ops if isinstance(op, tile.CoreOp)], memory)
    values = {op.tensor_name.data: _array(op, memory[op.tensor]) for op in tensors}
    outputs = {
        (op.known_as or op.tensor_name).data: values[op.tensor_name.data]
        for op in tensors
        if op.segment.data is tile.SegmentName.output
    }
    return TileResult(values, outputs)


def _initial(op: tile.TensorOp, inputs: Mapping[str, Array], consts: ConstStore) -> Bytes:
    name, spec, segment = op.tensor_name.data, op.tensor.type.data, op.segment.data
    if op.key is not None:
        return np.frombuffer(consts.get(op.key.data).tobytes(), np.uint8)
    if segment is tile.SegmentName.state:
        return np.zeros(spec.n_bytes, np.uint8)
    if segment is not tile.SegmentName.input:
        return np.full(spec.n_bytes, GARBAGE, np.uint8)
    given = inputs.get(name)
    if given is None or given.nbytes != spec.n_bytes:
        raise InputError(
            "an input is missing or of the wrong size",
            where=name,
            given="nothing" if given is None else f"{given.dtype} {list(given.shape)}",
            allowed=f"{spec.dtype.name} {list(spec.shape)}",
        )
    return np.frombuffer(given.tobytes(), np.uint8)


def _array(op: tile.TensorOp, memory: Bytes) -> Array:
    spec = op.tensor.type.data
    return memory.view(spec.dtype.numpy).reshape(spec.shape)


def _run_cores(cores: list[tile.CoreOp], memory: dict[SSAValue, Bytes]) -> None:
    """Run each core as far as it gets, in turn, until all are done."""
    signals: dict[str, int] = {}
    shared: dict[tuple[int, str], Bytes] = {}
    states = [_Core(memory, signals, core.index.data, shared) for core in cores]
    pairs = zip(states, cores, strict=True)
    running = [state.run(core.body.block) for state, core in pairs]
    while running:
        before = dict(signals)
        waiting = [run for run in running if next(run, None) is not None]
        if len(waiting) == len(running) and signals == before:
            raise ExecutionError(
                "the cores wait for one another for ever",
                given=f"{len(waiting)} cores; signals so far: {signals or 'none'}",
                next_step="every await needs a signal of its name",
            )
        running = waiting


@dataclass
class _Ring:
    slots: list[Bytes]
    name: str
    acquired: int = 0
    released: int = 0


@dataclass
class _Core:
    """The state of one core. ``run`` yields the name of a signal where the core must wait.

    ``shared``: buffers that other cores may write, by core and name: all have one address.
    """

    tensors: dict[SSAValue, Bytes]
    signals: dict[str, int]
    index: int
    shared: dict[tuple[int, str], Bytes]
    awaited: dict[str, int] = field(default_factory=dict)
    rings: dict[SSAValue, _Ring] = field(default_factory=dict)
    slots: dict[SSAValue, Bytes] = field(default_factory=dict)
    indices: dict[SSAValue, int] = field(default_factory=dict)

    def run(self, block: Block) -> Iterator[str]:
        for op in block.ops:
            match op:
                case tile.GroupOp():
                    yield from self._group(op)
                case tile.ForOp():
                    for i in range(op.lower.data, op.upper.data, op.step.data):
                        self.indices[op.induction] = i
                        yield from self.run(op.body.block)
                case tile.AwaitOp():
                    yield from self._await(op.signal.data)
                case tile.SignalOp():
                    name = op.signal.data
                    self.signals[name] = self.signals.get(name, 0) + 1
                case _:
                    self._step(op)

    def _group(self, group: tile.GroupOp) -> Iterator[str]:
        for inner, outer in zip(group.body.block.args, group.arguments, strict=True):
            if outer in self.rings:
                self.rings[inner] = self.rings[outer]
            else:
                self.tensors[inner] = self.tensors[outer]
        name = f"group {group.group_name.data}, node {describe(group)}"
        try:
            yield from self.run(group.body.block)
        except ExecutionError as error:
            where = f"{name}, {error.where}" if error.where else name
            raise ExecutionError(error.what, where, error.given, error.allowed) from error

    def _await(self, name: str) -> Iterator[str]:
        count = self.awaited[name] = self.awaited.get(name, 0) + 1
        while self.signals.get(name, 0) < count:
            yield name

    def _step(self, op: Operation) -> None:
        match op:
            case tile.BufferOp():
                spec = op.buffer.type.data
                slots = [np.full(spec.slot_bytes, GARBAGE, np.uint8) for _ in range(spec.depth)]
                name = op.buffer_name.data
                self.rings[op.buffer] = _Ring(slots, name)
                if op.address is not None:
                    self.shared[self.index, name] = slots[0]
            case tile.AcquireOp() | tile.HeldOp() | tile.ReleaseOp():
                self._slot(op)
            case tile.LoadOp() | tile.StoreOp():
                self._transfer(op)
            case tile.GatherOp():
                self._gather(op)
            case tile.MmaOp():
                acc, a, w = self._operands(op, (op.acc, op.a, op.w))
                asked = op.condition is not None and self.indices[op.condition] != 0
                multiply(acc, a, w, op.accumulate is not None or asked)
            case tile.VexecOp():
                self._vexec(op)
            case _:
                self._index(op)

    def _slot(self, op: tile.AcquireOp | tile.HeldOp | tile.ReleaseOp) -> None:
        ring = self.rings[op.buffer]
        if isinstance(op, tile.ReleaseOp):
            ring.released += 1
            return
        if isinstance(op, tile.HeldOp):
            self.slots[op.slot] = ring.slots[(ring.released + op.age.data) % len(ring.slots)]
            return
        slot = ring.slots[ring.acquired % len(ring.slots)]
        slot[:] = GARBAGE
        ring.acquired += 1
        self.slots[op.slot] = slot

    def _transfer(self, op: tile.LoadOp | tile.StoreOp) -> None:
        place = op.place.data
        corner = tuple(self._referred(op.dynamics, *c) for c in place.coordinates)
        box = Box(op.map.data, corner, self._referred(op.dynamics, *place.offset))
        if isinstance(op, tile.StoreOp):
            box.store(self.slots[op.slot], self.tensors[op.tensor])
            return
        for slot in self._receivers(op):
            box.load(slot, self.tensors[op.tensor])

    def _receivers(self, op: tile.LoadOp) -> list[Bytes]:
        """The slots that a load fills: its own, or those of the cores that it goes to."""
        if op.cores is None:
            return [self.slots[op.slot]]
        taken = op.slot.owner
        assert isinstance(taken, tile.AcquireOp | tile.HeldOp)
        name = self.rings[taken.buffer].name
        return [
            self.shared[core, name]
            for core in range(op.cores.data.bit_length())
            if op.cores.data >> core & 1
        ]

    def _gather(self, op: tile.GatherOp) -> None:
        place, step = op.place.data, op.map.data.spm_strides[0]
        corner = [self._referred(op.dynamics, *c) for c in place.coordinates]
        start = self._referred(op.dynamics, *place.offset)
        rows = self._operand(op, op.indices, op.view.data).read()
        for j, row in enumerate(rows.tolist()):
            box = Box(op.map.data, (row + corner[0], *corner[1:]), start + j * step)
            box.load(self.slots[op.slot], self.tensors[op.tensor])

    def _vexec(self, op: tile.VexecOp) -> None:
        operands = self._operands(op, (*op.ins, *op.outs))
        words = [0] * MAX_PARAMS
        if op.params is not None:
            record = op.params.data
            for i, (word, number) in enumerate(zip(record.words, record.registers, strict=True)):
                value = self.indices[op.dynamics[number - 1]] if number else word
                words[i] = value & WORD_MASK
        run_kernel(op.kernel.data, words, operands[: len(op.ins)], operands[len(op.ins) :])

    def _operands(
        self, op: tile.MmaOp | tile.VexecOp, slots: tuple[SSAValue, ...]
    ) -> list[Operand]:
        views = [attribute.data for attribute in op.views.data]
        return [self._operand(op, s, v) for s, v in zip(slots, views, strict=True)]

    def _operand(self, op: _Viewing, slot: SSAValue, view: View) -> Operand:
        dynamics = op.dynamics
        extents = tuple(
            self.indices[dynamics[number - 1]] if number else extent
            for extent, number in zip(view.extents, view.extent_regs, strict=True)
        )
        origins = tuple(self._referred(dynamics, w.origin_reg, w.origin) for w in view.windows)
        base = self._referred(dynamics, view.base_reg, view.base)
        return Operand(view, self.slots[slot], base, extents, origins)

    def _index(self, op: Operation) -> None:
        match op:
            case tile.AffineOp():
                terms = zip(op.coefficients.data, op.terms, strict=True)
                total = sum(c.data * self.indices[v] for c, v in terms)
                self.indices[op.result] = total + op.constant.data
            case tile.MinOp():
                self.indices[op.result] = min(self.indices[op.value], op.limit.data)
            case tile.MaxOp():
                self.indices[op.result] = max(self.indices[op.value], op.limit.data)
            case _:
                raise CompileError(
                    "the tile level has no value for an operation",
                    where=describe(op),
                    given=op.name,
                    allowed="operations of the tile dialect",
                )

    def _referred(self, dynamics: tuple[SSAValue, ...], number: int, constant: int) -> int:
        return constant + (self.indices[dynamics[number - 1]] if number else 0)
