"""Lowering: what becomes an instruction, where waits stand, what is reused, what is refused."""

import pytest

from npuc.compiler.backend.lower_tiles import lower_program
from npuc.compiler.backend.signals import Signals
from npuc.compiler.backend.trace import Objects
from npuc.compiler.backend.waits import plan_waits
from npuc.compiler.dialects import npu, tile
from npuc.compiler.xdsl_api import Operation
from npuc.isa.errors import CompileError
from npuc.isa.instructions import Engine
from tests.e2e.tile_files import make_context, parse

T = "!tile.dram<[64, 16] i8>"
MAP = "map <i8 0 extents [64, 16] strides [16, 1] box [1, 16] spm [16, 1]>"
VIEW = "#tile.view<i8 spm 0 extents [1, 1, 1, 16, 1, 1, 1] strides [0, 0, 0, 1, 0, 0, 0]>"


def ring(depth: int) -> str:
    return f"!tile.buffer<spm 16 x {depth}>"


def load(slot: str, index: str, queue: str = "ld0") -> str:
    return f"tile.load {slot}, %a dynamic({index}) {MAP} at <[0 ?1, 0]> on {queue} : {T}"


def store(slot: str, index: str) -> str:
    return f"tile.store {slot}, %b dynamic({index}) {MAP} at <[0 ?1, 0]> : {T}"


def group(body: str, name: str = "g", x: str = "%x") -> str:
    return f'tile.group "{name}" (%a = {x} : {T}, %b = %y : {T}) {{\n{body}\n}}\n'


def program(*groups: str, more_cores: str = "") -> tile.ProgramOp:
    text = f"""tile.program {{
      %x = tile.tensor "x" input : {T}
      %z = tile.tensor "z" input : {T}
      %y = tile.tensor "y" output : {T}
      tile.core 0 {{ {"".join(groups)} }}
      {more_cores}
    }}"""
    (op,) = parse(make_context(), text).body.block.ops
    assert isinstance(op, tile.ProgramOp)
    return op


def pipeline_body(depth: int, trips: int = 8) -> str:
    """Load a row, store it, in a loop."""
    return f"""%r = tile.buffer "r" : {ring(depth)}
      tile.for %i = 0 to {trips} step 1 {{
        %s = tile.acquire %r : {ring(depth)}
        {load("%s", "%i")}
        {store("%s", "%i")}
        tile.release %r : {ring(depth)}
      }}"""


def lowered(*groups: str) -> list[npu.GroupOp]:
    result = lower_program(program(*groups))
    result.verify()
    return [op for op in result.walk() if isinstance(op, npu.GroupOp)]


def kinds(op: Operation) -> list[str]:
    return [inner.name.removeprefix("npu.") for inner in op.walk()][1:]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_ring_of_depth_d_keeps_d_minus_one_behind(depth: int) -> None:
    (source,) = [
        op for op in program(group(pipeline_body(depth))).walk() if isinstance(op, tile.GroupOp)
    ]
    plan = plan_waits(source, Objects.of(source))
    waits = {type(op): distances for op, distances in plan.at.items()}
    assert waits == {
        tile.LoadOp: {Engine.st: depth - 1},  # refill after the store of depth rounds ago
        tile.StoreOp: {Engine.ld0: 0},
    }
    assert plan.before == {}


def part(columns: range, queue: str) -> str:
    """Load some columns of a row to where they are in it."""
    box = MAP.replace("box [1, 16]", f"box [1, {len(columns)}]")
    place = f"[0 ?1, {columns.start}] offset {columns.start}"
    return f"tile.load %s, %a dynamic(%i) {box} at <{place}> on {queue} : {T}"


@pytest.mark.parametrize(
    ("columns", "is_apart"),
    [
        ((range(8), range(8, 16)), True),
        ((range(8, 16), range(8)), True),
        ((range(9), range(8, 16)), False),
        ((range(16), range(4, 5)), False),
    ],
)
def test_loads_of_other_bytes_of_a_slot_are_not_ordered(
    columns: tuple[range, range], is_apart: bool
) -> None:
    body = f"""%r = tile.buffer "r" : {ring(2)}
      tile.for %i = 0 to 5 step 1 {{
        %s = tile.acquire %r : {ring(2)}
        {part(columns[0], "ld0")}
        {part(columns[1], "ld1")}
        {store("%s", "%i")}
        tile.release %r : {ring(2)}
      }}"""
    (source,) = [op for op in program(group(body)).walk() if isinstance(op, tile.GroupOp)]
    plan = plan_waits(source, Objects.of(source))
    (one, other) = [op for op in source.walk() if isinstance(op, tile.LoadOp)]
    assert plan.at[one] == {Engine.st: 1}
    after = {Engine.st: 1} if is_apart else {Engine.ld0: 0}
    assert plan.at[other] == after
    (stored,) = [plan.at[op] for op in source.walk() if isinstance(op, tile.StoreOp)]
    assert stored == ({Engine.ld0: 0, Engine.ld1: 0} if is_apart else {Engine.ld1: 0})


def test_wait_on_work_outside_a_loop_stands_before_it() -> None:
    body = f"""%r = tile.buffer "r" : {ring(1)}
      %s = tile.acquire %r : {ring(1)}
      %zero = tile.affine [], 0 ()
      {load("%s", "%zero", "ld1")}
      tile.for %i = 0 to 5 step 1 {{ {store("%s", "%i")} }}
      tile.release %r : {ring(1)}"""
    (result,) = lowered(group(body))
    loop = next(op for op in result.walk() if isinstance(op, npu.LoopOp))
    nop = next(op for op in result.walk() if isinstance(op, npu.NopOp))
    assert nop.parent_op() is result
    assert nop.queue.data == "st"
    assert [w.counter.engine for w in nop.order.data.waits] == [Engine.ld1]
    (inside,) = [op for op in loop.walk() if isinstance(op, npu.StOp)]
    assert inside.order.data.waits == ()


def test_transitive_order_needs_no_wait() -> None:
    """st waits for vpu, which waited for ld0: the refill by ld0 need not know vpu's reads."""
    body = f"""%r = tile.buffer "r" : {ring(1)}
      %q = tile.buffer "q" : {ring(1)}
      tile.for %i = 0 to 5 step 1 {{
        %s = tile.acquire %r : {ring(1)}
        {load("%s", "%i")}
        %t = tile.acquire %q : {ring(1)}
        tile.vexec kernel <in [i] body [addi(0, 0)] epilogue [] out [16]> ins(%s) outs(%t)
          views [{VIEW}, {VIEW}]
        {store("%t", "%i")}
        {store("%s", "%i")}
        tile.release %r : {ring(1)}
        tile.release %q : {ring(1)}
      }}"""
    (result,) = lowered(group(body))
    waits = {
        op.name: [w.counter.engine.name for w in op.order.data.waits]
        for op in result.walk()
        if isinstance(op, npu.LdOp | npu.VexecOp | npu.StOp)
    }
    assert waits["npu.ld"] == ["st"]
    assert waits["npu.vexec"] == ["ld0"]  # the store of the last round is implied by ld0's wait


def test_constants_fold_into_immediates() -> None:
    body = f"""%r = tile.buffer "r" : {ring(1)}
      tile.for %i = 0 to 5 step 1 {{
        %j = tile.affine [1], 3 (%i)
        %k = tile.affine [1], 5 (%j)
        %s = tile.acquire %r : {ring(1)}
        {load("%s", "%j")}
        {store("%s", "%k")}
        tile.release %r : {ring(1)}
      }}"""
    (result,) = lowered(group(body))
    transfers = [op for op in result.walk() if isinstance(op, npu.LdOp | npu.StOp)]
    (load_register, load_constant), _ = transfers[0].place.data.coordinates
    (store_register, store_constant), _ = transfers[1].place.data.coordinates
    assert (load_constant, store_constant) == (3, 8)
    assert store_register == load_register


def test_a_true_extent_takes_one_register_however_many_views_have_it() -> None:
    ragged = VIEW.replace("16, 1, 1, 1] strides", "16 ?1, 1, 1, 1] strides")
    copy = (
        "tile.vexec kernel <in [i] body [] epilogue [] out [0]> ins(%s) outs(%s) "
        f"dynamic(%k) views [{ragged}, {ragged}]"
    )
    body = f"""%r = tile.buffer "r" : {ring(1)}
      tile.for %i = 0 to 40 step 16 {{
        %j = tile.affine [-1], 40 (%i)
        %k = tile.min %j, 16
        %s = tile.acquire %r : {ring(1)}
        {load("%s", "%i")}
        {copy}
        {copy}
        {store("%s", "%i")}
        tile.release %r : {ring(1)}
      }}"""
    (result,) = lowered(group(body))
    work = [op for op in result.walk() if isinstance(op, npu.VexecOp)]
    registers = {view.data.extent_regs[3] for op in work for view in op.views.data}
    assert len(registers) == 1
    scalars = [op for op in result.walk() if isinstance(op, npu.ScalarOp)]
    made = [(op.mnemonic.data, op.imm.data) for op in scalars if op.rd.data in registers]
    assert made == [("min", 16 - 40), ("add", 40)]


def test_equal_bodies_give_equal_instructions() -> None:
    first, second, third = lowered(
        group(pipeline_body(2), "one"),
        group(pipeline_body(2), "two", "%z"),
        group(pipeline_body(3), "three"),
    )
    texts = [[str(op) for op in g.body.block.ops] for g in (first, second, third)]
    assert texts[0] == texts[1] != texts[2]
    assert [t.data for t in second.tensors.data] == ["z", "y"]
    assert [b.data for b in second.buffers.data] == ["two/r"]


def test_counts_stay_exact_beyond_the_immediate() -> None:
    """Many commands in a row: a threshold out of range is met by flushing, not by failing."""
    (result,) = lowered(group(pipeline_body(2, trips=40000)))
    for op in result.walk():
        if isinstance(op, npu.LdOp | npu.StOp):
            assert all(abs(w.imm) < 4 for w in op.order.data.waits)
    assert result.usage.data.issued[Engine.st.value] == 40000


def test_too_many_live_values_name_the_group() -> None:
    loops = [f"%i{n} = tile.affine [2], {n} (%i)" for n in range(30)]
    uses = [load("%s", f"%i{n}") for n in range(30)]
    body = f"""%r = tile.buffer "r" : {ring(1)}
      %s = tile.acquire %r : {ring(1)}
      tile.for %i = 0 to 2 step 1 {{
        {chr(10).join(loops + uses)}
      }}
      tile.release %r : {ring(1)}"""
    with pytest.raises(CompileError, match="registers") as error:
        lowered(group(body, "wide"))
    assert error.value.where == "group wide"


def test_slot_used_after_its_release_is_refused() -> None:
    body = f"""%r = tile.buffer "r" : {ring(2)}
      %zero = tile.affine [], 0 ()
      %s = tile.acquire %r : {ring(2)}
      {load("%s", "%zero")}
      tile.release %r : {ring(2)}
      {store("%s", "%zero")}"""
    with pytest.raises(CompileError, match="released before"):
        lowered(group(body))


def core_with(text: str) -> str:
    return f'tile.core 1 {{ tile.group "other" () {{ {text} }} }}'


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ('tile.signal "s" on st', 'tile.await "s" on ld0\ntile.await "s" on ld0', "more often"),
        ('tile.signal "s" on st\ntile.signal "s" on vpu', "", "several engines"),
        ("", 'tile.await "s" on ld0', "more often"),
    ],
)
def test_signals_are_checked(first: str, second: str, message: str) -> None:
    source = program(group(first), more_cores=core_with(second))
    with pytest.raises(CompileError, match=message):
        lower_program(source)


def test_signals_have_counters_of_their_own() -> None:
    source = program(group('tile.signal "s" on st\ntile.signal "t" on st\ntile.signal "u" on vpu'))
    cores = [op for op in source.body.block.ops if isinstance(op, tile.CoreOp)]
    counters = Signals.of(cores).counters
    assert {name: (c.engine.name, c.index) for name, c in counters.items()} == {
        "s": ("st", 1),
        "t": ("st", 2),
        "u": ("vpu", 1),
    }


def test_loops_without_trips_vanish() -> None:
    (result,) = lowered(group(pipeline_body(2, trips=0)))
    assert "loop" not in kinds(result)
    assert set(result.usage.data.issued) == {0}
