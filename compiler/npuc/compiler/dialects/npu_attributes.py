"""Attributes of the ``npu`` dialect: order of commands, placed maps, references before placing.

Views, parameters and places are written as in ``tile``; here ``?k`` is scalar register k.
"""

from dataclasses import dataclass

from npuc.compiler.dialects import tile_text
from npuc.compiler.xdsl_api import AttrParser, Data, Printer, irdl_attr_definition
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.instructions import Counter, Engine, Wait


@dataclass(frozen=True)
class Order:
    """Waits of a command and the index of the counter that it increments."""

    waits: tuple[Wait, ...] = ()
    increment: int | None = None


@dataclass(frozen=True)
class References:
    """What a command touches before ``place``: tensor argument and buffers, by number.

    ``buffers`` holds one number per slot or view, in order; ``tensor`` is -1 for none.
    """

    buffers: tuple[int, ...]
    tensor: int = -1


@dataclass(frozen=True)
class Touch:
    """A group's last access of one kind by one engine to a buffer or tensor argument.

    ``count`` is the number of commands of the engine in the group up to that access.
    """

    is_tensor: bool
    number: int
    engine: Engine
    writes: bool
    count: int


@dataclass(frozen=True)
class Known:
    """When ``engine`` ends the group, ``count`` commands of ``source`` in it are complete."""

    engine: Engine
    source: Engine
    count: int


@dataclass(frozen=True)
class Usage:
    """What a group touches, and its commands per engine (indexed by the engine's code).

    ``known`` is the order between engines that the waits inside the group establish.
    """

    issued: tuple[int, ...]
    touches: tuple[Touch, ...]
    known: tuple[Known, ...] = ()


@irdl_attr_definition
class UsageAttr(Data[Usage]):
    """``<[0, 4, 0, 0, 4, 0] [buffer 0 ld0 writes 4, tensor 1 ld0 reads 4] [mxu ld0 4]>``."""

    name = "npu.usage"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Usage:
        square = parser.Delimiter.SQUARE
        with parser.in_angle_brackets():
            issued = parser.parse_comma_separated_list(square, parser.parse_integer)
            touches = parser.parse_comma_separated_list(square, lambda: _parse_touch(parser))
            known = parser.parse_comma_separated_list(square, lambda: _parse_known(parser))
            return Usage(tuple(issued), tuple(touches), tuple(known))

    def print_parameter(self, printer: Printer) -> None:
        touches = ", ".join(_touch_text(touch) for touch in self.data.touches)
        known = ", ".join(f"{k.engine.name} {k.source.name} {k.count}" for k in self.data.known)
        with printer.in_angle_brackets():
            printer.print_string(f"{list(self.data.issued)} [{touches}] [{known}]")


@irdl_attr_definition
class OrderAttr(Data[Order]):
    """``<increment 0 waits [0 mxu 0 -1 ?4]>``: core, engine, index, threshold and register."""

    name = "npu.order"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Order:
        with parser.in_angle_brackets():
            has_increment = parser.parse_optional_keyword("increment") is not None
            increment = parser.parse_integer() if has_increment else None
            if parser.parse_optional_keyword("waits") is None:
                return Order((), increment)
            square = parser.Delimiter.SQUARE
            waits = parser.parse_comma_separated_list(square, lambda: _parse_wait(parser))
            return Order(tuple(waits), increment)

    def print_parameter(self, printer: Printer) -> None:
        order = self.data
        parts = [] if order.increment is None else [f"increment {order.increment}"]
        if order.waits:
            parts.append("waits [" + ", ".join(_wait_text(w) for w in order.waits) + "]")
        with printer.in_angle_brackets():
            printer.print_string(" ".join(parts))


@irdl_attr_definition
class ReferencesAttr(Data[References]):
    """``<[2, 0] tensor 1>``: numbers of buffers and of the tensor argument of the group."""

    name = "npu.references"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> References:
        with parser.in_angle_brackets():
            square = parser.Delimiter.SQUARE
            buffers = parser.parse_comma_separated_list(square, parser.parse_integer)
            tensor = parser.parse_integer() if parser.parse_optional_keyword("tensor") else -1
            return References(tuple(buffers), tensor)

    def print_parameter(self, printer: Printer) -> None:
        tensor = f" tensor {self.data.tensor}" if self.data.tensor >= 0 else ""
        with printer.in_angle_brackets():
            printer.print_string(f"{list(self.data.buffers)}{tensor}")


@irdl_attr_definition
class DramMapAttr(Data[TensorMap]):
    """A map: segment, then as in ``tile``. Before ``place`` its base is inside the tensor."""

    name = "npu.map"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> TensorMap:
        with parser.in_angle_brackets():
            segment = Segment[parser.parse_identifier()]
            return tile_text.parse_map(parser, segment)

    def print_parameter(self, printer: Printer) -> None:
        text = f"{self.data.segment.name} {tile_text.map_text(self.data)}"
        with printer.in_angle_brackets():
            printer.print_string(text)


def _touch_text(touch: Touch) -> str:
    what = "tensor" if touch.is_tensor else "buffer"
    how = "writes" if touch.writes else "reads"
    return f"{what} {touch.number} {touch.engine.name} {how} {touch.count}"


def _parse_touch(parser: AttrParser) -> Touch:
    is_tensor = parser.parse_identifier() == "tensor"
    number = parser.parse_integer()
    engine = Engine[parser.parse_identifier()]
    writes = parser.parse_identifier() == "writes"
    return Touch(is_tensor, number, engine, writes, parser.parse_integer())


def _parse_known(parser: AttrParser) -> Known:
    engine = Engine[parser.parse_identifier()]
    source = Engine[parser.parse_identifier()]
    return Known(engine, source, parser.parse_integer())


def _wait_text(wait: Wait) -> str:
    counter = wait.counter
    text = f"{counter.core} {counter.engine.name} {counter.index} {wait.imm}"
    return text + (f" ?{wait.reg}" if wait.reg else "")


def _parse_wait(parser: AttrParser) -> Wait:
    core = parser.parse_integer()
    engine = Engine[parser.parse_identifier()]
    counter = Counter(core, engine, parser.parse_integer())
    imm = parser.parse_integer()
    has_register = parser.parse_optional_punctuation("?") is not None
    return Wait(counter, parser.parse_integer() if has_register else 0, imm)
