"""A fingerprint of an operation: equal for operations that compute the same of their operands.

Names of values, locations and the surrounding IR do not enter it.
"""

import hashlib

from npuc.compiler.xdsl_api import Operation, SSAValue


def fingerprint(op: Operation) -> str:
    """A hash of name, properties, operand and result types, and the regions of ``op``."""
    numbers: dict[SSAValue, int] = {}
    lines: list[str] = []
    pending: list[Operation] = [op]
    while pending:
        current = pending.pop()
        lines.append(_line(current, numbers))
        inner = [
            operation
            for region in current.regions
            for block in region.blocks
            for operation in _numbered(block.args, numbers, block.ops)
        ]
        pending.extend(reversed(inner))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _numbered(
    arguments: tuple[SSAValue, ...], numbers: dict[SSAValue, int], ops: object
) -> list[Operation]:
    for argument in arguments:
        _number(argument, numbers)
    return list(ops)  # type: ignore[call-overload,no-any-return]  # xDSL's BlockOps


def _number(value: SSAValue, numbers: dict[SSAValue, int]) -> int:
    return numbers.setdefault(value, len(numbers))


def _line(op: Operation, numbers: dict[SSAValue, int]) -> str:
    operands = [f"{_number(value, numbers)}:{value.type}" for value in op.operands]
    results = [f"{_number(value, numbers)}:{value.type}" for value in op.results]
    properties = [f"{name}={op.properties[name]}" for name in sorted(op.properties)]
    arguments = [str(a.type) for r in op.regions for b in r.blocks for a in b.args]
    return f"{op.name} {operands} {results} {properties} {len(op.regions)} {arguments}"
