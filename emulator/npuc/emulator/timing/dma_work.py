"""Work of transfers: boxes between DRAM and SPM, moves inside SPM, words of ctl."""

from dataclasses import dataclass

import numpy as np

from npuc.emulator.timing.source import Source, Work
from npuc.emulator.timing.tables import MAP_RANK, MapTable, Mask
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.dtypes import DType
from npuc.isa.instructions.dma import Copy, Fill, Gather, Load, Scatter, Store
from npuc.isa.instructions.maps import LoadMapped, StoreMapped
from npuc.isa.instructions.word import ARGUMENTS, MEMORIES, SPM, WORD_TYPES, LoadWord, StoreWord
from npuc.isa.target import Target

TRANSFERS = (Load.opcode, Store.opcode, LoadMapped.opcode, StoreMapped.opcode)


def put_words(source: Source, work: Work) -> None:
    """Words of ctl: one burst of DRAM, or one word of SPM; the argument block is in ctl."""
    rows = source.of_opcode(LoadWord.opcode, StoreWord.opcode)
    if not rows.size:
        return
    target, memory = source.target, source.column("memory", rows)
    sizes = np.array([DType[name].bytes for name in WORD_TYPES], np.int64)
    n_bytes = sizes[source.column("dtype", rows)]
    in_spm = memory == MEMORIES.index(SPM)
    in_dram = ~in_spm & (memory != MEMORIES.index(ARGUMENTS))
    is_store = source.code.opcode[source.instruction[rows]] == StoreWord.opcode
    bursts = in_dram.astype(np.int64)
    bus_bytes = bursts * target.dram.burst_bytes
    words = in_spm.astype(np.int64)
    work.put(
        rows,
        fixed=cost.word_fixed_cycles(target, in_dram),
        moving=cost.transfer_moving_cycles(target, bursts, words),
        dram_read=np.where(is_store, 0, bus_bytes),
        dram_written=np.where(is_store, bus_bytes, 0),
        dram_useful=np.where(in_dram, n_bytes, 0),
        spm_words=words,
        spm_bytes=np.where(in_spm, n_bytes, 0),
    )


def put_transfers(source: Source, work: Work) -> None:
    """Boxes inside their tensor cost what their map says; clipped ones are computed each."""
    rows = source.of_opcode(*TRANSFERS)
    if not rows.size:
        return
    maps = MapTable.of(source.maps)
    index, inside = source.map_index(rows), np.empty((len(rows), MAP_RANK), np.int64)
    for d in range(MAP_RANK):
        start = _coordinate(source, d, rows)
        stop = np.minimum(start + maps.box[index, d], maps.extents[index, d])
        inside[:, d] = np.maximum(stop - np.maximum(start, 0), 0)
    opcode = source.code.opcode[source.instruction[rows]]
    is_store = np.isin(opcode, (Store.opcode, StoreMapped.opcode))
    clipped = np.flatnonzero((inside != maps.box[index]).any(axis=1))
    boxes = _Boxes(
        np.concatenate([np.arange(len(maps.box)), index[clipped]]),
        np.concatenate([maps.box, inside[clipped]]),
        np.concatenate([np.zeros(len(maps.box), np.bool_), is_store[clipped]]),
    )
    facts, which = _transfer_facts(source.target, maps, boxes), index.copy()
    which[clipped] = len(maps.box) + np.arange(len(clipped))
    bus_bytes = facts.pop("bus_bytes")[which]
    work.put(
        rows,
        dram_read=np.where(is_store, 0, bus_bytes),
        dram_written=np.where(is_store, bus_bytes, 0),
        **{name: values[which] for name, values in facts.items()},
    )
    if "cores" in source.code.columns:  # a multicast writes the SPM of each receiver
        receivers = np.bitwise_count(source.column("cores", rows)).astype(np.int64)
        work.spm_bytes[rows] *= np.maximum(receivers, 1)


@dataclass(frozen=True)
class _Boxes:
    """Boxes to cost: map index (b), extents inside the tensor (b, 5), whether it is a store (b)."""

    index: Int64s
    inside: Int64s
    is_store: Mask


def _transfer_facts(target: Target, maps: MapTable, boxes: _Boxes) -> dict[str, Int64s]:
    """Facts of Work per box; ``bus_bytes`` are its DRAM bytes in whole bursts."""
    index, element = boxes.index, maps.element_bytes[boxes.index]
    runs, run_bytes = cost.contiguous_runs(boxes.inside, maps.dram_strides[index], element)
    bursts = cost.transfer_bursts(target, runs, run_bytes)
    # A load writes its fill, too.
    moved = np.where(boxes.is_store[:, np.newaxis], boxes.inside, maps.box[index])
    spm_runs, spm_run_bytes = cost.contiguous_runs(moved, maps.spm_strides[index], element)
    words = spm_runs * cost.ceil_div(spm_run_bytes, target.spm.bank_width_bytes)
    return {
        "bus_bytes": bursts * target.dram.burst_bytes,
        "fixed": cost.transfer_fixed_cycles(target, bursts),
        "moving": cost.transfer_moving_cycles(target, bursts, words),
        "dram_useful": runs * run_bytes,
        "spm_words": words,
        "spm_bytes": moved.prod(axis=1) * element,
    }


def _coordinate(source: Source, dimension: int, rows: Int64s) -> Int64s:
    register, offset = (source.column(f"{name}{dimension}", rows) for name in ("rc", "i"))
    if not register.any():
        return offset
    return source.registers[rows, register] + offset


def put_indexed(source: Source, work: Work) -> None:
    """Gather and scatter: as many boxes as the list is long, each inside along dimension 0."""
    rows = source.of_opcode(Gather.opcode, Scatter.opcode)
    if not rows.size:
        return
    maps, target = MapTable.of(source.maps), source.target
    index = source.column("map", rows)
    inside = maps.box[index].copy()
    for d in range(1, MAP_RANK):
        start = source.registers[rows, source.column(f"rc{d}", rows)]
        stop = np.minimum(start + maps.box[index, d], maps.extents[index, d])
        inside[:, d] = np.maximum(stop - np.maximum(start, 0), 0)
    is_store = source.code.opcode[source.instruction[rows]] == Scatter.opcode
    one = _transfer_facts(target, maps, _Boxes(index, inside, is_store))
    count = source.views.resolved(source.column("index", rows), source.registers[rows])[:, 0]
    list_bytes = count * DType.i32.bytes
    bus_bytes = count * one["bus_bytes"]
    bursts = bus_bytes // target.dram.burst_bytes
    words = count * one["spm_words"] + cost.ceil_div(list_bytes, target.spm.bank_width_bytes)
    work.put(
        rows,
        dram_read=np.where(is_store, 0, bus_bytes),
        dram_written=np.where(is_store, bus_bytes, 0),
        dram_useful=count * one["dram_useful"],
        fixed=cost.transfer_fixed_cycles(target, bursts),
        moving=cost.transfer_moving_cycles(target, bursts, words),
        spm_words=words,
        spm_bytes=count * one["spm_bytes"] + list_bytes,
    )


def put_moves(source: Source, work: Work) -> None:
    """Copy and fill: set-up, then one SPM word a cycle, read or written."""
    rows = source.of_opcode(Copy.opcode, Fill.opcode)
    if not rows.size:
        return
    words, n_bytes = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    is_copy = source.code.opcode[source.instruction[rows]] == Copy.opcode
    for name, mask in (("to", np.ones(len(rows), np.bool_)), ("source", is_copy)):
        here = np.flatnonzero(mask)
        view = source.column(name, rows[here]) if here.size else here
        extents = source.views.resolved(view, source.registers[rows[here]])
        size = source.views.element_bytes[view]
        runs, run_bytes = cost.contiguous_runs(extents, source.views.strides[view], size)
        words[here] += runs * cost.ceil_div(run_bytes, source.target.spm.bank_width_bytes)
        n_bytes[here] += extents.prod(axis=1) * size
    setup = np.full(len(rows), source.target.dma.setup_cycles)
    work.put(rows, fixed=setup, moving=words, spm_words=words, spm_bytes=n_bytes)
