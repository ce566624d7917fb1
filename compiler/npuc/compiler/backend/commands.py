"""Commands of ``tile`` as instructions of ``npu``: operand numbers become registers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from npuc.compiler.backend.code import Code, Value
from npuc.compiler.backend.rings import Rings
from npuc.compiler.backend.trace import Objects
from npuc.compiler.dialects.npu import GatherOp, LdOp, MmaOp, Order, References, StOp, VexecOp
from npuc.compiler.dialects.tile import GatherOp as TileGatherOp
from npuc.compiler.dialects.tile import LoadOp, Place, StoreOp
from npuc.compiler.dialects.tile import MmaOp as TileMmaOp
from npuc.compiler.dialects.tile import VexecOp as TileVexecOp
from npuc.compiler.xdsl_api import Operation, SSAValue
from npuc.isa.descriptors import Params, View, Window

COORDINATE_MIN, COORDINATE_MAX = -(1 << 15), (1 << 15) - 1


@dataclass(frozen=True)
class Commands:
    """Lowers the commands of one group."""

    code: Code
    rings: Rings
    objects: Objects

    def prepare(self, op: Operation) -> "Prepared":
        """Compute the operands of ``op`` (this may append scalar instructions)."""
        if type(op) is TileVexecOp:
            return self._vexec(op)
        if type(op) is TileMmaOp:
            return self._mma(op)
        assert isinstance(op, LoadOp | StoreOp | TileGatherOp)
        return self._transfer(op)

    def _transfer(self, op: LoadOp | StoreOp | TileGatherOp) -> "Prepared":
        values = self._values(op.dynamics)
        buffer, start = self.rings.slot(op.slot)
        place = op.place.data
        coordinates = tuple(self._coordinate(values[n], c) for n, c in place.coordinates)
        number, constant = place.offset
        offset = self.code.sum(start, _plus(values[number], constant))
        placed = Place(coordinates, (offset.register, offset.constant))
        buffers, views = [buffer], tuple[View, ...]()
        if isinstance(op, TileGatherOp):
            views = self._views([op.view.data], [op.indices], values)
            first, *others = coordinates
            others = [(self.code.in_register(Value(*c)), 0) if c[1] else c for c in others]
            placed = replace(placed, coordinates=(first, *others))
            buffers.append(self.rings.slot(op.indices)[0])
        numbers = tuple(self.objects.buffers[each] for each in buffers)
        references = References(numbers, self.objects.tensors[op.tensor])
        queue = "" if isinstance(op, StoreOp) else op.queue.data.value
        return Prepared(op, references, views, placed, queue)

    def _coordinate(self, value: Value, constant: int) -> tuple[int, int]:
        total = _plus(value, constant)
        if COORDINATE_MIN <= total.constant <= COORDINATE_MAX:
            return total.register, total.constant
        return self.code.in_register(total), 0

    def _mma(self, op: TileMmaOp) -> "Prepared":
        slots = (op.acc, op.a, op.w)
        views = self._views([v.data for v in op.views.data], slots, self._values(op.dynamics))
        always, register = op.accumulate is not None, 0
        if op.condition is not None:
            value = self.code.get(op.condition)
            register = self.code.in_register(value)
        return Prepared(op, self._buffers(slots), views, accumulate=(always, register))

    def _vexec(self, op: TileVexecOp) -> "Prepared":
        slots = (*op.ins, *op.outs)
        values = self._values(op.dynamics)
        views = self._views([v.data for v in op.views.data], slots, values)
        params = None
        if op.params is not None:
            given = op.params.data
            registers = tuple(self.code.in_register(values[n]) if n else 0 for n in given.registers)
            params = Params(given.words, registers)
        return Prepared(op, self._buffers(slots), views, params=params)

    def _values(self, dynamics: Sequence[SSAValue]) -> list[Value]:
        return [Value(), *(self.code.get(value) for value in dynamics)]

    def _buffers(self, slots: Sequence[SSAValue]) -> References:
        return References(tuple(self.objects.buffers[self.rings.slot(s)[0]] for s in slots))

    def _views(
        self, views: list[View], slots: Sequence[SSAValue], values: list[Value]
    ) -> tuple[View, ...]:
        return tuple(
            self._view(view, self.rings.slot(slot)[1], values)
            for view, slot in zip(views, slots, strict=True)
        )

    def _view(self, view: View, start: Value, values: list[Value]) -> View:
        if not start.register and not view.registers and view.base + start.constant >= 0:
            return view.moved(start.constant)  # most are
        base = self.code.sum(start, _plus(values[view.base_reg], view.base))
        if base.constant < 0:  # the field is unsigned
            base = Value(self.code.in_register(base))
        extents = [
            self._extent(bound, values[n] if n else None)
            for bound, n in zip(view.extents, view.extent_regs, strict=True)
        ]
        return replace(
            view,
            base=base.constant,
            base_reg=base.register,
            extents=tuple(bound for bound, _ in extents),
            extent_regs=tuple(register for _, register in extents),
            windows=tuple(_window(window, values) for window in view.windows),
        )

    def _extent(self, bound: int, value: Value | None) -> tuple[int, int]:
        if value is None:
            return bound, 0
        if not value.register:
            return max(0, min(bound, value.constant)), 0
        return bound, self.code.in_register(value)


@dataclass(frozen=True)
class Prepared:
    """A command with registers for operands, ready for its waits."""

    op: Operation
    references: References
    views: tuple[View, ...] = ()
    place: Place | None = None
    queue: str = ""
    accumulate: tuple[bool, int] = (False, 0)
    params: Params | None = None

    def instruction(self, order: Order) -> Operation:
        """The ``npu`` operation with ``order``."""
        op, references = self.op, self.references
        if isinstance(op, LoadOp):
            assert self.place is not None
            load = LdOp(self.queue, (op.map.data, self.place), references, order)
            load.cores = op.cores
            return load
        if isinstance(op, TileGatherOp):
            assert self.place is not None
            transfer = op.map.data, self.place, self.views[0]
            return GatherOp(self.queue, transfer, references, order)
        if isinstance(op, StoreOp):
            assert self.place is not None
            return StOp((op.map.data, self.place), references, order)
        if isinstance(op, TileMmaOp):
            acc, a, w = self.views
            return MmaOp((acc, a, w), self.accumulate, references, order)
        assert isinstance(op, TileVexecOp)
        return VexecOp((op.kernel.data, self.params), self.views, references, order)


def _plus(value: Value, constant: int) -> Value:
    return Value(value.register, value.constant + constant)


def _window(window: Window, values: list[Value]) -> Window:
    value = values[window.origin_reg]
    return replace(window, origin=window.origin + value.constant, origin_reg=value.register)
