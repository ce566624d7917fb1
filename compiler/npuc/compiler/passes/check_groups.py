"""check-groups: every group must be possible on the machine; then constants come first.

What no group can hold is an error that names the ONNX node and the reason.
"""

from dataclasses import dataclass

from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects.element_types import dtype_of
from npuc.compiler.dialects.nn import ConstantOp, Conv2dOp, GenericOp, GraphOp, GroupOp, MatmulOp
from npuc.compiler.interpreter import graph_of
from npuc.compiler.locations import describe
from npuc.compiler.ops.scalar_ops import kernel_size
from npuc.compiler.ops.structured import MAX_PARALLEL, MAX_REDUCED
from npuc.compiler.xdsl_api import Attribute, Context, ModuleOp, ModulePass, Operation
from npuc.isa.dtypes import DType
from npuc.isa.errors import CompileError


def reason_against(op: Operation, ctx: NpuContext) -> str | None:
    """Why the machine cannot do ``op`` in one group, or None."""
    if isinstance(op, GenericOp):
        return _against_generic(op)
    if isinstance(op, Conv2dOp | MatmulOp):
        is_float = dtype_of(op.result) is DType.f32
        if is_float and "F" not in ctx.target.extensions:
            return f"float products need extension F, which target {ctx.target.name} does not have"
    if isinstance(op, Conv2dOp) and op.group_count > 1:
        return "grouped convolution with several channels per group is not supported"
    return None


def _against_generic(op: GenericOp) -> str | None:
    space = op.space
    reduced = len(space.extents) - space.parallel
    if space.parallel > MAX_PARALLEL or reduced > MAX_REDUCED:
        return (
            f"it needs {space.parallel} parallel and {reduced} reduced dimensions,"
            f" the vector engine has {MAX_PARALLEL} and {MAX_REDUCED}"
        )
    return kernel_size(op).excess


def _constants_first(graph: GraphOp) -> None:
    """Constants move to the top; equal ones become one."""
    kept: dict[tuple[str, Attribute], ConstantOp] = {}
    last: Operation | None = None
    for constant in [op for op in graph.block.ops if isinstance(op, ConstantOp)]:
        twin = kept.setdefault((constant.key.data, constant.result.type), constant)
        constant.detach()  # type: ignore[no-untyped-call]  # xDSL
        if twin is not constant:
            constant.result.replace_all_uses_with(twin.result)
            constant.erase()
            continue
        anchor = graph.block.first_op if last is None else last.next_op
        assert anchor is not None
        graph.block.insert_op_before(constant, anchor)
        last = constant


@dataclass(frozen=True)
class CheckGroups(ModulePass):
    """Refuse what the machine cannot do; put constants first, each once."""

    name = "check-groups"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu, graph = npu_context(ctx), graph_of(op)
        for group in graph.block.ops:
            for inner in group.block.ops if isinstance(group, GroupOp) else ():
                reason = reason_against(inner, npu)
                if reason:
                    raise CompileError(
                        "an operation cannot run on the machine",
                        describe(inner),
                        reason,
                        next_step="change the model or the target",
                    )
        _constants_first(graph)
        n_groups = sum(isinstance(o, GroupOp) for o in graph.block.ops)
        npu.remarks.note(self.name, "all work runs on the machine", groups=n_groups)
