"""The group of ``tile``: the unit that is lowered once for all layers with equal bodies."""

from collections.abc import Sequence

from npuc.compiler.dialects.tile_attributes import BufferType, DramType
from npuc.compiler.dialects.tile_rings import check_rings
from npuc.compiler.dialects.tile_structure import CoreOp
from npuc.compiler.xdsl_api import (
    Block,
    HasParent,
    IsolatedFromAbove,
    NoTerminator,
    Parser,
    PlainOperation,
    Printer,
    Region,
    SSAValue,
    StringAttr,
    VerifyException,
    base,
    irdl_op_definition,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
)


@irdl_op_definition
class GroupOp(PlainOperation):
    """Work of one fused group: ``tile.group "conv1" (%a = %x : !tile.dram<…>, …) { … }``.

    Isolated from above; the arguments are distinct DRAM tensors and buffers of the core.
    """

    name = "tile.group"
    group_name = prop_def(StringAttr)
    arguments = var_operand_def(base(DramType) | base(BufferType))
    body = region_def("single_block")
    traits = traits_def(NoTerminator(), HasParent(CoreOp), IsolatedFromAbove())

    def __init__(
        self, name: str, arguments: Sequence[SSAValue], body: Region | None = None
    ) -> None:
        region = body or Region(Block(arg_types=[a.type for a in arguments]))
        super().__init__(
            operands=arguments,
            regions=[region],
            properties={"group_name": StringAttr(name)},
        )

    def verify_(self) -> None:
        if len(set(self.arguments)) != len(self.arguments):
            raise VerifyException("a group names an argument twice")
        inner = [a.type for a in self.body.block.args]
        if inner != [a.type for a in self.arguments]:
            raise VerifyException("a group's block arguments differ from its arguments")
        check_rings(self.body.block)

    @classmethod
    def parse(cls, parser: Parser) -> "GroupOp":
        name = parser.parse_str_literal()
        pairs = parser.parse_comma_separated_list(
            parser.Delimiter.PAREN, lambda: _parse_binding(parser)
        )
        body = parser.parse_region([inner for inner, _ in pairs])
        return cls(name, [outer for _, outer in pairs], body)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.group_name)
        printer.print_string(" ")
        bindings = tuple(zip(self.body.block.args, self.arguments, strict=True))
        with printer.in_parens():
            printer.print_list(bindings, lambda pair: _print_binding(printer, *pair))
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)


def _parse_binding(parser: Parser) -> tuple[Parser.Argument, SSAValue]:
    inner = parser.parse_argument(expect_type=False)
    parser.parse_punctuation("=")
    outer = parser.parse_unresolved_operand()
    parser.parse_punctuation(":")
    kind = parser.parse_type()
    return inner.resolve(kind), parser.resolve_operand(outer, kind)


def _print_binding(printer: Printer, inner: SSAValue, outer: SSAValue) -> None:
    printer.print_ssa_value(inner)
    printer.print_string(" = ")
    printer.print_operand(outer)
    printer.print_string(" : ")
    printer.print_attribute(inner.type)
