"""Work of scan, top k and sort: the closed formulas over rows, and the streams at the ports."""

import numpy as np

from npuc.emulator.timing.source import Source, Work
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.instructions import NO_INDEX
from npuc.isa.instructions.ordered import SCAN_OPERATIONS, Scan, Sort, TopK

ORDERED_OPERANDS = {
    Scan.opcode: ("source", "out", "first"),
    TopK.opcode: ("source", "values", "indices"),
    Sort.opcode: ("source", "values", "indices"),
}


def put_ordered(source: Source, work: Work) -> None:
    """Scan, top k and sort, one opcode after the other."""
    for opcode, operands in ORDERED_OPERANDS.items():
        rows = source.of_opcode(opcode)
        if not rows.size:
            continue
        extents = _extents(source, "source", rows)
        n_rows, length = extents[:, :4].prod(axis=1), extents[:, 4]
        cycles, lane_ops = _lanes(source, rows, n_rows, length)
        ports = _ports(source, rows, operands)
        slowest = np.maximum(cycles, np.maximum(ports["spm_cycles"], ports["acc_cycles"]))
        names = ("spm_words", "acc_words", "spm_bytes", "acc_bytes")
        work.put(
            rows,
            fixed=np.full(len(rows), source.target.vpu.startup_cycles),
            moving=slowest,
            lane_ops=lane_ops,
            **{name: ports[name] for name in names},
        )


def _extents(source: Source, name: str, rows: Int64s) -> Int64s:
    return source.views.resolved(source.column(name, rows), source.registers[rows])


def _lanes(source: Source, rows: Int64s, n_rows: Int64s, length: Int64s) -> tuple[Int64s, Int64s]:
    """(cycles in the lanes, lane operations) of commands of one opcode."""
    target, opcode = source.target, int(source.code.opcode[source.instruction[rows[0]]])
    if opcode == Scan.opcode:
        costs = np.array([target.vpu.cost_of(name) for name in SCAN_OPERATIONS], np.int64)
        step = costs[source.column("operation", rows)]
        return cost.scan_cycles(target, n_rows, length, step), n_rows * length * step
    if opcode == Sort.opcode:
        cycles = cost.sort_cycles(target, n_rows, length)
        return cycles, n_rows * length * cost.sort_stages(length)
    has_values = source.column("values", rows) != NO_INDEX
    named = np.where(has_values, source.column("values", rows), source.column("indices", rows))
    k = source.views.resolved(named, source.registers[rows])[:, 4]
    return cost.topk_cycles(target, n_rows, length, k), n_rows * length * k


def _ports(source: Source, rows: Int64s, operands: tuple[str, ...]) -> dict[str, Int64s]:
    """Sums over the operands: words, cycles and bytes at SPM and ACC."""
    views, names = source.views, ("words", "cycles", "bytes")
    sums = {f"{m}_{n}": np.zeros(len(rows), np.int64) for m in ("spm", "acc") for n in names}
    spaces = (("spm", cost.spm_port(source.target)), ("acc", cost.acc_port(source.target)))
    for name in operands:
        view = source.column(name, rows)
        for memory, port in spaces:
            exists = view != NO_INDEX
            in_acc = views.in_acc[np.where(exists, view, 0)]
            here = np.flatnonzero(exists & (in_acc == (memory == "acc")))
            chosen = view[here]
            extents = views.resolved(chosen, source.registers[rows[here]])
            size = views.element_bytes[chosen]
            access = cost.stream_access(port, extents, views.strides[chosen], size)
            sums[f"{memory}_words"][here] += access.words
            sums[f"{memory}_cycles"][here] += access.cycles
            sums[f"{memory}_bytes"][here] += extents.prod(axis=1) * size
    return sums
