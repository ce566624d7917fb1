"""The stage ``lower``: ``tile`` to ``npu``, group by group.

Groups with equal bodies are lowered once and their instructions copied: these name tensors and
buffers by number, and counts relative to registers, so they fit every such group.
"""

from collections import Counter as Multiset
from dataclasses import dataclass, field

from npuc.compiler.backend.lower_group import CoreState, LoweredGroup, lower_group
from npuc.compiler.backend.signals import Signals, awaits_in
from npuc.compiler.backend.trace import TENSOR_SLOT
from npuc.compiler.context import npu_context
from npuc.compiler.dialects import npu, tile
from npuc.compiler.xdsl_api import (
    Block,
    Context,
    LocationAttr,
    ModuleOp,
    ModulePass,
    Operation,
    PlainOperation,
    Region,
    SSAValue,
    UnknownLoc,
)
from npuc.isa.instructions import Engine
from npuc.isa.instructions.base import MAX_LOOP_DEPTH

assert MAX_LOOP_DEPTH >= tile.MAX_LOOP_NEST


@dataclass
class _Core:
    """One core being lowered: its state and the names and lives of its buffers.

    ``addresses`` are those that are decided before buffers are placed.
    """

    op: npu.CoreOp
    signals: Signals
    tensor_names: dict[SSAValue, str]
    awaited: "Multiset[str]" = field(default_factory=Multiset)
    names: dict[SSAValue, str] = field(default_factory=dict)
    lives: dict[str, npu.Life] = field(default_factory=dict)
    types: dict[str, tile.BufferType] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)

    def declare(self, prefix: str, buffer: tile.BufferOp) -> str:
        """A name of its own for ``buffer``."""
        wanted = prefix + buffer.buffer_name.data
        name, number = wanted, 1
        while name in self.types:
            number += 1
            name = f"{wanted}#{number}"
        self.names[buffer.buffer] = name
        self.types[name] = buffer.buffer.type
        if buffer.address is not None:
            self.addresses[name] = buffer.address.data
        return name

    def use(self, name: str, position: int) -> None:
        """The buffer is in use in the group at ``position``."""
        life = self.lives.get(name)
        self.lives[name] = npu.Life(life.first if life else position, position)


class _Lowering:
    """Lowers a whole program; ``templates`` remembers the groups of a core by what they say."""

    def __init__(self) -> None:
        self.templates: dict[tuple[object, ...], tuple[Block, npu.Usage]] = {}
        self.reused = 0

    def program(self, program: tile.ProgramOp) -> npu.ProgramOp:
        """The ``npu`` program."""
        result = npu.ProgramOp()
        tensor_names: dict[SSAValue, str] = {}
        cores = [op for op in program.body.block.ops if isinstance(op, tile.CoreOp)]
        signals = Signals.of(cores)
        for op in program.body.block.ops:
            if isinstance(op, tile.TensorOp):
                tensor_names[op.tensor] = op.tensor_name.data
                result.body.block.add_op(_tensor(op))
        for op in cores:
            core = npu.CoreOp(op.index.data)
            result.body.block.add_op(core)
            self._core(op, _Core(core, signals, tensor_names))
        return result

    def _core(self, source: tile.CoreOp, core: _Core) -> None:
        groups: list[npu.GroupOp] = []
        for op in source.body.block.ops:
            if isinstance(op, tile.BufferOp):
                core.declare("", op)
            elif isinstance(op, tile.GroupOp):
                groups.append(self._group(op, core, len(groups)))
        block = core.op.body.block
        for name, life in core.lives.items():
            block.add_op(npu.BufferOp(name, core.types[name], life, core.addresses.get(name)))
        block.add_ops([*groups, npu.HaltOp()])

    def _group(self, group: tile.GroupOp, core: _Core, position: int) -> npu.GroupOp:
        index = core.op.index.data
        awaits = awaits_in(group) if core.signals.counters else Multiset[str]()
        awaited = {name: core.awaited[name] for name in sorted(awaits)}
        key = (index, tuple(awaited.items()), _contents(group.body.block, {}))
        template = self.templates.get(key)
        if template is None:
            lowered = lower_group(group, CoreState(index, core.signals, awaited))
            body, usage = self.templates[key] = lowered.block, _usage(lowered)
        else:
            self.reused += 1
            body, usage = _copy(template[0], group.location), template[1]
        core.awaited.update(awaits)
        names = self._names(group, core, position)
        result = npu.GroupOp(group.group_name.data, names, usage, Region(body))
        result.location = group.location
        return result

    def _names(
        self, group: tile.GroupOp, core: _Core, position: int
    ) -> tuple[list[str], list[str]]:
        """Tensors, then buffers, in the order of the numbers of ``trace.Objects``."""
        own = [op for op in group.body.block.ops if type(op) is tile.BufferOp]
        buffers = [core.declare(f"{group.group_name.data}/", op) for op in own]
        buffers += [core.names[a] for a in group.arguments if isinstance(a.type, tile.BufferType)]
        for name in buffers:
            core.use(name, position)
        tensors = [core.tensor_names[a] for a in group.arguments if a in core.tensor_names]
        return tensors, buffers


def _tensor(op: tile.TensorOp) -> npu.TensorOp:
    result = npu.TensorOp(properties={**op.properties, "tensor_type": op.tensor.type})
    result.location = op.location
    return result


def _usage(lowered: LoweredGroup) -> npu.Usage:
    touches: dict[tuple[object, ...], npu.Touch] = {}
    for ((number, slot), engine, writes), count in lowered.plan.last.items():
        touch = npu.Touch(slot == TENSOR_SLOT, number, engine, writes, count)
        key = (touch.is_tensor, number, engine, writes)
        if key not in touches or touches[key].count < count:
            touches[key] = touch
    known = tuple(
        npu.Known(engine, source, clock[source.value])
        for engine, clock in lowered.plan.clocks.items()
        for source in Engine
        if source is not engine and clock[source.value]
    )
    return npu.Usage(lowered.plan.totals, tuple(touches.values()), known)


def _copy(block: Block, location: LocationAttr) -> Block:
    copies, is_unknown = [], isinstance(location, UnknownLoc)
    for op in block.ops:
        assert isinstance(op, PlainOperation), "lower-tiles makes no others"
        copy = op.twin([Region(_copy(region.block, location)) for region in op.regions])
        copy.location = op.location if is_unknown else location
        copies.append(copy)
    return Block(copies)


def _contents(block: Block, numbers: dict[SSAValue, int]) -> tuple[object, ...]:
    """What ``block`` says, whatever its values are called; equal for equal bodies.

    ``numbers`` are those of the values so far; those of the block join them.
    """
    for argument in block.args:
        numbers[argument] = len(numbers)
    said: list[object] = [tuple(a.type for a in block.args)]
    for op in block.ops:
        for result in op.results:
            numbers[result] = len(numbers)
        said.append(
            (
                op.name,
                tuple([numbers[operand] for operand in op.operands]),
                tuple(op.properties.items()),
                tuple(op.attributes.items()),
                tuple([result.type for result in op.results]),
                tuple([_contents(b, numbers) for region in op.regions for b in region.blocks]),
            )
        )
    return tuple(said)


def lower_program(program: tile.ProgramOp) -> npu.ProgramOp:
    """``program`` in ``npu``. Raises: CompileError where it does not fit the machine."""
    return _Lowering().program(program)


@dataclass(frozen=True)
class LowerTiles(ModulePass):
    """Tile loops to instructions with registers, hardware loops and waits."""

    name = "lower-tiles"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in [p for p in op.body.block.ops if isinstance(p, tile.ProgramOp)]:
            block = program.parent_block()
            assert block is not None
            lowering = _Lowering()
            lowered: Operation = lowering.program(program)
            npu_context(ctx).remarks.note(
                "lower-tiles",
                "groups with equal bodies are lowered once",
                lowered=len(lowering.templates),
                reused=lowering.reused,
            )
            block.insert_op_before(lowered, program)
            block.detach_op(program)
