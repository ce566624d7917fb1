"""How much of SPM is in use, and when: from the bytes that commands touch to a step function.

A buffer is in use from the start of the first command that touches it to the end of the last one,
within one group. The measure is of distinct bytes, so buffers that share bytes count once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from npuc.emulator.functional.weights import byte_range
from npuc.emulator.machine import LoadedProgram
from npuc.emulator.region import DmaWork, MmaWork, Region, VexecWork, Work
from npuc.emulator.timing import CommandTimes
from npuc.emulator.timing.groups import Groups
from npuc.isa.descriptors import Space
from npuc.isa.program import BufferRecord

Span = tuple[int, int]
Step = tuple[int, int]  # from this cycle on, so many bytes


@dataclass
class _Life:
    """Bytes [low, high) of SPM and the cycles [start, end) in which they are in use."""

    low: int
    high: int
    start: int
    end: int


@dataclass
class _Lives:
    """The lives of one core's buffers, by group and bytes."""

    records: tuple[BufferRecord, ...]
    found: dict[tuple[int, Span], _Life] = field(default_factory=dict)
    spans: dict[tuple[str, Span], Span] = field(default_factory=dict)

    def touch(self, group: int, span: Span, cycles: Span) -> None:
        """A command of ``group`` runs in ``cycles`` and touches ``span``."""
        life = self.found.setdefault((group, span), _Life(*span, *cycles))
        life.start, life.end = min(life.start, cycles[0]), max(life.end, cycles[1])

    def buffer(self, group: str, touched: Span) -> Span:
        """The bytes of the buffer around ``touched``, its own bytes where no record knows it."""
        key = (group, touched)
        if key not in self.spans:
            self.spans[key] = self._search(group, touched)
        return self.spans[key]

    def _search(self, group: str, touched: Span) -> Span:
        around = [
            r for r in self.records if r.offset <= touched[0] and touched[1] <= r.offset + r.n_bytes
        ]
        own = [r for r in around if r.name.rpartition("/")[0] == group]
        best = min(own or around, key=lambda r: r.n_bytes, default=None)
        return touched if best is None else (best.offset, best.offset + best.n_bytes)


def spm_steps(
    loaded: LoadedProgram, core: int, times: CommandTimes, groups: Groups
) -> tuple[Step, ...]:
    """SPM bytes of ``core`` in use as (cycle, bytes from then on), ascending, ending in 0."""
    buffers = loaded.decoded.program.debug.buffers
    records = tuple(r for r in buffers if r.core == core and r.space == Space.spm.name)
    lives, resolved = _Lives(records), loaded.resolved[core]
    for command, group in enumerate(groups.of_command[core].tolist()):
        cycles = (int(times.start[command]), int(times.end[command]))
        for span in _spans(resolved.work(command)):
            lives.touch(group, lives.buffer(groups.names[group], span), cycles)
    return _union(list(lives.found.values()))


def _spans(work: Work) -> Iterator[Span]:
    """The SPM bytes that a command may touch, one span for each operand."""
    regions: tuple[Region, ...] = ()
    if isinstance(work, DmaWork):
        ends = [(b - 1) * s for b, s in zip(work.map.box, work.map.spm_strides, strict=True)]
        low = work.address + sum(e for e in ends if e < 0)
        yield low, work.address + sum(e for e in ends if e > 0) + work.map.dtype.bytes
    elif isinstance(work, MmaWork):
        regions = (work.a, work.w)
    elif isinstance(work, VexecWork):
        state = (work.part.state,) if work.part else ()
        regions = (*work.inputs, *work.outputs, *state)
    for region in regions:
        low, high = byte_range(region)
        # NOTE: windows let views begin outside the memory; those points are never accessed.
        if region.view.space is Space.spm and low < high:
            yield max(low, 0), high


def _union(lives: list[_Life]) -> tuple[Step, ...]:
    """Bytes that at least one life covers, as a step function of the cycle."""
    edges = np.unique([edge for life in lives for edge in (life.low, life.high)])
    width, covered = np.diff(edges), np.zeros(max(len(edges) - 1, 0), np.int64)
    changes = [(life.start, 1, life) for life in lives] + [(life.end, -1, life) for life in lives]
    steps: dict[int, int] = {}
    for cycle, change, life in sorted(changes, key=lambda c: c[:2]):
        low, high = np.searchsorted(edges, (life.low, life.high))
        covered[low:high] += change
        steps[cycle] = int(width[covered > 0].sum())
    return tuple(steps.items())
