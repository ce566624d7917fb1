"""The event engine against the cycle-stepped oracle, on work that the manual's twin counted.

Two rungs: DRAM by the machine's rule, and by a controller that serves whole bursts in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from npuc.emulator.timing import time_streams
from npuc.emulator.timing.stepped import Controller, SteppedMachine, stepped_cycles
from npuc.runtime.sample_data import QDQ_INT8
from tests.validation.form import Rung, errors
from tests.validation.manual_work import works_by_the_manual
from tests.validation.programs import (
    KINDS,
    Case,
    compiled,
    compiled_on_cores,
    machines,
    random_case,
)

COMMANDS = 1000
SEEDS = 3
ON_CORES = ((2, 100), (4, 100))  # cores and batch
BATCHES = (("tiny", 6), ("edge", 100), ("ref-512", 60), ("ref-2048", 100))


NOTES = (
    "Both follow docs/isa/time.md; they share no code but descriptors and targets.",
    (
        "What remains is rounding: rates of the engine are rounded down, a part in some thousand, "
        "and banks of the oracle give whole words in turn. Where rounds repeat, a cycle of "
        "difference can grow, for each transfer starts by the end of another."
    ),
    "server compiles digits into fewer than 1,000 commands; its streams are the random ones.",
    "An edge of 2 or 4 cores is edge with that many, which share its DRAM.",
)
NOTES_OF_WHOLE_BURSTS = (
    (
        "That is another machine: no rule of ours says it. The table shows how much the rule that "
        "DRAM interleaves the bursts of all who ask matters to the cycles."
    ),
    (
        "Where it is positive the bias comes of transfers of few bursts: interleaved, both end "
        "late, while whole bursts in turn let one of them end early."
    ),
    (
        "Periodic streams repeat seven rounds that nothing but DRAM holds together: whether the "
        "transfers of three queues then meet or miss one another in every period hangs on a few "
        "cycles at the start, and either way lasts. There the two machines may settle in step or "
        "out of step, with either sign: hence the maximum. The compiled programs here show none "
        "of it."
    ),
)


def cycles(case: Case, controller: Controller = Controller.interleaved) -> tuple[int, int]:
    """(cycles of the event engine, cycles of the oracle)."""
    ours = time_streams(case.program, case.streams, case.target).wall_cycles
    works = works_by_the_manual(case.program, case.streams, case.target)
    machine = SteppedMachine(case.target, controller)
    theirs = stepped_cycles(case.program, case.streams, works, machine)
    return ours, theirs


def random_cases(kinds: Sequence[str], cores: int, seeds: int = SEEDS) -> Iterator[Case]:
    """Each kind of stream on each machine, several seeds."""
    for target in machines():
        for kind in kinds:
            for seed in range(seeds):
                yield random_case(target, kind, COMMANDS, cores, seed)


def programs() -> Iterator[Case]:
    """Compiled digits, with batches that make at least COMMANDS commands."""
    for target, batch in BATCHES:
        yield compiled(QDQ_INT8, target, batch)


def split_programs() -> Iterator[Case]:
    """Compiled digits whose batch several cores share."""
    for cores, batch in ON_CORES:
        yield compiled_on_cores(cores, batch)


def row(name: str, cases: Iterable[Case], controller: Controller) -> dict[str, object]:
    """One row of errors over ``cases``, each of at least COMMANDS commands."""
    found = []
    for case in cases:
        assert case.commands >= COMMANDS, f"{case.name}: {case.commands} commands"
        found.append(cycles(case, controller))
        ours, theirs = found[-1]
        print(f"{case.name}: {ours:,} against {theirs:,}, {ours / theirs - 1:+.2%}", flush=True)
    return errors(name, [ours for ours, _ in found], [theirs for _, theirs in found])


def rows(controller: Controller) -> list[dict[str, object]]:
    """All sets of streams and programs."""
    return [
        row("random streams, one core", random_cases(KINDS, 1), controller),
        row("random streams, two cores", random_cases(KINDS, 2), controller),
        row("random streams, four cores", random_cases(KINDS, 4), controller),
        row("compiled digits: tiny, edge, ref-512, ref-2048", programs(), controller),
        row("compiled digits split over 2 and 4 cores of edge", split_programs(), controller),
        row("periodic streams, one core", random_cases(("periodic",), 1), controller),
    ]


def rung() -> Rung:
    """The comparison by the rules of the machine."""
    return Rung(
        "oracle",
        "Event engine",
        "wall cycles of streams of at least 1,000 commands",
        "the cycle-stepped model of the manual's rules, on work counted by the manual's twin",
        rows(Controller.interleaved),
        NOTES,
    )


def whole_bursts_rung() -> Rung:
    """The same streams, against a DRAM that serves whole bursts in turn."""
    return Rung(
        "whole-bursts",
        "Event engine, beside a DRAM of whole bursts in turn",
        "the same streams",
        "the same model with a controller that serves one burst after the other, who has waited "
        "longest first",
        rows(Controller.whole_bursts),
        NOTES_OF_WHOLE_BURSTS,
    )
