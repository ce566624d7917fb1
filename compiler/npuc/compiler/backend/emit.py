"""The stage ``emit``: a placed ``npu`` program to ``npuc.isa.program.Program``."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from npuc.compiler.backend.encode_ops import Tables
from npuc.compiler.backend.layout import TENSOR_ALIGNMENT
from npuc.compiler.consts import forget_pages
from npuc.compiler.context import NpuContext
from npuc.compiler.dialects import npu
from npuc.compiler.dialects.tile import SegmentName
from npuc.compiler.locations import node_names
from npuc.compiler.remarks import remarks_json
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.descriptors import Segment
from npuc.isa.encoding import encode
from npuc.isa.errors import CompileError
from npuc.isa.extensions import needed_extensions
from npuc.isa.instructions import Instruction
from npuc.isa.program import (
    Argument,
    BufferRecord,
    Code,
    Debug,
    Program,
    Quantisation,
    SourceRange,
)


def emit_program(module: ModuleOp, ctx: NpuContext, model_name: str = "") -> Program:
    """The program of ``module``, which holds one placed ``npu.program``.

    Raises: CompileError when the module is no placed program, needs more cores than the target
    has, or names a constant that is not in the store.
    """
    program = _single_program(module)
    cores = _cores(program, ctx)
    tensors = [op for op in program.body.block.ops if isinstance(op, npu.TensorOp)]
    tables = Tables()
    emitted = [_emit_core(core, tables) for core in cores]
    debug = Debug(
        tuple(source for _, sources in emitted for source in sources),
        tuple(record for core in cores for record in _buffers(core)) + _dram_records(tensors),
        _schedule_json(ctx),
        model_name,
        remarks_json(ctx.remarks),
    )
    made = Program(
        target=ctx.target,
        target_toml=ctx.target_toml,
        code=tuple(code for code, _ in emitted),
        views=tuple(tables.views.rows),
        maps=tuple(tables.maps.rows),
        kernels=tuple(tables.kernels.rows),
        params=tuple(tables.params.rows),
        constants=_constants(tensors, ctx),
        inputs=_arguments(tensors, SegmentName.input),
        outputs=_arguments(tensors, SegmentName.output),
        states=_arguments(tensors, SegmentName.state),
        scratch_bytes=_segment_bytes(tensors, SegmentName.scratch),
        debug=debug,
    )
    return replace(made, extensions=tuple(sorted(needed_extensions(made))))


def _single_program(module: ModuleOp) -> npu.ProgramOp:
    programs = [op for op in module.body.block.ops if isinstance(op, npu.ProgramOp)]
    unplaced = npu.unplaced(module)
    if len(programs) != 1 or unplaced:
        raise CompileError(
            "emit needs one placed npu program",
            given=f"{len(programs)} programs, {len(unplaced)} operations without address",
            next_step="run the stages lower and place before emit",
        )
    return programs[0]


def _cores(program: npu.ProgramOp, ctx: NpuContext) -> list[npu.CoreOp]:
    given = {op.index.data: op for op in program.body.block.ops if isinstance(op, npu.CoreOp)}
    if given and max(given) >= ctx.target.cores:
        raise CompileError(
            "the program uses a core that the target does not have",
            given=f"core {max(given)}",
            allowed=f"0 to {ctx.target.cores - 1}",
            next_step="compile for a target with more cores",
        )
    return [given.get(index) or _idle_core(index) for index in range(ctx.target.cores)]


def _idle_core(index: int) -> npu.CoreOp:
    core = npu.CoreOp(index)
    core.body.block.add_op(npu.HaltOp())
    return core


def _emit_core(core: npu.CoreOp, tables: Tables) -> tuple[Code, list[SourceRange]]:
    instructions: list[Instruction] = []
    sources = []
    for op in core.body.block.ops:
        start = len(instructions)
        if isinstance(op, npu.GroupOp):
            instructions += tables.instructions(op.body.block)
            sources.append(
                SourceRange(
                    core.index.data,
                    start,
                    len(instructions),
                    op.group_name.data,
                    node_names(op),
                    op.name,
                )
            )
        elif not isinstance(op, npu.BufferOp):
            instructions.append(tables.instruction(op))
    return encode(instructions), sources


def _buffers(core: npu.CoreOp) -> list[BufferRecord]:
    records = []
    for op in core.body.block.ops:
        if isinstance(op, npu.BufferOp):
            assert op.offset is not None
            spec, name = op.buffer_type.data, op.buffer_name.data
            records.append(
                BufferRecord(
                    name,
                    core.index.data,
                    spec.space.name,
                    op.offset.data,
                    spec.n_bytes,
                    name.rpartition("/")[2],
                )
            )
    return records


def _dram_records(tensors: Sequence[npu.TensorOp]) -> tuple[BufferRecord, ...]:
    return tuple(
        BufferRecord(
            f"{op.segment.data.value}/{op.tensor_name.data}",
            0,
            "dram",
            _offset(op),
            op.tensor_type.data.n_bytes,
            op.tensor_name.data,
        )
        for op in tensors
    )


def _arguments(tensors: Sequence[npu.TensorOp], segment: SegmentName) -> tuple[Argument, ...]:
    return tuple(
        Argument(
            (op.known_as or op.tensor_name).data,
            op.tensor_type.data.dtype,
            op.tensor_type.data.shape,
            Segment[segment.value],
            _offset(op),
            _quantisation(op),
        )
        for op in tensors
        if op.segment.data is segment
    )


def _quantisation(op: npu.TensorOp) -> Quantisation | None:
    if op.scale is None:
        return None
    return Quantisation(op.scale.value.data, op.zero_point.data if op.zero_point else 0)


def _constants(tensors: Sequence[npu.TensorOp], ctx: NpuContext) -> npt.NDArray[np.uint8]:
    segment = np.zeros(_segment_bytes(tensors, SegmentName.constant), np.uint8)
    for op in tensors:
        if op.key is None:
            continue
        array, spec = ctx.consts.get(op.key.data), op.tensor_type.data
        if array.nbytes != spec.n_bytes or array.dtype != spec.dtype.numpy:
            raise CompileError(
                "a constant differs from its tensor",
                where=op.tensor_name.data,
                given=f"{array.dtype}{list(array.shape)}",
                allowed=f"{spec.dtype.name}{list(spec.shape)}",
            )
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        segment[_offset(op) : _offset(op) + data.size] = data
        forget_pages(array)
    return segment


def _segment_bytes(tensors: Sequence[npu.TensorOp], segment: SegmentName) -> int:
    ends = [
        _offset(op) + op.tensor_type.data.n_bytes for op in tensors if op.segment.data is segment
    ]
    return -(-max(ends, default=0) // TENSOR_ALIGNMENT) * TENSOR_ALIGNMENT


def _offset(op: npu.TensorOp) -> int:
    assert op.offset is not None
    return int(op.offset.data)


def _schedule_json(ctx: NpuContext) -> str:
    to_json = getattr(ctx.schedule, "to_json", None)
    return str(to_json()) if to_json is not None else "{}"
