"""The one table between scalar operations of bodies (arith, math, nn.micro) and micro-ops.

The interpreter evaluates bodies by it, the builder writes them by it, and ``kernel_of`` makes the
vector kernel of an nn.generic from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from npuc.compiler.dialects.nn import GenericOp, MicroOp, YieldOp
from npuc.compiler.dialects.nn_generic import DOMAIN_TYPES
from npuc.compiler.locations import describe
from npuc.compiler.xdsl_api import (
    Attribute,
    Block,
    FloatAttr,
    IntegerAttr,
    Operation,
    Region,
    SSAValue,
    arith,
    f32,
    i32,
    math,
)
from npuc.isa.descriptors import Kernel, Params
from npuc.isa.descriptors.kernel import (
    FIRST_PARAM,
    FIRST_RESULT,
    MAX_INPUTS,
    MAX_OPS,
    MAX_PARAMS,
    Op,
    Output,
    Stream,
)
from npuc.isa.errors import CompileError
from npuc.isa.microops import BY_NAME

Values = npt.NDArray[np.generic]

# micro-op -> operation class; the operands stand in the same order.
PLAIN: dict[str, type[Operation]] = {
    "addf": arith.AddfOp,
    "subf": arith.SubfOp,
    "mulf": arith.MulfOp,
    "divf": arith.DivfOp,
    "minf": arith.MinimumfOp,
    "maxf": arith.MaximumfOp,
    "negf": arith.NegfOp,
    "absf": math.AbsFOp,
    "floorf": math.FloorOp,
    "ceilf": math.CeilOp,
    "roundf": math.RoundEvenOp,
    "exp2": math.Exp2Op,
    "log2": math.Log2Op,
    "sqrt": math.SqrtOp,
    "rsqrt": math.RsqrtOp,
    "sin": math.SinOp,
    "cos": math.CosOp,
    "tanh": math.TanhOp,
    "erf": math.ErfOp,
    "addi": arith.AddiOp,
    "subi": arith.SubiOp,
    "muli": arith.MuliOp,
    "divi": arith.DivSIOp,
    "mini": arith.MinSIOp,
    "maxi": arith.MaxSIOp,
    "absi": math.AbsIOp,
    "andi": arith.AndIOp,
    "ori": arith.OrIOp,
    "xori": arith.XOrIOp,
    "shli": arith.ShLIOp,
    "shri": arith.ShRSIOp,
    "shrui": arith.ShRUIOp,
}
_BY_CLASS = {op_class: name for name, op_class in PLAIN.items()}
# (class, predicate) -> (micro-op, whether the operands are swapped); predicates as MLIR numbers.
_COMPARISONS: dict[tuple[type[Operation], int], tuple[str, bool]] = {
    (arith.CmpfOp, 1): ("eqf", False),
    (arith.CmpfOp, 2): ("ltf", True),
    (arith.CmpfOp, 3): ("lef", True),
    (arith.CmpfOp, 4): ("ltf", False),
    (arith.CmpfOp, 5): ("lef", False),
    (arith.CmpiOp, 0): ("eqi", False),
    (arith.CmpiOp, 2): ("lti", False),
    (arith.CmpiOp, 3): ("lei", False),
    (arith.CmpiOp, 4): ("lti", True),
    (arith.CmpiOp, 5): ("lei", True),
}
_PREDICATES = {
    name: (op_class, number)
    for (op_class, number), (name, swapped) in _COMPARISONS.items()
    if not swapped
}


def micro_op_of(op: Operation) -> tuple[str, tuple[SSAValue, ...]]:
    """The micro-op that computes ``op`` and its operands in the micro-op's order.

    Raises: CompileError for an operation that no micro-op computes.
    """
    name = _BY_CLASS.get(type(op))
    if name is not None:  # most are
        return name, tuple(op.operands)
    if isinstance(op, MicroOp):
        return op.micro_op.data, tuple(op.values)
    if isinstance(op, arith.SIToFPOp):
        return "i2f", tuple(op.operands)
    if isinstance(op, arith.SelectOp):
        return "selectf" if op.result.type == f32 else "selecti", tuple(op.operands)
    if isinstance(op, arith.CmpfOp | arith.CmpiOp):
        return _comparison(op)
    raise _no_micro_op(op)


def _comparison(op: arith.CmpfOp | arith.CmpiOp) -> tuple[str, tuple[SSAValue, ...]]:
    found = _COMPARISONS.get((type(op), op.predicate.value.data))
    if found is None:
        raise _no_micro_op(op)
    name, swapped = found
    return name, (op.rhs, op.lhs) if swapped else (op.lhs, op.rhs)


def _no_micro_op(op: Operation) -> CompileError:
    return CompileError(
        "a scalar operation of nn.generic has no micro-op",
        where=describe(op),
        given=str(op),
        allowed=", ".join(op_class.name for op_class in PLAIN.values()),
        next_step="write it with these operations, or with nn.micro and a micro-op's name",
    )


def scalar_op(name: str, operands: Sequence[SSAValue]) -> Operation:
    """A new operation that the micro-op ``name`` computes."""
    if name in PLAIN:
        return PLAIN[name](*operands)
    if name == "i2f":
        return arith.SIToFPOp(operands[0], f32)
    if name in ("selectf", "selecti"):
        return arith.SelectOp(*operands)
    if name in _PREDICATES:
        op_class, number = _PREDICATES[name]
        if op_class is arith.CmpfOp:
            return arith.CmpfOp(operands[0], operands[1], number)
        return arith.CmpiOp(operands[0], operands[1], number)
    return MicroOp(name, operands)


class Body:
    """Writes a body or epilogue: ``b.args``, ``b("mulf", x, y)``, ``b.number(2.0)``, ``b.done``."""

    def __init__(self, domains: str) -> None:
        self.block = Block(arg_types=[DOMAIN_TYPES[letter] for letter in domains])

    @property
    def args(self) -> tuple[SSAValue, ...]:
        """The scalars that the body gets."""
        return tuple(self.block.args)

    def __call__(self, name: str, *operands: SSAValue) -> SSAValue:
        """The result of a new micro-op."""
        op = scalar_op(name, operands)
        self.block.add_op(op)
        return op.results[0]

    def number(self, value: float) -> SSAValue:
        """A constant: an ``int`` is i32, a ``float`` is rounded to f32."""
        if isinstance(value, int):
            attribute: Attribute = IntegerAttr(value, i32)
        else:
            attribute = FloatAttr(float(np.float32(value)), f32)
        op = arith.ConstantOp(attribute)  # type: ignore[arg-type]  # one of its two kinds
        self.block.add_op(op)
        return op.result

    def done(self, *values: SSAValue) -> Region:
        """The finished region, which yields ``values``."""
        self.block.add_op(YieldOp(values))
        return Region(self.block)


def constant_value(op: arith.ConstantOp) -> np.float32 | np.int32:
    """The scalar of an arith.constant in its domain."""
    attribute = op.value
    if isinstance(attribute, FloatAttr):
        return np.float32(attribute.value.data)
    assert isinstance(attribute, IntegerAttr)
    return np.int32(attribute.value.data)


def evaluate_block(block: Block, arguments: Sequence[Values]) -> list[Values]:
    """What ``block`` yields for these arguments, elementwise, in machine numerics."""
    values: dict[SSAValue, Values] = dict(zip(block.args, arguments, strict=True))
    for op in block.ops:
        if isinstance(op, YieldOp):
            return [values[value] for value in op.values]
        if isinstance(op, arith.ConstantOp):
            values[op.result] = np.asarray(constant_value(op))
            continue
        name, operands = micro_op_of(op)
        values[op.results[0]] = BY_NAME[name].meaning(*(values[value] for value in operands))
    raise AssertionError("a verified block ends in nn.yield")


@dataclass
class _KernelWriter:
    """Numbers values while a body and an epilogue become micro-ops."""

    ops: list[Op] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    numbers: dict[SSAValue, int] = field(default_factory=dict)

    def write(self, block: Block) -> list[int]:
        """Append the operations of ``block``; return the numbers of what it yields."""
        for op in block.ops:
            if isinstance(op, YieldOp):
                return [self.numbers[value] for value in op.values]
            if isinstance(op, arith.ConstantOp):
                self.numbers[op.result] = FIRST_PARAM + self._parameter(op)
                continue
            name, operands = micro_op_of(op)
            number = self.append(name, [self.numbers[value] for value in operands])
            self.numbers[op.results[0]] = number
        raise AssertionError("a verified block ends in nn.yield")

    def append(self, name: str, operands: Sequence[int]) -> int:
        """Append one micro-op and return the number of its result."""
        self.ops.append(Op(name, tuple(operands)))
        return FIRST_RESULT + len(self.ops) - 1

    def _parameter(self, op: arith.ConstantOp) -> int:
        word = int(np.asarray(constant_value(op)).view(np.uint32))
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)


@dataclass(frozen=True)
class KernelSize:
    """What of the kernel limits a generic uses."""

    inputs: int
    ops: int
    params: int

    @property
    def excess(self) -> str | None:
        """The limit that is exceeded, in words, or None."""
        for what, number, limit in (
            ("inputs", self.inputs, MAX_INPUTS),
            ("micro-ops", self.ops, MAX_OPS),
            ("parameters", self.params, MAX_PARAMS),
        ):
            if number > limit:
                return f"{number} {what}, but a vector kernel has at most {limit}"
        return None


def kernel_size(op: GenericOp) -> KernelSize:
    """Inputs, micro-ops and parameters of the kernel of ``op``, whether or not they fit."""
    return kernel_use(op)[0]


def kernel_use(op: GenericOp) -> tuple[KernelSize, tuple[int, ...]]:
    """``kernel_size``, and the distinct constants of ``op`` as 32-bit words."""
    writer, _, _ = _write_kernel(op)
    size = KernelSize(len(op.inputs), len(writer.ops), len(writer.words))
    return size, tuple(writer.words)


def kernel_of(op: GenericOp) -> tuple[Kernel, Params]:
    """The vector kernel of ``op`` (input i is stream i, one output) and its parameters.

    Raises: CompileError naming the node and the limit when it does not fit one kernel.
    """
    writer, body_count, output = _write_kernel(op)
    excess = KernelSize(len(op.inputs), len(writer.ops), len(writer.words)).excess
    if excess:
        raise CompileError(
            "an operation does not fit one vector kernel", where=describe(op), given=excess
        )
    domains = ["f" if argument.type == f32 else "i" for argument in op.body.block.args]
    kernel = Kernel(
        tuple(Stream(domain) for domain in domains), tuple(writer.ops), body_count, (output,)
    )
    return kernel, Params(tuple(writer.words))


def _write_kernel(op: GenericOp) -> tuple[_KernelWriter, int, Output]:
    writer = _KernelWriter()
    writer.numbers.update({argument: i for i, argument in enumerate(op.body.block.args)})
    yielded = writer.write(op.body.block)
    if op.reduction_name is None:
        return writer, len(writer.ops), Output(yielded[0])
    reduced = writer.append(op.reduction_name, yielded)
    body_count = len(writer.ops)
    if op.epilogue_block is None:
        return writer, body_count, Output(reduced, epilogue=True)
    numbers = (reduced, *op.space.epilogue_inputs)
    writer.numbers.update(zip(op.epilogue_block.args, numbers, strict=True))
    (result,) = writer.write(op.epilogue_block)
    return writer, body_count, Output(result, epilogue=True)
