"""Placing: capacity errors, sharing of bytes and of constants, order between groups."""

import numpy as np
import pytest

from npuc.compiler.backend.emit import emit_program
from npuc.compiler.backend.lower_tiles import LowerTiles
from npuc.compiler.backend.place_memory import PlaceMemory
from npuc.compiler.context import NpuContext
from npuc.compiler.dialects import npu
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import run
from npuc.emulator.strict import check
from npuc.isa.encoding import decode
from npuc.isa.errors import CompileError
from npuc.isa.instructions.order import Nop
from tests.e2e.tile_files import make_context, parse

T = "!tile.dram<[4, 16] i8>"
MAP = "map <i8 0 extents [4, 16] strides [16, 1] box [4, 16] spm [16, 1]>"


def copy_group(name: str, source: str, destination: str, slot_bytes: int = 64) -> str:
    ring = f"!tile.buffer<spm {slot_bytes} x 1>"
    return f"""tile.group "{name}" (%a = {source} : {T}, %b = {destination} : {T}) {{
      %r = tile.buffer "r" : {ring}
      %s = tile.acquire %r : {ring}
      tile.load %s, %a {MAP} at <[0, 0]> on ld0 : {T}
      tile.store %s, %b {MAP} at <[0, 0]> : {T}
      tile.release %r : {ring}
    }}
"""


def tile_text(*groups: str, cores: str = "") -> str:
    return f"""tile.program {{
      %x = tile.tensor "x" input : {T}
      %k = tile.tensor "k" constant key "same" : {T}
      %l = tile.tensor "l" constant key "same" : {T}
      %s0 = tile.tensor "s0" scratch : {T}
      %s1 = tile.tensor "s1" scratch : {T}
      %s2 = tile.tensor "s2" scratch : {T}
      %y = tile.tensor "y" output : {T}
      tile.core 0 {{ {"".join(groups)} }}
      {cores}
    }}"""


def placed(text: str, ctx: NpuContext | None = None) -> tuple[NpuContext, ModuleOp]:
    ctx = ctx or make_context()
    ctx.consts.add_named({"same": np.arange(64, dtype=np.int8).reshape(4, 16)})
    module = parse(ctx, text)
    LowerTiles().apply(ctx, module)
    PlaceMemory().apply(ctx, module)
    module.verify()
    return ctx, module


CHAIN = (
    copy_group("a", "%x", "%s0"),
    copy_group("b", "%s0", "%s1"),
    copy_group("c", "%s1", "%s2"),
    copy_group("d", "%s2", "%y"),
)


def offsets(module: ModuleOp) -> dict[str, int]:
    return {
        op.tensor_name.data: op.offset.data
        for op in module.walk()
        if isinstance(op, npu.TensorOp) and op.offset is not None
    }


def test_scratch_tensors_share_bytes_by_lifetime() -> None:
    ctx, module = placed(tile_text(*CHAIN))
    program = emit_program(module, ctx)
    where = offsets(module)
    assert where["s0"] == where["s2"] != where["s1"]
    assert program.scratch_bytes == 128
    x = np.random.default_rng(0).integers(-128, 128, (4, 16)).astype(np.int8)
    result = run(program, {"x": x})
    np.testing.assert_array_equal(result.outputs["y"], x)
    assert [f for f in check(program, result.streams) if f.kind == "race"] == []


def test_equal_constants_are_stored_once() -> None:
    ctx, module = placed(tile_text(copy_group("a", "%k", "%s0"), copy_group("b", "%l", "%y")))
    assert offsets(module)["k"] == offsets(module)["l"]
    assert emit_program(module, ctx).constants.size == 64


def test_neighbouring_groups_do_not_wait_for_each_others_buffers() -> None:
    ctx, module = placed(tile_text(copy_group("a", "%x", "%s0"), copy_group("b", "%k", "%y")))
    assert not [i for i in decode(emit_program(module, ctx).code[0]) if isinstance(i, Nop)]


def test_groups_wait_where_one_reads_what_another_stored() -> None:
    ctx, module = placed(tile_text(*CHAIN[:2]))
    nops = [i for i in decode(emit_program(module, ctx).code[0]) if isinstance(i, Nop)]
    assert [(n.engine.name, [w.counter.engine.name for w in n.waits]) for n in nops] == [
        ("ld0", ["st"])
    ]


def test_too_small_a_memory_names_buffer_and_bytes() -> None:
    with pytest.raises(CompileError, match="do not fit into the SPM") as error:
        placed(tile_text(copy_group("big", "%x", "%y", 1 << 20)))
    assert error.value.where == "buffer big/r"
    assert str(1 << 20) in error.value.given and "524288" in error.value.allowed


def test_remarks_tell_peak_and_bound() -> None:
    ctx, _ = placed(tile_text(*CHAIN))
    (spm,) = [r for r in ctx.remarks.of("place-memory") if "SPM" in r.message]
    figures = dict(spm.figures)
    assert figures["peak_bytes"] >= figures["bound_bytes"] == 64


def test_emit_refuses_what_is_not_placed() -> None:
    ctx = make_context()
    module = parse(ctx, tile_text(*CHAIN))
    with pytest.raises(CompileError, match="one placed npu program"):
        emit_program(module, ctx)
    LowerTiles().apply(ctx, module)
    with pytest.raises(CompileError, match="without address"):
        emit_program(module, ctx)


def test_emit_refuses_a_core_too_many() -> None:
    other = f"tile.core 1 {{ {copy_group('z', '%k', '%s1')} }}"
    ctx, module = placed(tile_text(*CHAIN[:1], cores=other))
    with pytest.raises(CompileError, match="a core that the target does not have"):
        emit_program(module, ctx)


def test_emit_refuses_a_constant_of_another_shape() -> None:
    ctx, module = placed(tile_text(copy_group("a", "%k", "%y")))
    ctx.consts.add_named({"same": np.zeros(3, np.int8)})
    with pytest.raises(CompileError, match="a constant differs from its tensor"):
        emit_program(module, ctx)


def test_debug_table_covers_every_group() -> None:
    ctx, module = placed(tile_text(*CHAIN))
    program = emit_program(module, ctx)
    sources = program.debug.sources
    assert [s.group for s in sources] == ["a", "b", "c", "d"]
    assert [s.stop for s in sources[:-1]] == [s.start for s in sources[1:]]
    assert sources[-1].stop == len(program.code[0]) - 1  # then halt
    assert {b.name for b in program.debug.buffers} >= {"a/r", "d/r", "scratch/s1"}
