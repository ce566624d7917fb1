"""The closed forms of single commands against the manual's twin, and against known formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product as combinations
from random import Random

import numpy as np

from npuc.emulator.timing.work import command_work
from npuc.isa import cost
from npuc.isa.descriptors import Space, View
from npuc.isa.dtypes import DType
from npuc.isa.target import DATAFLOWS, Mxu, Target, load_target
from tests.validation.form import Rung, errors
from tests.validation.manual_work import MatrixCase, product, works_by_the_manual
from tests.validation.programs import KINDS, compiled_cases, machines, random_case

FACTS = ("fixed", "moving", "dram_read", "dram_written", "spm_words", "acc_words")
SHAPES = 40
SINGLE_FOLD = tuple(combinations((4, 8, 16, 32), (1, 2, 16, 100, 512)))


def arrays() -> Iterator[Target]:
    """Arrays of all dataflows, with and without double buffer and fold overlap."""
    edge = load_target("edge")
    for dataflow, double, overlap, sides in combinations(
        DATAFLOWS, (True, False), (True, False), ((8, 8), (16, 4), (32, 32))
    ):
        mxu = replace(
            edge.mxu,
            rows=sides[0],
            cols=sides[1],
            dataflow=dataflow,
            weight_double_buffer=double,
            fold_overlap=overlap,
        )
        yield replace(edge, mxu=mxu)


def walked_products(shapes: int = SHAPES) -> tuple[list[int], list[int]]:
    """(closed forms, folds walked on a clock) of random products on every array."""
    rng, ours, theirs = Random(5), [], []
    for target in arrays():
        for _ in range(shapes):
            m, k, n = (rng.randint(1, 150) for _ in range(3))
            ours.append(int(cost.mma_cycles(target, m, k, n)))
            # Banks enough that only the folds count.
            wide = replace(
                target,
                spm=replace(target.spm, banks=256, bank_width_bytes=64),
                acc=replace(target.acc, banks=256),
            )
            theirs.append(product(wide, dense(m, k, n)).moving)
    return ours, theirs


def dense(m: int, k: int, n: int) -> MatrixCase:
    """An int8 product of dense rows."""
    a = View(DType.i8, Space.spm, 0, (1, 1, m, 1, 1, k), (0, 0, k, 0, 0, 1))
    w = View(DType.i8, Space.spm, 0, (1, 1, k, n), (0, 0, n, 1))
    return MatrixCase(a, a.extents, w, n, False)


def single_folds() -> tuple[list[int], list[int]]:
    """(closed forms, 2R + C + T - 2 of the literature) of one full fold, ws."""
    ours, theirs = [], []
    edge = load_target("edge")
    for side, rows in SINGLE_FOLD:
        mxu: Mxu = replace(edge.mxu, rows=side, cols=side, dataflow="ws")
        ours.append(int(cost.mma_cycles(replace(edge, mxu=mxu), rows, side, side)))
        theirs.append(2 * side + side + rows - 2)
    return ours, theirs


def counted_commands() -> tuple[list[int], list[int]]:
    """(facts of the time pass, of the manual's twin), all facts of all commands, plus one."""
    ours: list[int] = []
    theirs: list[int] = []
    cases = [*compiled_cases(), *(random_case(t, k, 200) for t in machines() for k in KINDS)]
    for case in cases:
        twin = works_by_the_manual(case.program, case.streams, case.target)
        for core, stream in enumerate(case.streams):
            work = command_work(case.program, core, stream, case.target)
            for fact in FACTS:
                ours += (np.asarray(getattr(work, fact)) + 1).tolist()
                theirs += (np.asarray(getattr(twin[core], fact)) + 1).tolist()
    return ours, theirs


def rung() -> Rung:
    """Folds, single folds, and the work of all commands of compiled and random programs."""
    return Rung(
        "closed-forms",
        "Work of single commands",
        "closed forms of `npuc.isa.cost`, and the time pass's work of commands",
        "folds walked on a clock, elements and words counted one by one from the manual",
        [
            errors("mma, random products, ws os is", *walked_products()),
            errors("mma, one fold, 2R + C + T - 2", *single_folds()),
            errors("cycles, bursts and words of all commands", *counted_commands()),
        ],
        ("The last row counts six facts of each command of compiled digits and random streams.",),
    )
