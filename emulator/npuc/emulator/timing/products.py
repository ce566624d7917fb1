"""The matrix products that a program's commands carry out, by group."""

from collections.abc import Sequence

import numpy as np

from npuc.emulator.decode import decode_columns
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.groups import groups_of
from npuc.emulator.timing.tables import ViewTable
from npuc.isa.cost import Product
from npuc.isa.instructions.matrix import Mma
from npuc.isa.program import Program


def group_products(
    program: Program, streams: Sequence[CommandStream]
) -> tuple[tuple[Product, ...], ...]:
    """For each group, in order, one product per command that multiplies at all; core by core."""
    groups = groups_of(program, streams)
    found: list[list[Product]] = [[] for _ in groups.names]
    views = ViewTable.of(program.views)
    for core, stream in enumerate(streams):
        code = decode_columns(program, core)
        rows = np.flatnonzero(code.opcode[stream.instruction] == Mma.opcode)
        if not rows.size:
            continue
        a, w = (code.columns[name][stream.instruction[rows]] for name in ("a", "w"))
        extents = views.resolved(a, stream.registers[rows])
        n = views.resolved(w, stream.registers[rows])[:, 3]
        m, k = extents[:, :3].prod(axis=1), extents[:, 3:6].prod(axis=1)
        for row, *sizes in zip(rows.tolist(), m.tolist(), k.tolist(), n.tolist(), strict=True):
            product = Product(*sizes)
            if product.macs:
                found[int(groups.of_command[core][row])].append(product)
    return tuple(map(tuple, found))
