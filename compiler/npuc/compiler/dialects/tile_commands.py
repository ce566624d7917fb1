"""Commands of ``tile``: slots of rings, transfers, matrix and vector work, cross-core order.

Descriptors refer to dynamic operands by number (``?1`` is the first of ``dynamic(…)``): number
them with ``Operands`` while building.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from npuc.compiler.dialects.tile_attributes import (
    SLOT,
    BufferSpec,
    BufferType,
    DramType,
    KernelAttr,
    MapAttr,
    ParamsAttr,
    PlaceAttr,
    ViewAttr,
)
from npuc.compiler.dialects.tile_structure import BufferOp, CoreOp, ProgramOp
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.dialects.tile_verify import (
    check_numbers,
    check_transfer,
    check_view,
)
from npuc.compiler.shared_attributes import INDEX, int_attr, segment_sizes
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    AttrSizedOperandSegments,
    BlockArgument,
    EnumAttribute,
    IntAttr,
    IRDLOperation,
    Operation,
    ParsePropInAttrDict,
    Parser,
    PlainOperation,
    Printer,
    SSAValue,
    StrEnum,
    StringAttr,
    UnitAttr,
    VerifyException,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    var_operand_def,
)
from npuc.isa.descriptors import Kernel, Params, TensorMap, View
from npuc.isa.dtypes import DType

Viewed = tuple[SSAValue, View]
# The ends of a transfer are (slot, tensor), whichever way it goes.


class QueueName(StrEnum):
    """The engines of a core; the names of ``npuc.isa.instructions.Engine``."""

    ctl = "ctl"
    ld0 = "ld0"
    ld1 = "ld1"
    st = "st"
    mxu = "mxu"
    vpu = "vpu"


@irdl_attr_definition
class QueueAttr(EnumAttribute[QueueName]):
    """An engine by name."""

    name = "tile.queue"


@dataclass
class Operands:
    """Collects the dynamic operands of one command and numbers them from 1."""

    values: list[SSAValue] = field(default_factory=list)

    def number(self, value: SSAValue | None) -> int:
        """The number of ``value`` (0 for None), the same for the same value."""
        if value is None:
            return 0
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value) + 1


@irdl_op_definition
class AcquireOp(PlainOperation):
    """The next slot of a ring, to be filled."""

    name = "tile.acquire"
    buffer = operand_def(BufferType)
    slot = result_def(SLOT)
    assembly_format = "$buffer attr-dict `:` type($buffer)"

    def __init__(self, buffer: SSAValue) -> None:
        super().__init__(operands=[buffer], result_types=[SLOT])


@irdl_op_definition
class HeldOp(PlainOperation):
    """``tile.held %ring[1]``: the second oldest slot that is held."""

    name = "tile.held"
    buffer = operand_def(BufferType)
    age = prop_def(IntAttr)
    slot = result_def(SLOT)

    def __init__(self, buffer: SSAValue, age: int = 0) -> None:
        super().__init__(operands=[buffer], result_types=[SLOT], properties={"age": int_attr(age)})

    def verify_(self) -> None:
        ring = self.buffer.type
        if not isinstance(ring, BufferType) or not 0 <= self.age.data < ring.data.depth:
            raise VerifyException("a held slot's age is not below the depth of its ring")

    @classmethod
    def parse(cls, parser: Parser) -> "HeldOp":
        buffer = parser.parse_unresolved_operand()
        with parser.in_square_brackets():
            age = parser.parse_integer()
        parser.parse_punctuation(":")
        return cls(parser.resolve_operand(buffer, parser.parse_type()), age)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.buffer)
        printer.print_string(f"[{self.age.data}] : ")
        printer.print_attribute(self.buffer.type)


@irdl_op_definition
class ReleaseOp(PlainOperation):
    """Give back the oldest slot held of a ring."""

    name = "tile.release"
    buffer = operand_def(BufferType)
    assembly_format = "$buffer attr-dict `:` type($buffer)"

    def __init__(self, buffer: SSAValue) -> None:
        super().__init__(operands=[buffer])


@irdl_op_definition
class LoadOp(PlainOperation):
    """Move a box of a DRAM tensor into a slot; outside the tensor it is the map's fill value.

    ``cores`` is a mask of the cores into whose buffers of the same address it goes, this one's too.
    """

    name = "tile.load"
    slot = operand_def(SLOT)
    tensor = operand_def(DramType)
    dynamics = var_operand_def(INDEX)
    map = prop_def(MapAttr)
    place = prop_def(PlaceAttr)
    queue = prop_def(QueueAttr)
    cores = opt_prop_def(IntAttr)
    assembly_format = (
        "$slot `,` $tensor (`dynamic` `(` $dynamics^ `)`)? `map` $map `at` $place `on` $queue"
        " (`to` `cores` $cores^)? attr-dict `:` type($tensor)"
    )

    def __init__(
        self,
        ends: tuple[SSAValue, SSAValue],
        transfer: tuple[TensorMap, Place],
        dynamics: Sequence[SSAValue] = (),
        queue: str = "ld0",
    ) -> None:
        super().__init__(
            operands=[*ends, *dynamics],
            properties={
                "map": MapAttr(transfer[0]),
                "place": PlaceAttr(transfer[1]),
                "queue": QueueAttr(QueueName(queue)),
            },
        )

    def verify_(self) -> None:
        if self.queue.data not in (QueueName.ld0, QueueName.ld1):
            raise VerifyException("a load stands on ld0 or ld1")
        if self.cores is not None and self.cores.data < 1:
            raise VerifyException("a load goes to one core at least")
        if self.cores is not None and not is_at_one_address(self.slot):
            raise VerifyException("a load for several cores fills a buffer that has an address")
        if self.cores is not None and self.cores.data >> cores_of(self):
            raise VerifyException("a load goes to a core that the program does not have")
        check_transfer(self.map.data, self.place.data, len(self.dynamics), slot_spec(self.slot))


@irdl_op_definition
class GatherOp(PlainOperation):
    """Move one box of a DRAM tensor per index into a slot; outside the tensor it is the fill value.

    ``view`` shows the list, i32, in the slot ``indices``. Index j is added to the first coordinate
    of the place; box j, of one row, lies j times the map's first SPM stride behind its offset.
    """

    name = "tile.gather"
    slot = operand_def(SLOT)
    tensor = operand_def(DramType)
    indices = operand_def(SLOT)
    dynamics = var_operand_def(INDEX)
    map = prop_def(MapAttr)
    place = prop_def(PlaceAttr)
    view = prop_def(ViewAttr)
    queue = prop_def(QueueAttr)
    assembly_format = (
        "$slot `,` $tensor `by` $indices (`dynamic` `(` $dynamics^ `)`)? `map` $map `at` $place"
        " `view` $view `on` $queue attr-dict `:` type($tensor)"
    )

    def __init__(
        self,
        ends: tuple[SSAValue, SSAValue, SSAValue],
        transfer: tuple[TensorMap, Place, View],
        dynamics: Sequence[SSAValue] = (),
        queue: str = "ld0",
    ) -> None:
        super().__init__(
            operands=[*ends, *dynamics],
            properties={
                "map": MapAttr(transfer[0]),
                "place": PlaceAttr(transfer[1]),
                "view": ViewAttr(transfer[2]),
                "queue": QueueAttr(QueueName(queue)),
            },
        )

    def verify_(self) -> None:
        tensor_map, view, count = self.map.data, self.view.data, len(self.dynamics)
        if self.queue.data not in (QueueName.ld0, QueueName.ld1):
            raise VerifyException("a gather stands on ld0 or ld1")
        if len(view.extents) != 1 or view.dtype is not DType.i32 or tensor_map.box[0] != 1:
            raise VerifyException("a gather takes boxes of one row by a list of i32")
        check_numbers([view], (), count)
        check_view(view, slot_spec(self.indices))
        rows = replace(tensor_map, box=(view.extents[0], *tensor_map.box[1:]))
        check_transfer(rows, self.place.data, count, slot_spec(self.slot))


@irdl_op_definition
class StoreOp(PlainOperation):
    """Move a slot into a box of a DRAM tensor; outside the tensor nothing is written."""

    name = "tile.store"
    slot = operand_def(SLOT)
    tensor = operand_def(DramType)
    dynamics = var_operand_def(INDEX)
    map = prop_def(MapAttr)
    place = prop_def(PlaceAttr)
    assembly_format = (
        "$slot `,` $tensor (`dynamic` `(` $dynamics^ `)`)? `map` $map `at` $place"
        " attr-dict `:` type($tensor)"
    )

    def __init__(
        self,
        ends: tuple[SSAValue, SSAValue],
        transfer: tuple[TensorMap, Place],
        dynamics: Sequence[SSAValue] = (),
    ) -> None:
        super().__init__(
            operands=[*ends, *dynamics],
            properties={"map": MapAttr(transfer[0]), "place": PlaceAttr(transfer[1])},
        )

    def verify_(self) -> None:
        check_transfer(self.map.data, self.place.data, len(self.dynamics), slot_spec(self.slot))


@irdl_op_definition
class MmaOp(PlainOperation):
    """``acc (+)= a x w``; views of rank 4 (m0 m1 m2 n), 6 (m0 m1 m2 k0 k1 k2), 4 (k0 k1 k2 n).

    It accumulates with ``accumulate``, or where the value of ``accumulate_if`` is not 0.
    """

    name = "tile.mma"
    acc = operand_def(SLOT)
    a = operand_def(SLOT)
    w = operand_def(SLOT)
    condition = opt_operand_def(INDEX)
    dynamics = var_operand_def(INDEX)
    views = prop_def(ArrayAttr[ViewAttr])
    accumulate = opt_prop_def(UnitAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    assembly_format = (
        "$acc `,` $a `,` $w (`accumulate_if` $condition^)? (`dynamic` `(` $dynamics^ `)`)?"
        " `views` $views attr-dict"
    )

    def __init__(
        self,
        viewed: tuple[Viewed, Viewed, Viewed],
        dynamics: Sequence[SSAValue] = (),
        accumulate: bool = False,
        condition: SSAValue | None = None,
    ) -> None:
        conditions = [] if condition is None else [condition]
        super().__init__(
            operands=[*(slot for slot, _ in viewed), *conditions, *dynamics],
            properties={
                "operandSegmentSizes": segment_sizes(1, 1, 1, len(conditions), len(dynamics)),
                "views": ArrayAttr(ViewAttr(view) for _, view in viewed),
                "accumulate": UnitAttr() if accumulate else None,
            },
        )

    def verify_(self) -> None:
        views = [v.data for v in self.views.data]
        if [len(v.extents) for v in views] != [4, 6, 4]:
            raise VerifyException("the views of mma have ranks 4, 6 and 4")
        check_numbers(views, (), len(self.dynamics))
        for view, slot in zip(views, (self.acc, self.a, self.w), strict=True):
            check_view(view, slot_spec(slot))


@irdl_op_definition
class VexecOp(PlainOperation):
    """Run a vector kernel; every view has rank 7 (4 parallel, 3 reduction dimensions)."""

    name = "tile.vexec"
    ins = var_operand_def(SLOT)
    outs = var_operand_def(SLOT)
    dynamics = var_operand_def(INDEX)
    kernel = prop_def(KernelAttr)
    params = opt_prop_def(ParamsAttr)
    views = prop_def(ArrayAttr[ViewAttr])
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "`kernel` $kernel (`params` $params^)? `ins` `(` $ins `)` `outs` `(` $outs `)`"
        " (`dynamic` `(` $dynamics^ `)`)? `views` $views attr-dict"
    )

    def __init__(
        self,
        kernel: tuple[Kernel, Params | None],
        ins: Sequence[Viewed],
        outs: Sequence[Viewed],
        dynamics: Sequence[SSAValue] = (),
    ) -> None:
        views = [view for _, view in (*ins, *outs)]
        super().__init__(
            operands=[*(slot for slot, _ in (*ins, *outs)), *dynamics],
            properties={
                "operandSegmentSizes": segment_sizes(len(ins), len(outs), len(dynamics)),
                "kernel": KernelAttr(kernel[0]),
                "params": None if kernel[1] is None else ParamsAttr(kernel[1]),
                "views": ArrayAttr(ViewAttr(view) for view in views),
            },
        )

    def verify_(self) -> None:
        kernel, views = self.kernel.data, [v.data for v in self.views.data]
        ins, outs, dynamics = self.ins, self.outs, self.dynamics
        slots = (*ins, *outs)
        if (len(ins), len(outs)) != (len(kernel.inputs), len(kernel.outputs)):
            raise VerifyException("a kernel's streams and a vexec's slots differ in number")
        if [len(v.extents) for v in views] != [7] * len(slots):
            raise VerifyException("a vexec has one view of rank 7 per slot")
        registers = self.params.data.registers if self.params else ()
        check_numbers(views, registers, len(dynamics))
        for view, slot in zip(views, slots, strict=True):
            check_view(view, slot_spec(slot))


@irdl_op_definition
class SignalOp(IRDLOperation):
    """Count one more completion of ``signal`` when this engine comes to here."""

    name = "tile.signal"
    signal = prop_def(StringAttr)
    queue = prop_def(QueueAttr)
    assembly_format = "$signal `on` $queue attr-dict"

    def __init__(self, signal: str, queue: str) -> None:
        super().__init__(
            properties={"signal": StringAttr(signal), "queue": QueueAttr(QueueName(queue))}
        )


@irdl_op_definition
class AwaitOp(IRDLOperation):
    """Hold this engine back: the n-th await of ``signal`` on a core waits for its n-th signal."""

    name = "tile.await"
    signal = prop_def(StringAttr)
    queue = prop_def(QueueAttr)
    assembly_format = "$signal `on` $queue attr-dict"

    def __init__(self, signal: str, queue: str) -> None:
        super().__init__(
            properties={"signal": StringAttr(signal), "queue": QueueAttr(QueueName(queue))}
        )


def cores_of(op: Operation) -> int:
    """The number of cores of the program that ``op`` stands in."""
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, ProgramOp):
        parent = parent.parent_op()
    blocks = [] if parent is None else parent.body.block.ops
    return sum(isinstance(core, CoreOp) for core in blocks)


def is_at_one_address(slot: SSAValue) -> bool:
    """Whether the slot's buffer is one of the core that has an address, the same in all cores."""
    taken = slot.owner
    buffer = taken.buffer if isinstance(taken, AcquireOp | HeldOp) else slot
    if not isinstance(buffer, BlockArgument):
        return False
    group = buffer.owner.parent_op()
    declared = None if group is None else group.operands[buffer.index].owner
    return isinstance(declared, BufferOp) and declared.address is not None


def slot_spec(slot: SSAValue) -> BufferSpec | None:
    """The ring that ``slot`` belongs to; None where it is not known."""
    owner = slot.owner
    if type(owner) is AcquireOp or type(owner) is HeldOp:
        ring = owner.buffer.type
        return ring.data if isinstance(ring, BufferType) else None
    return None
