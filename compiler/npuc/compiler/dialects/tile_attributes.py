"""Types and attributes of the ``tile`` dialect: DRAM tensors, buffers, slots, descriptors."""

from dataclasses import dataclass

from npuc.compiler.dialects import tile_text
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.xdsl_api import (
    AttrParser,
    Data,
    ParametrizedAttribute,
    Printer,
    TypeAttribute,
    irdl_attr_definition,
)
from npuc.isa.descriptors import Kernel, Params, Space, TensorMap, View
from npuc.isa.dtypes import DType


@dataclass(frozen=True)
class TensorSpec:
    """Shape and element type of a row-major tensor in DRAM."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def n_bytes(self) -> int:
        """Bytes of the tensor."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count * self.dtype.bytes

    @property
    def strides(self) -> tuple[int, ...]:
        """Row-major byte strides."""
        strides, step = [], self.dtype.bytes
        for extent in reversed(self.shape):
            strides.append(step)
            step *= extent
        return tuple(reversed(strides))


@dataclass(frozen=True)
class BufferSpec:
    """A ring of ``depth`` slots of ``slot_bytes`` each in ``space``."""

    space: Space
    slot_bytes: int
    depth: int = 1

    @property
    def n_bytes(self) -> int:
        """Bytes of the whole ring."""
        return self.slot_bytes * self.depth


@irdl_attr_definition
class DramType(Data[TensorSpec], TypeAttribute):
    """``!tile.dram<[28, 28, 1] i8>``: a row-major tensor in DRAM."""

    name = "tile.dram"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> TensorSpec:
        with parser.in_angle_brackets():
            shape = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
            return TensorSpec(tuple(shape), DType[parser.parse_identifier()])

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f"{list(self.data.shape)} {self.data.dtype.name}")


@irdl_attr_definition
class BufferType(Data[BufferSpec], TypeAttribute):
    """``!tile.buffer<spm 4096 x 2>``: a ring of slots; bytes per slot, then depth."""

    name = "tile.buffer"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> BufferSpec:
        with parser.in_angle_brackets():
            space = Space[parser.parse_identifier()]
            slot_bytes = parser.parse_integer()
            parser.parse_keyword("x")
            return BufferSpec(space, slot_bytes, parser.parse_integer())

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            spec = self.data
            printer.print_string(f"{spec.space.name} {spec.slot_bytes} x {spec.depth}")


@irdl_attr_definition
class SlotType(ParametrizedAttribute, TypeAttribute):
    """One slot of a buffer."""

    name = "tile.slot"


SLOT = SlotType()


@irdl_attr_definition
class ViewAttr(Data[View]):
    """A view into a slot: ``base`` counts from its first byte; registers are operand numbers."""

    name = "tile.view"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> View:
        with parser.in_angle_brackets():
            return tile_text.parse_view(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(tile_text.view_text(self.data))


@irdl_attr_definition
class MapAttr(Data[TensorMap]):
    """A box of a tensor: ``base`` counts from the tensor's first byte; the segment is unused."""

    name = "tile.map"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> TensorMap:
        with parser.in_angle_brackets():
            return tile_text.parse_map(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(tile_text.map_text(self.data))


@irdl_attr_definition
class KernelAttr(Data[Kernel]):
    """A vector kernel."""

    name = "tile.kernel"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Kernel:
        with parser.in_angle_brackets():
            return tile_text.parse_kernel(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(tile_text.kernel_text(self.data))


@irdl_attr_definition
class ParamsAttr(Data[Params]):
    """Scalar parameters of a kernel; registers are operand numbers."""

    name = "tile.params"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Params:
        with parser.in_angle_brackets():
            return tile_text.parse_params(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(tile_text.params_text(self.data))


@irdl_attr_definition
class PlaceAttr(Data[Place]):
    """Coordinates of a transfer's box and the byte offset inside its slot."""

    name = "tile.place"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Place:
        with parser.in_angle_brackets():
            return tile_text.parse_place(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(tile_text.place_text(self.data))
