"""Which operations may remain after each stage; the pipeline checks it after each stage.

An entry is an operation's full name, or a prefix that ends in a dot.
"""

from collections.abc import Iterable, Iterator, Sequence

from npuc.compiler.dialects.nn import (
    ConcatOp,
    ConstantOp,
    Conv2dOp,
    GenericOp,
    GraphOp,
    GroupOp,
    MatmulOp,
    ReshapeOp,
    ReturnOp,
    SliceOp,
)
from npuc.compiler.locations import describe
from npuc.compiler.ops import has_interface, infer
from npuc.compiler.xdsl_api import ModuleOp, Operation, walk
from npuc.isa.errors import CompileError

_PIECES = ("nn.concat", "nn.slice")
_STRUCTURE = ("builtin.module", "nn.graph", "nn.return", "nn.constant")
_MOVED = ("nn.reshape", "nn.transpose", "nn.gather", *_PIECES)
_WORK = ("nn.conv2d", "nn.matmul", "nn.generic", *_MOVED)
_QUANTISED = ("nn.quantize", "nn.dequantize", "nn.requantize")
_NAMED = ("nn.elementwise", "nn.clip", "nn.pad")
_DECOMPOSED = ("nn.pool2d", "nn.reduce", "nn.softmax")
_GROUPED = ("nn.group", "nn.yield")

# Scalar operations of bodies are legal inside nn.generic, and nowhere else, at every nn stage.
SCALARS = ("arith.", "math.", "nn.micro", "nn.yield")

LEGAL: dict[str, tuple[str, ...]] = {
    "import": (*_STRUCTURE, *_WORK, *_QUANTISED, *_NAMED, *_DECOMPOSED),
    "normalise": (*_STRUCTURE, *_WORK, *_QUANTISED, *_NAMED),
    "quantize": (*_STRUCTURE, *_WORK),
    "fuse": (*_STRUCTURE, *_WORK, *_GROUPED),
    "partition": (*_STRUCTURE, *_WORK, *_GROUPED),
    "schedule": ("builtin.module", "tile."),
    "lower": ("builtin.module", "npu."),
    "place": ("builtin.module", "npu."),
}
NN_STAGES = ("import", "normalise", "quantize", "fuse", "partition")


def check_legality(stage: str, module: ModuleOp) -> None:
    """Raise CompileError naming the first operation that ``stage`` may not leave behind."""
    allowed = LEGAL.get(stage)
    if allowed is None:
        return
    seen: set[tuple[str, bool]] = set()
    ops = walk(module)
    for op in ops:
        is_scalar = type(op.parent_op()) is GenericOp
        if (kind := (op.name, is_scalar)) in seen:
            continue
        seen.add(kind)
        if not _is_among(op.name, SCALARS if is_scalar else allowed):
            raise _illegal(stage, op, f"{op.name} must be gone", SCALARS if is_scalar else allowed)
    if stage in NN_STAGES:
        for op, reason in _nn_violations(stage, ops):
            raise _illegal(stage, op, reason, allowed)


def _is_among(name: str, allowed: Iterable[str]) -> bool:
    return any(
        name == entry or (entry.endswith(".") and name.startswith(entry)) for entry in allowed
    )


def _illegal(stage: str, op: Operation, reason: str, allowed: Sequence[str]) -> CompileError:
    return CompileError(
        f"after stage {stage} the IR is not legal: {reason}",
        where=describe(op),
        given=str(op).splitlines()[0],
        allowed=", ".join(allowed),
        next_step="a pass of this stage declined or is missing: its remarks say why",
    )


def _nn_violations(stage: str, ops: Iterable[Operation]) -> Iterator[tuple[Operation, str]]:
    position = NN_STAGES.index(stage)
    for op in ops:
        if has_interface(op) and infer(op) != tuple(result.type for result in op.results):
            yield op, "its result type is not what its operands imply"
        if position >= NN_STAGES.index("quantize"):
            yield from _after_quantize(op)
        if position >= NN_STAGES.index("fuse"):
            yield from _after_fuse(op)


def _after_quantize(op: Operation) -> Iterator[tuple[Operation, str]]:
    names = ("x_zero_point", "w_zero_point", "a_zero_point", "b_zero_point")
    if any(name in op.properties for name in names):
        yield op, "a zero point is left on a contraction"
    if isinstance(op, Conv2dOp) and op.group_count > 1:
        yield op, "a grouped convolution is left"


def _after_fuse(op: Operation) -> Iterator[tuple[Operation, str]]:
    outside = (GraphOp, GroupOp, ConstantOp, ReshapeOp, SliceOp, ConcatOp, ReturnOp)
    if isinstance(op.parent_op(), GraphOp) and not isinstance(op, outside):
        yield op, "work stands outside a group"
    if isinstance(op, GroupOp):
        members = [inner.name for inner in op.block.ops][:-1]
        is_pair = len(members) == 2 and members[1] == "nn.generic"
        starts_with_contraction = isinstance(op.block.first_op, Conv2dOp | MatmulOp)
        if not (len(members) == 1 or (is_pair and starts_with_contraction)):
            yield op, f"a group holds {members}"
