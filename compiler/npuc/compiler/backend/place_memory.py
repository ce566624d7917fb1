"""The stage ``place``: addresses for buffers and tensors, then order between groups."""

from dataclasses import dataclass, replace

from npuc.compiler.backend.handover import Extent, Handover, PlacedTouch
from npuc.compiler.backend.layout import CoreLayout, DramLayout, lay_out_core, lay_out_dram
from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects import npu
from npuc.compiler.dialects.tile import Place, PlaceAttr, ViewAttr
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Context,
    InsertPoint,
    IntAttr,
    ModuleOp,
    ModulePass,
    Operation,
    Rewriter,
    walk,
)
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.target import Target


@dataclass(frozen=True)
class _Tensor:
    segment: Segment
    offset: int
    n_bytes: int


@dataclass(frozen=True)
class _Group:
    """The placed objects of one group, by number."""

    tensors: tuple[_Tensor, ...]
    buffers: tuple[tuple[str, int, int], ...]  # memory, offset, bytes

    def touched(self, touch: npu.Touch) -> PlacedTouch:
        """``touch`` with addresses."""
        if touch.is_tensor:
            tensor = self.tensors[touch.number]
            extent = Extent(tensor.segment.name, tensor.offset, tensor.offset + tensor.n_bytes)
        else:
            memory, offset, n_bytes = self.buffers[touch.number]
            extent = Extent(memory, offset, offset + n_bytes)
        return PlacedTouch(extent, touch.engine, touch.writes, touch.count)


def place_program(program: npu.ProgramOp, target: Target) -> dict[int, CoreLayout]:
    """Give ``program`` addresses in place; the layouts by core index.

    Raises: CompileError naming memory, buffer and bytes where something does not fit.
    """
    dram = lay_out_dram(program)
    tensors = _place_tensors(program, dram)
    layouts = {}
    for core in [op for op in program.body.block.ops if isinstance(op, npu.CoreOp)]:
        layout = lay_out_core(core, target)
        layouts[core.index.data] = layout
        _place_core(core, layout, tensors)
    return layouts


def _place_tensors(program: npu.ProgramOp, dram: DramLayout) -> dict[str, _Tensor]:
    tensors = {}
    for op in program.body.block.ops:
        if isinstance(op, npu.TensorOp):
            offset = dram.offsets[op.tensor_name.data]
            op.offset = IntAttr(offset)
            segment = Segment[op.segment.data.value]
            tensors[op.tensor_name.data] = _Tensor(segment, offset, op.tensor_type.data.n_bytes)
    return tensors


def _place_core(core: npu.CoreOp, layout: CoreLayout, tensors: dict[str, _Tensor]) -> None:
    buffers = {}
    for op in core.body.block.ops:
        if isinstance(op, npu.BufferOp):
            name, spec = op.buffer_name.data, op.buffer_type.data
            op.offset = IntAttr(layout.offsets[name])
            buffers[name] = (spec.space.name, layout.offsets[name], spec.n_bytes)
    handover = Handover(core.index.data)
    for group in [op for op in core.body.block.ops if isinstance(op, npu.GroupOp)]:
        placed = _Group(
            tuple(tensors[t.data] for t in group.tensors.data),
            tuple(buffers[b.data] for b in group.buffers.data),
        )
        for op in walk(group)[1:]:
            _resolve(op, placed)
        usage = group.usage.data
        touches = [placed.touched(touch) for touch in usage.touches]
        _prepend(group, handover.enter(touches))
        handover.leave(touches, usage)


def _prepend(group: npu.GroupOp, nops: list[npu.NopOp]) -> None:
    for nop in nops:
        nop.location = group.location
    if nops:
        Rewriter.insert_op(nops, InsertPoint.at_start(group.body.block))


def _resolve(op: Operation, group: _Group) -> None:
    attribute = op.properties.pop("references", None)
    if attribute is None:
        return
    assert isinstance(attribute, npu.ReferencesAttr), "a definition says so"
    references = attribute.data
    offsets = [group.buffers[number][1] for number in references.buffers]
    if type(op) is npu.VexecOp or type(op) is npu.MmaOp:
        placed = zip(op.views.data, offsets, strict=True)
        op.views = ArrayAttr([ViewAttr(view.data.moved(offset)) for view, offset in placed])
    elif isinstance(op, npu.LdOp | npu.StOp | npu.GatherOp):
        register, constant = op.place.data.offset
        start = (register, constant + offsets[0])
        op.place = PlaceAttr(Place(op.place.data.coordinates, start))
        op.map = npu.DramMapAttr(_resolve_map(op.map.data, group.tensors[references.tensor]))
        if isinstance(op, npu.GatherOp):
            op.view = ViewAttr(op.view.data.moved(offsets[1]))


def _resolve_map(tensor_map: TensorMap, tensor: _Tensor) -> TensorMap:
    return replace(tensor_map, segment=tensor.segment, base=tensor_map.base + tensor.offset)


@dataclass(frozen=True)
class PlaceMemory(ModulePass):
    """Addresses for buffers and tensors; waits between groups."""

    name = "place-memory"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu_ctx = npu_context(ctx)
        for program in [p for p in op.body.block.ops if isinstance(p, npu.ProgramOp)]:
            for core, layout in place_program(program, npu_ctx.target).items():
                _report(npu_ctx, core, layout)


def _report(ctx: NpuContext, core: int, layout: CoreLayout) -> None:
    for space, plan in layout.plans.items():
        ctx.remarks.note(
            "place-memory",
            f"core {core}: {space.name.upper()} is planned",
            peak_bytes=plan.peak_bytes,
            bound_bytes=plan.lower_bound_bytes,
        )
