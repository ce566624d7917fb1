"""Instructions of ``npu``: one operation per machine instruction, with register numbers.

Before ``place`` addresses count from the start of a buffer and of a tensor, and ``of`` says which;
after it they are final and ``of`` is gone.
"""

from npuc.compiler.dialects.npu_attributes import (
    DramMapAttr,
    Order,
    OrderAttr,
    References,
    ReferencesAttr,
)
from npuc.compiler.dialects.tile_attributes import (
    KernelAttr,
    ParamsAttr,
    PlaceAttr,
    ViewAttr,
)
from npuc.compiler.dialects.tile_commands import QueueAttr, QueueName
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.shared_attributes import int_attr, text_attr
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Block,
    IntAttr,
    IRDLOperation,
    NoTerminator,
    ParsePropInAttrDict,
    Parser,
    PlainOperation,
    Printer,
    Region,
    StringAttr,
    UnitAttr,
    VerifyException,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from npuc.isa.descriptors import Kernel, Params, TensorMap, View
from npuc.isa.instructions import BY_MNEMONIC
from npuc.isa.instructions.base import REGISTERS
from npuc.isa.instructions.scalar import Scalar


@irdl_op_definition
class ScalarOp(PlainOperation):
    """``npu.scalar add r6 = r7, r0, 12``: rd = ra OP (rb + imm)."""

    name = "npu.scalar"
    mnemonic = prop_def(StringAttr)
    rd = prop_def(IntAttr)
    ra = prop_def(IntAttr)
    rb = prop_def(IntAttr)
    imm = prop_def(IntAttr)

    def __init__(self, mnemonic: str, rd: int, sources: tuple[int, int], imm: int = 0) -> None:
        super().__init__(
            properties={
                "mnemonic": text_attr(mnemonic),
                "rd": int_attr(rd),
                "ra": int_attr(sources[0]),
                "rb": int_attr(sources[1]),
                "imm": int_attr(imm),
            }
        )

    def verify_(self) -> None:
        cls = BY_MNEMONIC.get(self.mnemonic.data)
        if cls is None or not issubclass(cls, Scalar):
            raise VerifyException(f"unknown scalar instruction {self.mnemonic.data}")
        numbers = (self.rd.data, self.ra.data, self.rb.data)
        if any(not 0 <= number < REGISTERS for number in numbers):
            raise VerifyException(f"a register number is out of range: {numbers}")

    @classmethod
    def parse(cls, parser: Parser) -> "ScalarOp":
        mnemonic, rd = parser.parse_identifier(), _parse_register(parser)
        parser.parse_punctuation("=")
        ra = _parse_register(parser)
        parser.parse_punctuation(",")
        rb = _parse_register(parser)
        parser.parse_punctuation(",")
        return cls(mnemonic, rd, (ra, rb), parser.parse_integer())

    def print(self, printer: Printer) -> None:
        left = f" {self.mnemonic.data} r{self.rd.data} = "
        printer.print_string(f"{left}r{self.ra.data}, r{self.rb.data}, {self.imm.data}")


@irdl_op_definition
class LoopOp(PlainOperation):
    """``npu.loop 7 { … }``: a hardware loop with a constant count."""

    name = "npu.loop"
    count = prop_def(IntAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(self, count: int, body: Region | None = None) -> None:
        super().__init__(regions=[body or Region(Block())], properties={"count": int_attr(count)})

    @classmethod
    def parse(cls, parser: Parser) -> "LoopOp":
        return cls(parser.parse_integer(), parser.parse_region())

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.count.data} ")
        printer.print_region(self.body)


@irdl_op_definition
class LdOp(PlainOperation):
    """Load a box; the place's offset is the SPM address, of each core of the mask ``cores``."""

    name = "npu.ld"
    queue = prop_def(QueueAttr)
    map = prop_def(DramMapAttr)
    place = prop_def(PlaceAttr)
    references = opt_prop_def(ReferencesAttr)
    cores = opt_prop_def(IntAttr)
    order = prop_def(OrderAttr)
    assembly_format = (
        "$queue `map` $map `at` $place (`of` $references^)? (`to` `cores` $cores^)?"
        " `order` $order attr-dict"
    )

    def __init__(
        self,
        queue: str,
        transfer: tuple[TensorMap, Place],
        references: References | None,
        order: Order,
    ) -> None:
        super().__init__(
            properties={
                "queue": QueueAttr(QueueName(queue)),
                "map": DramMapAttr(transfer[0]),
                "place": PlaceAttr(transfer[1]),
                "order": OrderAttr(order),
                "references": _optional(references),
            }
        )


@irdl_op_definition
class GatherOp(PlainOperation):
    """Load one box per index; the view shows the list. Boxes lie by the map's first SPM stride."""

    name = "npu.gather"
    queue = prop_def(QueueAttr)
    map = prop_def(DramMapAttr)
    place = prop_def(PlaceAttr)
    view = prop_def(ViewAttr)
    references = opt_prop_def(ReferencesAttr)
    order = prop_def(OrderAttr)
    assembly_format = (
        "$queue `map` $map `at` $place `view` $view (`of` $references^)? `order` $order attr-dict"
    )

    def __init__(  # the parts of one instruction
        self,
        queue: str,
        transfer: tuple[TensorMap, Place, View],
        references: References | None,
        order: Order,
    ) -> None:
        super().__init__(
            properties={
                "queue": QueueAttr(QueueName(queue)),
                "map": DramMapAttr(transfer[0]),
                "place": PlaceAttr(transfer[1]),
                "view": ViewAttr(transfer[2]),
                "order": OrderAttr(order),
                "references": _optional(references),
            }
        )


@irdl_op_definition
class StOp(PlainOperation):
    """Store a box; the place's offset is the SPM address."""

    name = "npu.st"
    map = prop_def(DramMapAttr)
    place = prop_def(PlaceAttr)
    references = opt_prop_def(ReferencesAttr)
    order = prop_def(OrderAttr)
    assembly_format = "`map` $map `at` $place (`of` $references^)? `order` $order attr-dict"

    def __init__(
        self, transfer: tuple[TensorMap, Place], references: References | None, order: Order
    ) -> None:
        super().__init__(
            properties={
                "map": DramMapAttr(transfer[0]),
                "place": PlaceAttr(transfer[1]),
                "order": OrderAttr(order),
                "references": _optional(references),
            }
        )


@irdl_op_definition
class MmaOp(PlainOperation):
    """The matrix command; views of acc, a, w. ``condition`` is the register to accumulate by."""

    name = "npu.mma"
    views = prop_def(ArrayAttr[ViewAttr])
    accumulate = opt_prop_def(UnitAttr)
    condition = opt_prop_def(IntAttr)
    references = opt_prop_def(ReferencesAttr)
    order = prop_def(OrderAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "`views` $views (`condition` $condition^)? (`of` $references^)? `order` $order attr-dict"
    )

    def __init__(
        self,
        views: tuple[View, View, View],
        accumulate: tuple[bool, int],
        references: References | None,
        order: Order,
    ) -> None:
        always, register = accumulate
        super().__init__(
            properties={
                "views": ArrayAttr(ViewAttr(v) for v in views),
                "accumulate": UnitAttr() if always else None,
                "condition": int_attr(register) if register else None,
                "references": _optional(references),
                "order": OrderAttr(order),
            }
        )


@irdl_op_definition
class VexecOp(PlainOperation):
    """The vector command; views of the kernel's inputs, then of its outputs."""

    name = "npu.vexec"
    kernel = prop_def(KernelAttr)
    params = opt_prop_def(ParamsAttr)
    views = prop_def(ArrayAttr[ViewAttr])
    references = opt_prop_def(ReferencesAttr)
    order = prop_def(OrderAttr)
    assembly_format = (
        "`kernel` $kernel (`params` $params^)? `views` $views (`of` $references^)?"
        " `order` $order attr-dict"
    )

    def __init__(
        self,
        kernel: tuple[Kernel, Params | None],
        views: tuple[View, ...],
        references: References | None,
        order: Order,
    ) -> None:
        super().__init__(
            properties={
                "kernel": KernelAttr(kernel[0]),
                "params": None if kernel[1] is None else ParamsAttr(kernel[1]),
                "views": ArrayAttr(ViewAttr(v) for v in views),
                "references": _optional(references),
                "order": OrderAttr(order),
            }
        )


@irdl_op_definition
class NopOp(PlainOperation):
    """Wait and increment on ``queue``."""

    name = "npu.nop"
    queue = prop_def(QueueAttr)
    order = prop_def(OrderAttr)
    assembly_format = "$queue `order` $order attr-dict"

    def __init__(self, queue: str, order: Order) -> None:
        super().__init__(
            properties={"queue": QueueAttr(QueueName(queue)), "order": OrderAttr(order)}
        )


@irdl_op_definition
class HaltOp(IRDLOperation):
    """End of a core's program."""

    name = "npu.halt"
    assembly_format = "attr-dict"


def _optional(references: References | None) -> ReferencesAttr | None:
    return None if references is None else ReferencesAttr(references)


def _parse_register(parser: Parser) -> int:
    text = parser.parse_identifier("a register is expected")
    if not text.startswith("r") or not text[1:].isdecimal():
        parser.raise_error(f"a register is expected, not {text}")
    return int(text[1:])
