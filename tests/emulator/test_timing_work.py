"""Work of commands counted element by element, registers included, and the energy made of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.emulator.timing import energy, time_streams
from npuc.emulator.timing.work import command_work
from npuc.isa import cost
from npuc.isa.descriptors import Segment, Space, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.vector import Vexec
from npuc.isa.target import Target
from tests.emulator.timing_streams import (
    EDGE,
    TINY,
    VIEWS,
    matmul_views,
    pipelined_code,
    program_of,
    row_view,
    stream_of,
    with_groups,
    work_of,
)


def work_of_code(  # type: ignore[no-untyped-def]
    code: list[Instruction],
    registers: np.ndarray | None = None,
    target: Target = EDGE,
    **tables,  # type: ignore[type-arg]
):
    program = replace(program_of(target, code), **tables)
    stream = stream_of(code)
    if registers is not None:
        stream = replace(stream, registers=registers)
    return command_work(program, 0, stream, target)


def counted_runs(tensor_map: TensorMap, start: tuple[int, ...]) -> tuple[int, int]:
    """(elements, bursts) of the part of a box inside its tensor, by walking every element."""
    size, burst = tensor_map.dtype.bytes, EDGE.dram.burst_bytes
    inside = [
        [c + b for b in range(box) if 0 <= c + b < extent]
        for c, box, extent in zip(start, tensor_map.box, tensor_map.extents, strict=True)
    ]
    addresses = [
        sum(i * s for i, s in zip(point, tensor_map.dram_strides, strict=True))
        for point in product(*inside)
    ]
    bursts, run, before = 0, 0, None
    for address in addresses:
        if before is not None and address != before + size:
            bursts, run = bursts + -(-run // burst), 0
        run, before = run + size, address
    return len(addresses), bursts + -(-run // burst)


@given(
    st.tuples(st.integers(-6, 12), st.integers(-6, 12), st.integers(-6, 80)),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 80)),
    st.booleans(),
    st.booleans(),
)
def test_boxes_are_clipped_and_rounded_to_bursts(start, box, dense, is_store) -> None:  # type: ignore[no-untyped-def]
    pitch = 70 if dense else 96
    tensor_map = TensorMap(
        Segment.scratch,
        DType.i8,
        0,
        (8, 9, 70),
        (9 * pitch, pitch, 1),
        box,
        (box[1] * box[2], box[2], 1),
    )
    kind = Store if is_store else Load
    registers = np.zeros((1, 32), np.int64)
    registers[0, 7:10] = start[0] - 1, start[1] + 2, start[2]
    code: list[Instruction] = [kind(map=0, rc0=7, i0=1, rc1=8, i1=-2, rc2=9)]
    work = work_of_code(code, registers, maps=(tensor_map,))
    elements, bursts = counted_runs(tensor_map, start)
    assert work.dram_useful[0] == elements
    assert work.dram_read[0] + work.dram_written[0] == bursts * EDGE.dram.burst_bytes
    assert (work.dram_read[0] == 0) or not is_store
    assert work.spm_bytes[0] == (elements if is_store else np.prod(box))
    assert work.isolated[0] == cost.transfer_cycles(EDGE, bursts, int(work.spm_words[0]))


def test_a_box_of_fill_moves_no_dram_bytes() -> None:
    work = work_of_code([Load(map=3, i0=-100)])
    assert (work.dram_read[0], work.fixed[0]) == (0, EDGE.dma.setup_cycles)
    assert work.spm_bytes[0] == 32 * 128
    assert work.moving[0] == 32 * 128 // EDGE.spm.bank_width_bytes


def test_mma_work_is_the_closed_form() -> None:
    for choice, (m, k, n) in enumerate(((4, 8, 8), (16, 8, 8), (40, 24, 16), (64, 32, 8))):
        work = work_of_code([work_of(Engine.mxu, choice)])
        assert work.isolated[0] == cost.mma_cycles(EDGE, m, k, n)
        assert work.macs[0] == m * k * n
        assert work.spm_bytes[0] == m * k + k * n
        assert work.acc_bytes[0] == 4 * m * n  # an overwrite reads nothing


def test_mma_folds_refetch_and_accumulate() -> None:
    m, k, n = 10, 70, 40  # on edge: 3 folds along k, 2 along n
    views = matmul_views(m, k, n)
    code: list[Instruction] = [Mma(0, 1, 2), Mma(0, 1, 2, accumulate=1), Mma(0, 1, 2, rk=5)]
    registers = np.zeros((3, 32), np.int64)
    work = work_of_code(code, registers, views=views)
    assert work.spm_bytes.tolist() == [2 * m * k + k * n] * 3
    assert work.acc_bytes.tolist() == [4 * m * n * 5, 4 * m * n * 6, 4 * m * n * 5]
    registers[2, 5] = 1
    assert work_of_code(code, registers, views=views).acc_bytes[2] == 4 * m * n * 6


def test_extents_from_registers_decide_the_work() -> None:
    acc, a, w = matmul_views(64, 32, 32)
    acc, a = replace(acc, extent_regs=(0, 0, 3, 0)), replace(a, extent_regs=(0, 0, 3, 0, 0, 0))
    code: list[Instruction] = [Mma(0, 1, 2)] * 4
    registers = np.zeros((4, 32), np.int64)
    registers[:, 3] = 5, 64, 0, 200  # beyond the bound: the bound
    work = work_of_code(code, registers, views=(acc, a, w))
    assert work.macs.tolist() == [m * 32 * 32 for m in (5, 64, 0, 64)]
    expected = [int(cost.mma_cycles(EDGE, m, 32, 32)) for m in (5, 64, 0, 64)]
    assert work.isolated.tolist() == expected


def test_transposed_weights_load_slowly() -> None:
    acc, a, w = matmul_views(64, 32, 32)
    turned = replace(w, strides=(0, 0, 1, 32))
    work = work_of_code([Mma(0, 1, 2)], views=(acc, a, turned))
    assert work.isolated[0] == cost.mma_cycles(EDGE, 64, 32, 32, transposed=True)


def test_float_mma_counts_its_own_macs() -> None:
    acc, a, w = matmul_views(64, 32, 32)
    acc = replace(acc, dtype=DType.f32)
    a = replace(a, dtype=DType.f32, strides=tuple(4 * s for s in a.strides))
    w = replace(w, dtype=DType.f32, strides=tuple(4 * s for s in w.strides))
    work = work_of_code([Mma(0, 1, 2)], views=(acc, a, w))
    assert work.mac_dtype[0] == DType.f32.value
    assert work.isolated[0] == cost.mma_cycles(EDGE, 64, 32, 32, dtype=DType.f32, row_cycles=1)


def test_vexec_work_by_hand() -> None:
    work = work_of_code([work_of(Engine.vpu, 2)])  # a copy of 400 i32 in ACC to i8 in SPM
    assert work.fixed[0] == EDGE.vpu.startup_cycles and work.moving[0] == 13
    assert (work.acc_bytes[0], work.spm_bytes[0]) == (1600, 400)
    assert (work.acc_words[0], work.spm_words[0]) == (13, 7)
    work = work_of_code([work_of(Engine.vpu, 3)])  # 1000 f32 through addf and exp2 to i8
    assert work.lane_ops[0] == 1000 * (1 + 4)
    assert (work.spm_bytes[0], work.acc_bytes[0]) == (4000 + 1000, 0)


def test_a_transposing_vexec_pays_at_the_port() -> None:
    source = View(DType.i8, Space.spm, 0, (1, 1, 64, 64, 1, 1, 1), (0, 0, 64, 1, 0, 0, 0))
    turned = replace(source, strides=(0, 0, 1, 64, 0, 0, 0))
    plain = work_of_code([Vexec(kernel=0, in0=0, out0=0)], views=(source,))
    work = work_of_code([Vexec(kernel=0, in0=0, out0=1)], views=(source, turned))
    assert plain.moving[0] == 64 * 64 // 32
    assert work.moving[0] > 4 * plain.moving[0]


def test_a_reduction_along_contiguous_elements_is_read_by_words() -> None:
    row = View(DType.f32, Space.spm, 0, (1, 1, 1, 64, 1, 1, 256), (0, 0, 0, 1024, 0, 0, 4))
    work = work_of_code([Vexec(kernel=0, in0=0, out0=0)], views=(row,))
    assert work.spm_words[0] == 2 * 64 * 256 * 4 // EDGE.spm.bank_width_bytes


def test_order_commands_take_one_cycle() -> None:
    work = work_of_code([Nop(queue=Engine.mxu.value), Nop(queue=0), Fence()])
    assert work.isolated.tolist() == [1, 1, 1]


def test_repeated_instructions_share_their_work() -> None:
    code = pipelined_code(3, [1, 2])
    stream = stream_of(code)
    again = replace(stream, **{k: np.concatenate([v, v]) for k, v in vars(stream).items()})
    work = command_work(program_of(TINY, code), 0, again, TINY)
    assert (work.isolated[: len(code)] == work.isolated[len(code) :]).all()


# --- energy ---


def test_energy_by_hand() -> None:
    code: list[Instruction] = [work_of(Engine.mxu, 3), work_of(Engine.ld0, 3)]
    program, streams = program_of(EDGE, code), [stream_of(code)]
    timing = time_streams(program, streams)
    table = energy(program, streams, timing)
    m, k, n = 64, 32, 8
    assert table.levels["mac"] == m * k * n * 84
    assert table.levels["acc"] == 4 * m * n * 960
    assert table.levels["spm"] == (m * k + k * n + 4096) * 1360
    assert table.levels["dram"] == 4096 * 87200
    assert table.levels["vpu"] == 0
    assert table.levels["leakage"] == timing.wall_cycles * 20000
    assert table.total_fj == sum(v for v in table.levels.values() if v is not None)
    assert table.missing == ()
    assert {row.event for row in table.rows} >= {"mac_i8", "dram_byte", "leakage_cycle"}


def test_energy_of_groups_sums_to_the_whole() -> None:
    code = pipelined_code(8, [3, 1])
    program, streams = with_groups(program_of(EDGE, code), (0, 15, 40)), [stream_of(code)]
    table = energy(program, streams, time_streams(program, streams))
    assert list(table.groups) == ["g0", "g1"]
    for level, total in table.levels.items():
        assert total == sum(group[level] or 0 for group in table.groups.values())


def test_a_missing_price_is_said_not_guessed() -> None:
    bare = replace(EDGE, energy=tuple(r for r in EDGE.energy if r.event != "dram_byte"))
    code: list[Instruction] = [work_of(Engine.ld0, 3)]
    program, streams = program_of(bare, code), [stream_of(code)]
    table = energy(program, streams, time_streams(program, streams))
    assert table.missing == ("dram_byte",)
    assert table.levels["dram"] is None and table.total_fj is None
    assert table.levels["spm"] == 4096 * 1360
    assert table.levels["mac"] == 0  # nothing happened there, so no price is needed


@pytest.mark.parametrize("space", list(Space))
def test_views_of_the_fixture_lie_in_their_memory(space: Space) -> None:
    assert any(v.space is space for v in VIEWS) and row_view(8, space=space).space is space
