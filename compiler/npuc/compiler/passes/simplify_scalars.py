"""Fewer scalar steps in the body of a structured operation, with the same bits."""

from collections.abc import Callable

import numpy as np

from npuc.compiler.dialects.nn import GenericOp
from npuc.compiler.ops.scalar_ops import constant_value, micro_op_of, scalar_op
from npuc.compiler.xdsl_api import Block, IntegerAttr, Operation, SSAValue, arith, i32

IsFinite = Callable[[SSAValue], bool]
EXACT_FLOAT_INTEGERS = 1 << 22  # beyond any 8-bit bound, well inside what float32 counts exactly


def simplify_scalars(op: GenericOp, is_finite: IsFinite) -> None:
    """Simplify the body and the epilogue of ``op``; ``is_finite`` knows its constant operands."""
    for block in (op.body.block, op.epilogue_block):
        if block is None:
            continue
        finite: set[SSAValue] = {
            argument
            for argument, value in zip(block.args, op.inputs, strict=False)
            if block is op.body.block and is_finite(value)
        }
        for inner in list(block.ops):
            _rescale(inner, block, finite)
        _drop_unused(block)


def _rescale(op: Operation, block: Block, finite: set[SSAValue]) -> None:
    """Shift the bounds of a requantised value instead of the value.

    # clamp(f2i(round(y) + z), low, high) - z == clamp(f2i(y), low - z, high - z), y not NaN
    """
    if _name(op) != "subi":
        return
    value, zero_point = op.operands
    shift = _integer(zero_point)
    bounds: list[tuple[str, int]] = []
    while _name(value.owner) in ("mini", "maxi") and len(bounds) < 2:
        bound = _integer(value.owner.operands[1])  # type: ignore[union-attr]  # it has a name
        if bound is None or not _is_used_once(value):
            return
        bounds.append((_name(value.owner) or "", bound))
        value = value.owner.operands[0]  # type: ignore[union-attr]  # it has a name
    source = _before_shift(value, shift)
    is_clamp = sorted(name for name, _ in bounds) == ["maxi", "mini"]
    if source is None or shift is None or not is_clamp or not _is_number(source, finite):
        return
    if max(abs(bound - shift) for _, bound in bounds) > EXACT_FLOAT_INTEGERS:
        return
    current = _insert(block, op, "f2i", source)
    for name, bound in reversed(bounds):
        constant = arith.ConstantOp(IntegerAttr(bound - shift, i32))
        block.insert_op_before(constant, op)
        current = _insert(block, op, name, current, constant.result)
    op.results[0].replace_all_uses_with(current)


def _before_shift(value: SSAValue, shift: int | None) -> SSAValue | None:
    """y where ``value`` is f2i(round(y) + shift)."""
    if _name(value.owner) != "f2i" or not _is_used_once(value) or shift is None:
        return None
    total = value.owner.operands[0]  # type: ignore[union-attr]  # it has a name
    if _name(total.owner) != "addf" or not _is_used_once(total):
        return None
    rounded, added = total.owner.operands  # type: ignore[union-attr]  # it has a name
    number = _float(added)
    if number is None or number != np.float32(shift) or _name(rounded.owner) != "roundf":
        return None
    return rounded.owner.operands[0] if _is_used_once(rounded) else None  # type: ignore[union-attr]


def _is_number(value: SSAValue, finite: set[SSAValue]) -> bool:
    """Whether ``value`` is never NaN: an integer times a finite constant."""
    owner = value.owner
    if _name(owner) != "mulf":
        return False
    assert isinstance(owner, Operation)
    return all(
        factor in finite or _name(factor.owner) == "i2f" or _is_finite_constant(factor)
        for factor in owner.operands
    )


def _is_finite_constant(value: SSAValue) -> bool:
    number = _float(value)
    return number is not None and bool(np.isfinite(number))


def _drop_unused(block: Block) -> None:
    for op in reversed(list(block.ops)):
        if op.results and not any(result.uses for result in op.results):
            op.detach()  # type: ignore[no-untyped-call]  # xDSL
            op.erase()


def _insert(block: Block, before: Operation, name: str, *operands: SSAValue) -> SSAValue:
    op = scalar_op(name, operands)
    op.location = before.location
    block.insert_op_before(op, before)
    return op.results[0]


def _name(owner: Operation | Block) -> str | None:
    """The micro-op that ``owner`` is."""
    if isinstance(owner, Block | arith.ConstantOp) or not owner.results:
        return None
    return micro_op_of(owner)[0]


def _is_used_once(value: SSAValue) -> bool:
    return len(list(value.uses)) == 1


def _integer(value: SSAValue) -> int | None:
    if not isinstance(value.owner, arith.ConstantOp):
        return None
    number = constant_value(value.owner)
    return int(number) if number.dtype.kind == "i" else None


def _float(value: SSAValue) -> np.float32 | None:
    if not isinstance(value.owner, arith.ConstantOp):
        return None
    number = constant_value(value.owner)
    return np.float32(number) if number.dtype.kind == "f" else None
