"""Structure of ``tile``: program, tensors, cores, buffers, loops and index arithmetic."""

from collections import Counter
from collections.abc import Sequence

from npuc.compiler.dialects.tile_attributes import BufferType, DramType
from npuc.compiler.shared_attributes import INDEX, int_attr, text_attr
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Block,
    EnumAttribute,
    FloatAttr,
    HasParent,
    IntAttr,
    IRDLOperation,
    IsolatedFromAbove,
    NoTerminator,
    Operation,
    Parser,
    PlainOperation,
    Printer,
    Pure,
    Region,
    SSAValue,
    StrEnum,
    StringAttr,
    VerifyException,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)

MAX_LOOP_NEST = 6


class SegmentName(StrEnum):
    """Where a DRAM tensor lives; the names of ``npuc.isa.descriptors.Segment``."""

    constant = "constant"
    input = "input"
    output = "output"
    scratch = "scratch"
    state = "state"


@irdl_attr_definition
class SegmentAttr(EnumAttribute[SegmentName]):
    """A DRAM segment by name."""

    name = "tile.segment"


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """``tile.program { tensors, then cores }``."""

    name = "tile.program"
    body = region_def("single_block")
    traits = traits_def(NoTerminator(), IsolatedFromAbove())
    assembly_format = "attr-dict-with-keyword $body"

    def __init__(self) -> None:
        super().__init__(regions=[Region(Block())])

    def verify_(self) -> None:
        tensors = [op for op in self.body.block.ops if isinstance(op, TensorOp)]
        counts = Counter(op.tensor_name.data for op in tensors)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise VerifyException(f"tensors share a name: {', '.join(repeated)}")
        self._check_addresses()

    def _check_addresses(self) -> None:
        """All cores agree on the buffers that have an address: their loads may go to each other."""
        cores = [op for op in self.body.block.ops if isinstance(op, CoreOp)]
        told = [
            {
                op.buffer_name.data: (op.address.data, op.buffer.type)
                for op in core.body.block.ops
                if isinstance(op, BufferOp) and op.address is not None
            }
            for core in cores
        ]
        if any(addressed != told[0] for addressed in told):
            raise VerifyException("a buffer that has an address is the same in all cores")


@irdl_op_definition
class TensorOp(IRDLOperation):
    """A row-major DRAM tensor; constants name their array in the store by ``key``.

    ``scale`` and ``zero_point`` of an input or output tell its quantisation to the outside;
    ``known_as`` is its name there, where another tensor of the program has it too.
    """

    name = "tile.tensor"
    tensor_name = prop_def(StringAttr)
    known_as = opt_prop_def(StringAttr)
    segment = prop_def(SegmentAttr)
    key = opt_prop_def(StringAttr)
    scale = opt_prop_def(FloatAttr)
    zero_point = opt_prop_def(IntAttr)
    tensor = result_def(DramType)
    traits = traits_def(HasParent(ProgramOp))
    assembly_format = (
        "$tensor_name (`known_as` $known_as^)? $segment (`key` $key^)? (`scale` $scale^)?"
        " (`zero_point` $zero_point^)?"
        " attr-dict `:` type($tensor)"
    )

    def __init__(
        self, name: str, segment: SegmentName | str, tensor_type: DramType, key: str | None = None
    ) -> None:
        super().__init__(
            result_types=[tensor_type],
            properties={
                "tensor_name": StringAttr(name),
                "segment": SegmentAttr(SegmentName(segment)),
                "key": None if key is None else StringAttr(key),
            },
        )

    def verify_(self) -> None:
        if (self.key is not None) != (self.segment.data is SegmentName.constant):
            raise VerifyException("constants have a key, other tensors have none")


@irdl_op_definition
class CoreOp(IRDLOperation):
    """``tile.core 0 { buffers that outlive a group, groups in order }``."""

    name = "tile.core"
    index = prop_def(IntAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator(), HasParent(ProgramOp))

    def __init__(self, index: int, body: Region | None = None) -> None:
        super().__init__(regions=[body or Region(Block())], properties={"index": IntAttr(index)})

    @classmethod
    def parse(cls, parser: Parser) -> "CoreOp":
        return cls(parser.parse_integer(), parser.parse_region())

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.index.data} ")
        printer.print_region(self.body)


@irdl_op_definition
class BufferOp(PlainOperation):
    """A ring of slots in SPM or ACC; in a core it outlives groups, in a group it does not.

    An ``address`` is that of the buffer in all cores, which may write there (see ``tile.load``).
    """

    name = "tile.buffer"
    buffer_name = prop_def(StringAttr)
    address = opt_prop_def(IntAttr)
    buffer = result_def(BufferType)
    assembly_format = "$buffer_name (`at` $address^)? attr-dict `:` type($buffer)"

    def __init__(self, name: str, buffer_type: BufferType, address: int | None = None) -> None:
        super().__init__(
            result_types=[buffer_type],
            properties={
                "buffer_name": text_attr(name),
                "address": None if address is None else int_attr(address),
            },
        )

    def verify_(self) -> None:
        spec = self.buffer.type.data
        if spec.slot_bytes < 1 or spec.depth < 1:
            raise VerifyException("a buffer needs at least one byte and one slot")
        parent = self.parent_op()
        if isinstance(parent, CoreOp) and spec.depth != 1:
            raise VerifyException("a buffer that outlives a group has depth 1")
        if parent is not None and parent.name not in ("tile.core", "tile.group"):
            raise VerifyException("a buffer stands in a core or directly in a group")
        if self.address is None:
            return
        if parent is not None and not isinstance(parent, CoreOp):
            raise VerifyException("a buffer with an address stands in a core")
        if self.address.data < 0:
            raise VerifyException("the address of a buffer is 0 or more")


@irdl_op_definition
class ForOp(PlainOperation):
    """``tile.for %i = 0 to 7 step 1 { … }``: a loop with static bounds."""

    name = "tile.for"
    lower = prop_def(IntAttr)
    upper = prop_def(IntAttr)
    step = prop_def(IntAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(self, lower: int, upper: int, step: int = 1, body: Region | None = None) -> None:
        super().__init__(
            regions=[body or Region(Block(arg_types=[INDEX]))],
            properties={"lower": int_attr(lower), "upper": int_attr(upper), "step": int_attr(step)},
        )

    @property
    def induction(self) -> SSAValue:
        """The loop's index."""
        return self.body.block.args[0]

    @property
    def trips(self) -> int:
        """How often the body runs."""
        lower, upper, step = (int(a.data) for a in (self.lower, self.upper, self.step))
        return max(0, -((lower - upper) // step))

    def verify_(self) -> None:
        if self.step.data < 1:
            raise VerifyException("the step of a loop must be at least 1")
        if [a.type for a in self.body.block.args] != [INDEX]:
            raise VerifyException("a loop body has one index argument")
        if loop_nest(self) > MAX_LOOP_NEST:
            raise VerifyException(f"loops nest deeper than {MAX_LOOP_NEST}")

    @classmethod
    def parse(cls, parser: Parser) -> "ForOp":
        induction = parser.parse_argument(expect_type=False).resolve(INDEX)
        parser.parse_punctuation("=")
        lower = parser.parse_integer()
        parser.parse_keyword("to")
        upper = parser.parse_integer()
        parser.parse_keyword("step")
        step = parser.parse_integer()
        return cls(lower, upper, step, parser.parse_region([induction]))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.induction)
        bounds = f" = {self.lower.data} to {self.upper.data} step {self.step.data} "
        printer.print_string(bounds)
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)


@irdl_op_definition
class AffineOp(PlainOperation):
    """``tile.affine [4, 1], -1 (%i, %j)``: 4 * i + 1 * j - 1."""

    name = "tile.affine"
    coefficients = prop_def(ArrayAttr[IntAttr])
    constant = prop_def(IntAttr)
    terms = var_operand_def(INDEX)
    result = result_def(INDEX)
    traits = traits_def(Pure())

    def __init__(
        self, coefficients: Sequence[int], constant: int, terms: Sequence[SSAValue]
    ) -> None:
        super().__init__(
            operands=terms,
            result_types=[INDEX],
            properties={
                "coefficients": ArrayAttr(int_attr(c) for c in coefficients),
                "constant": int_attr(constant),
            },
        )

    def verify_(self) -> None:
        if len(self.coefficients.data) != len(self.terms):
            raise VerifyException("an affine needs one coefficient per operand")

    @classmethod
    def parse(cls, parser: Parser) -> "AffineOp":
        square, paren = parser.Delimiter.SQUARE, parser.Delimiter.PAREN
        coefficients = parser.parse_comma_separated_list(square, parser.parse_integer)
        parser.parse_punctuation(",")
        constant = parser.parse_integer()
        terms = parser.parse_comma_separated_list(paren, lambda: _parse_index(parser))
        return cls(coefficients, constant, terms)

    def print(self, printer: Printer) -> None:
        coefficients = [c.data for c in self.coefficients.data]
        printer.print_string(f" {coefficients}, {self.constant.data} ")
        printer.print_operands(self.terms)


class _Bound(PlainOperation):
    """An index limited by a constant."""

    value = operand_def(INDEX)
    limit = prop_def(IntAttr)
    result = result_def(INDEX)
    traits = traits_def(Pure())

    def __init__(self, value: SSAValue, limit: int) -> None:
        super().__init__(
            operands=[value], result_types=[INDEX], properties={"limit": int_attr(limit)}
        )

    @classmethod
    def parse(cls, parser: Parser) -> "_Bound":
        value = _parse_index(parser)
        parser.parse_punctuation(",")
        return cls(value, parser.parse_integer())

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.value)
        printer.print_string(f", {self.limit.data}")


@irdl_op_definition
class MinOp(_Bound):
    """``tile.min %a, 12``: the smaller of the two."""

    name = "tile.min"


@irdl_op_definition
class MaxOp(_Bound):
    """``tile.max %a, 0``: the larger of the two."""

    name = "tile.max"


def loop_nest(op: Operation) -> int:
    """How many loops surround ``op``, itself included."""
    around: Operation | None = op
    count = 0
    while around is not None:
        count += type(around) is ForOp
        around = around.parent_op()
    return count


def _parse_index(parser: Parser) -> SSAValue:
    return parser.resolve_operand(parser.parse_unresolved_operand(), INDEX)
