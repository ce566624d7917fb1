"""Descriptors from the tree of their assembly text."""

import struct
from enum import Enum
from typing import TypeVar

from lark import Token, Tree

from npuc.isa.assembly.reading import (
    Node,
    fail,
    located,
    present,
    register,
    register_sum,
    signed,
    subtree,
    token,
    uint,
)
from npuc.isa.descriptors import (
    Kernel,
    Op,
    Output,
    Params,
    Segment,
    Space,
    Stream,
    Table,
    TensorMap,
    View,
    Window,
)
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.descriptors.table import TABLE_BYTES
from npuc.isa.dtypes import DType

C = TypeVar("C", bound=Enum)
SECTIONS = ("body", "epilogue")


def code_of(codes: type[C], node: object) -> C:
    """The member of ``codes`` that a name stands for. Raises: AssemblyError."""
    name = token(node)
    if str(name) not in codes.__members__:
        allowed = ", ".join(codes.__members__)
        raise fail(name, f"unknown {codes.__name__.lower()}", name, allowed)
    return codes[str(name)]


def read_view(tree: Tree[Token]) -> View:
    """The view after its name."""
    _, dtype, space, base, dims, windows, fill = tree.children
    extents, strides, registers = _dims(dims)
    base_reg, start = register_sum(base)
    with located(tree):
        view = View(
            code_of(DType, dtype), code_of(Space, space), start, extents, strides, base_reg,
            registers, tuple(_window(w) for w in subtree(windows).children), _fill(fill),
        )  # fmt: skip
        view.pack()
    return view


def read_map(tree: Tree[Token]) -> TensorMap:
    """The tensor map after its name."""
    _, segment, dtype, base, dims, box, fill = tree.children
    extents, dram_strides, extent_registers = _dims(dims)
    box_extents, spm_strides, box_registers = _dims(box)
    if any(extent_registers + box_registers):
        raise fail(tree, "a tensor map takes no extents from registers")
    with located(tree):
        tensor_map = TensorMap(
            code_of(Segment, segment), code_of(DType, dtype), uint(base), extents, dram_strides,
            box_extents, spm_strides, _fill(fill),
        )  # fmt: skip
        tensor_map.pack()
    return tensor_map


def _dims(node: object) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Extents, strides and extent registers."""
    dims = [subtree(child).children for child in present(subtree(node))]
    registers = tuple(register(dim[0]) if dim[0] is not None else 0 for dim in dims)
    return tuple(uint(dim[1]) for dim in dims), tuple(signed(dim[2]) for dim in dims), registers


def _window(node: object) -> Window:
    origin, limit, *coefficients = present(subtree(node))
    origin_register, start = register_sum(origin)
    return Window(start, uint(limit), tuple(signed(c) for c in coefficients), origin_register)


def _fill(node: object) -> int:
    return 0 if node is None else uint(subtree(node).children[0])


def read_kernel(tree: Tree[Token]) -> Kernel:
    """The kernel after its name: micro-ops, the start of the epilogue, stores."""
    streams = tuple(Stream(str(name)) for name in present(subtree(tree.children[1])))
    values: dict[str, int] = {}
    ops: list[Op] = []
    outputs: list[Output] = []
    body_count: int | None = None
    for child in tree.children[2:]:
        statement = subtree(child)
        if statement.data == "micro":
            ops.append(_micro(statement, values))
        elif statement.data == "store":
            outputs.append(_store(statement, values))
        elif body_count is not None:
            raise fail(tree, "a kernel has two epilogues")
        else:
            body_count = len(ops)
    with located(tree):
        kernel = Kernel(streams, tuple(ops), len(ops) if body_count is None else body_count,
                        tuple(outputs))  # fmt: skip
        kernel.pack()
    return kernel


def _micro(tree: Tree[Token], values: dict[str, int]) -> Op:
    result, name, operands, immediate = tree.children
    given = [] if operands is None else subtree(operands).children
    numbers = tuple(_value(operand, values) for operand in given)
    if str(result) in values:
        raise fail(token(result), "a value is defined twice", result)
    values[str(result)] = FIRST_RESULT + len(values)
    return Op(str(name), numbers, 0 if immediate is None else signed(immediate))


def _store(tree: Tree[Token], values: dict[str, int]) -> Output:
    section, value = (token(child) for child in tree.children)
    if str(section) not in SECTIONS:
        raise fail(section, "unknown section of a kernel", section, ", ".join(SECTIONS))
    return Output(_value(value, values), section == "epilogue")


def _value(node: Node, values: dict[str, int]) -> int:
    name = str(node)
    if name in values:
        return values[name]
    for prefix, first, count in (("in", 0, FIRST_PARAM), ("p", FIRST_PARAM, FIRST_PARAM)):
        digits = name.removeprefix(prefix)
        if digits != name and len(digits) == 1 and digits in "01234567"[:count]:
            return first + int(digits)
    raise fail(node, "unknown value in a kernel", name,
               ", ".join(["in0 to in5", "p0 to p7", *values]))  # fmt: skip


def read_params(tree: Tree[Token]) -> Params:
    """The parameter record after its name; reals become float32."""
    words = [subtree(child) for child in present(tree)[1:]]
    with located(tree):
        params = Params(tuple(_word(word) for word in words),
                        tuple(_word_register(word) for word in words))  # fmt: skip
        params.pack()
    return params


def _word_register(tree: Tree[Token]) -> int:
    return 0 if tree.children[1] is None else register(tree.children[1])


def _word(tree: Tree[Token]) -> int:
    number = token(tree.children[0])
    if number.type == "UINT":
        return uint(number)
    try:
        return int.from_bytes(struct.pack("<f", float(number)), "little")
    except OverflowError as error:
        raise fail(number, "a real number does not fit float32", number) from error


def read_table(tree: Tree[Token]) -> Table:
    """The table after its name: its bytes in hexadecimal."""
    with located(tree):
        raw = bytes.fromhex("".join(str(line) for line in tree.children[1:]))
        if len(raw) != TABLE_BYTES:
            raise fail(tree, "a table has the wrong length", len(raw), f"{TABLE_BYTES} bytes")
        return Table.unpack(raw)
