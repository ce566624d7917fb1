"""Structure of ``npu``: program, tensors, cores, buffers and groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from npuc.compiler.dialects.npu_attributes import Usage, UsageAttr
from npuc.compiler.dialects.tile_attributes import BufferType, DramType
from npuc.compiler.dialects.tile_structure import SegmentAttr
from npuc.compiler.shared_attributes import int_attr, text_attr
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Block,
    FloatAttr,
    HasParent,
    IntAttr,
    IRDLOperation,
    NoTerminator,
    Parser,
    PlainOperation,
    Printer,
    Region,
    StringAttr,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """``npu.program { tensors, then cores }``."""

    name = "npu.program"
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "attr-dict-with-keyword $body"

    def __init__(self) -> None:
        super().__init__(regions=[Region(Block())])


@irdl_op_definition
class TensorOp(IRDLOperation):
    """A DRAM tensor; ``place`` gives it an ``offset`` in its segment."""

    name = "npu.tensor"
    tensor_name = prop_def(StringAttr)
    known_as = opt_prop_def(StringAttr)
    segment = prop_def(SegmentAttr)
    tensor_type = prop_def(DramType)
    key = opt_prop_def(StringAttr)
    scale = opt_prop_def(FloatAttr)
    zero_point = opt_prop_def(IntAttr)
    offset = opt_prop_def(IntAttr)
    traits = traits_def(HasParent(ProgramOp))
    assembly_format = (
        "$tensor_name (`known_as` $known_as^)? $segment (`key` $key^)? (`scale` $scale^)?"
        " (`zero_point` $zero_point^)?"
        " (`at` $offset^)? attr-dict `:` $tensor_type"
    )


@irdl_op_definition
class CoreOp(IRDLOperation):
    """``npu.core 0 { buffers, then groups in order }``."""

    name = "npu.core"
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


@dataclass(frozen=True)
class Life:
    """Groups of a core, by position, in which a buffer is in use: first to last, inclusive."""

    first: int
    last: int


@irdl_op_definition
class BufferOp(PlainOperation):
    """``npu.buffer "conv1/x" : !tile.buffer<spm 64 x 2> in 0 to 0 at 4096``; at: after place."""

    name = "npu.buffer"
    buffer_name = prop_def(StringAttr)
    buffer_type = prop_def(BufferType)
    first = prop_def(IntAttr)
    last = prop_def(IntAttr)
    offset = opt_prop_def(IntAttr)
    traits = traits_def(HasParent(CoreOp))

    def __init__(
        self, name: str, buffer_type: BufferType, life: Life, offset: int | None = None
    ) -> None:
        super().__init__(
            properties={
                "buffer_name": StringAttr(name),
                "buffer_type": buffer_type,
                "first": int_attr(life.first),
                "last": int_attr(life.last),
                "offset": None if offset is None else int_attr(offset),
            }
        )

    @classmethod
    def parse(cls, parser: Parser) -> "BufferOp":
        name = parser.parse_str_literal()
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        assert isinstance(kind, BufferType)
        parser.parse_keyword("in")
        first = parser.parse_integer()
        parser.parse_keyword("to")
        life = Life(first, parser.parse_integer())
        offset = parser.parse_integer() if parser.parse_optional_keyword("at") else None
        return cls(name, kind, life, offset)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.buffer_name)
        printer.print_string(" : ")
        printer.print_attribute(self.buffer_type)
        printer.print_string(f" in {self.first.data} to {self.last.data}")
        if self.offset is not None:
            printer.print_string(f" at {self.offset.data}")


@irdl_op_definition
class GroupOp(PlainOperation):
    """One group's instructions. Its commands name ``tensors`` and ``buffers`` by number."""

    name = "npu.group"
    group_name = prop_def(StringAttr)
    tensors = prop_def(ArrayAttr[StringAttr])
    buffers = prop_def(ArrayAttr[StringAttr])
    usage = prop_def(UsageAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator(), HasParent(CoreOp))
    assembly_format = (
        "$group_name `tensors` $tensors `buffers` $buffers `usage` $usage"
        " attr-dict-with-keyword $body"
    )

    def __init__(
        self, name: str, names: tuple[Sequence[str], Sequence[str]], usage: Usage, body: Region
    ) -> None:
        tensors, buffers = names
        super().__init__(
            regions=[body],
            properties={
                "group_name": StringAttr(name),
                "usage": UsageAttr(usage),
                "tensors": ArrayAttr(text_attr(t) for t in tensors),
                "buffers": ArrayAttr(text_attr(b) for b in buffers),
            },
        )
