"""Text of the machine's descriptors inside IR: views, maps, kernels, parameters, coordinates.

``tile`` and ``npu`` share these forms. In ``tile`` the register fields of a descriptor hold
*operand numbers*: ``?k`` names the k-th dynamic operand (from 1) of the command. In ``npu`` they
hold registers. Number 0 stands for none in both.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from npuc.compiler.xdsl_api import AttrParser
from npuc.isa.descriptors import (
    Kernel,
    Op,
    Output,
    Params,
    Segment,
    Space,
    Stream,
    TensorMap,
    View,
    Window,
)
from npuc.isa.dtypes import DType

Reference = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where a transfer starts: one (operand number, constant) per coordinate, and SPM bytes.

    Coordinate ``d`` is the value of that operand plus the constant; ``offset`` likewise is the
    byte offset inside the slot.
    """

    coordinates: tuple[Reference, ...]
    offset: Reference = (0, 0)


def view_text(view: View) -> str:
    """``i8 spm 0 ?1 extents [4, 8 ?2] strides [8, 1] window [..] at -1 ?3 below 12 fill 0``."""
    extents = _listed(_referred(e, r) for e, r in zip(view.extents, view.extent_regs, strict=True))
    parts = [view.dtype.name, view.space.name, _referred(view.base, view.base_reg)]
    parts += ["extents", extents, "strides", _listed(map(str, view.strides))]
    for window in view.windows:
        parts += ["window", _listed(map(str, window.coefficients))]
        parts += ["at", _referred(window.origin, window.origin_reg), "below", str(window.limit)]
    return " ".join(parts) + (f" fill {view.fill}" if view.fill else "")


def parse_view(parser: AttrParser) -> View:
    """The inverse of ``view_text``."""
    dtype = DType[parser.parse_identifier()]
    space = Space[parser.parse_identifier()]
    base, base_number = _parse_referred(parser)
    parser.parse_keyword("extents")
    extents = _parse_list(parser, lambda: _parse_referred(parser))
    parser.parse_keyword("strides")
    strides = _parse_integers(parser)
    windows: list[Window] = []
    while parser.parse_optional_keyword("window"):
        windows.append(_parse_window(parser))
    return View(
        dtype,
        space,
        base,
        tuple(e for e, _ in extents),
        strides,
        base_number,
        tuple(r for _, r in extents),
        tuple(windows),
        _parse_fill(parser),
    )


def map_text(tensor_map: TensorMap) -> str:
    """``i8 0 extents [..] strides [..] box [..] spm [..] fill 0``; the segment is not told."""
    parts = [tensor_map.dtype.name, str(tensor_map.base)]
    for name, values in (
        ("extents", tensor_map.extents),
        ("strides", tensor_map.dram_strides),
        ("box", tensor_map.box),
        ("spm", tensor_map.spm_strides),
    ):
        parts += [name, _listed(map(str, values))]
    return " ".join(parts) + (f" fill {tensor_map.fill}" if tensor_map.fill else "")


def parse_map(parser: AttrParser, segment: Segment = Segment.scratch) -> TensorMap:
    """The inverse of ``map_text``."""
    dtype = DType[parser.parse_identifier()]
    base = parser.parse_integer()
    extents, strides, box, spm = (
        _parse_named_list(parser, name) for name in ("extents", "strides", "box", "spm")
    )
    return TensorMap(segment, dtype, base, extents, strides, box, spm, _parse_fill(parser))


def kernel_text(kernel: Kernel) -> str:
    """``in [i, f] body [i2f(0), mulf(16, 1)] epilogue [] out [17, epilogue 18]``."""
    ops = [_op_text(op) for op in kernel.ops]
    outputs = [("epilogue " if o.epilogue else "") + str(o.value) for o in kernel.outputs]
    return " ".join(
        [
            "in",
            _listed(s.domain for s in kernel.inputs),
            "body",
            _listed(ops[: kernel.body_count]),
            "epilogue",
            _listed(ops[kernel.body_count :]),
            "out",
            _listed(outputs),
        ]
    )


def parse_kernel(parser: AttrParser) -> Kernel:
    """The inverse of ``kernel_text``."""
    parser.parse_keyword("in")
    domains = _parse_list(parser, parser.parse_identifier)
    parser.parse_keyword("body")
    body = _parse_list(parser, lambda: _parse_op(parser))
    parser.parse_keyword("epilogue")
    epilogue = _parse_list(parser, lambda: _parse_op(parser))
    parser.parse_keyword("out")
    outputs = _parse_list(parser, lambda: _parse_output(parser))
    return Kernel(tuple(Stream(d) for d in domains), (*body, *epilogue), len(body), outputs)


def params_text(params: Params) -> str:
    """Raw 32-bit words: ``1065353216, 0 ?1``."""
    pairs = zip(params.words, params.registers, strict=True)
    return ", ".join(_referred(word, number) for word, number in pairs)


def parse_params(parser: AttrParser) -> Params:
    """The inverse of ``params_text``."""
    pairs = parser.parse_comma_separated_list(
        parser.Delimiter.NONE, lambda: _parse_referred(parser)
    )
    return Params(tuple(w for w, _ in pairs), tuple(r for _, r in pairs))


def place_text(place: Place) -> str:
    """``[1 ?1, 0, 0] offset 64 ?2``."""
    text = _listed(_referred(constant, number) for number, constant in place.coordinates)
    number, constant = place.offset
    return text + (f" offset {_referred(constant, number)}" if place.offset != (0, 0) else "")


def parse_place(parser: AttrParser) -> Place:
    """The inverse of ``place_text``."""
    pairs = _parse_list(parser, lambda: _parse_referred(parser))
    offset = (0, 0)
    if parser.parse_optional_keyword("offset"):
        constant, number = _parse_referred(parser)
        offset = (number, constant)
    return Place(tuple((number, constant) for constant, number in pairs), offset)


def _listed(parts: Iterable[str]) -> str:
    return "[" + ", ".join(parts) + "]"


def _referred(constant: int, number: int) -> str:
    return f"{constant} ?{number}" if number else str(constant)


def _op_text(op: Op) -> str:
    text = f"{op.name}({', '.join(map(str, op.operands))})"
    return text + (f" with {op.immediate}" if op.immediate else "")


def _parse_referred(parser: AttrParser) -> Reference:
    constant = parser.parse_integer()
    if parser.parse_optional_punctuation("?") is None:
        return constant, 0
    return constant, parser.parse_integer(allow_negative=False)


def _parse_list(parser: AttrParser, element: Callable[[], T]) -> tuple[T, ...]:
    return tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, element))


def _parse_integers(parser: AttrParser) -> tuple[int, ...]:
    return _parse_list(parser, parser.parse_integer)


def _parse_named_list(parser: AttrParser, name: str) -> tuple[int, ...]:
    parser.parse_keyword(name)
    return _parse_integers(parser)


def _parse_fill(parser: AttrParser) -> int:
    return parser.parse_integer() if parser.parse_optional_keyword("fill") else 0


def _parse_window(parser: AttrParser) -> Window:
    coefficients = _parse_integers(parser)
    parser.parse_keyword("at")
    origin, number = _parse_referred(parser)
    parser.parse_keyword("below")
    return Window(origin, parser.parse_integer(), coefficients, number)


def _parse_op(parser: AttrParser) -> Op:
    name = parser.parse_identifier()
    operands = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_integer)
    immediate = parser.parse_integer() if parser.parse_optional_keyword("with") else 0
    return Op(name, tuple(operands), immediate)


def _parse_output(parser: AttrParser) -> Output:
    is_epilogue = parser.parse_optional_keyword("epilogue") is not None
    return Output(parser.parse_integer(), is_epilogue)
