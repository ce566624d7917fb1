"""Which load queue brings what: transfers of the busier one may be cut, a half for each of the two.

A queue has one transfer under way and keeps so many bursts in flight: on a large machine that is a
small part of what DRAM gives. What other cores make keeps to its queue, which waits for them.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.schedule.problem import GroupProblem, Home, Operand
from npuc.compiler.schedule.tiling import Ints, boxes
from npuc.isa.cost import transfer_cycles, transfer_rate
from npuc.isa.descriptors import TensorMap
from npuc.isa.target import Target

LOAD_QUEUES = ("ld0", "ld1")
NOTHING = np.zeros((), np.int64)
SLOTS = 2  # of a ring that is filled ahead


def cut_axis(box: tuple[int, ...]) -> int | None:
    """The axis along which a transfer of ``box`` is cut: the longest but the last, whose runs stay.

    None where no axis has two elements.
    """
    rows = box[:-1]
    axis = max(range(len(rows)), key=rows.__getitem__, default=None)
    return None if axis is None or rows[axis] < 2 else axis


def feeds_both(target: Target) -> bool:
    """Whether DRAM has enough for both queues of every core."""
    share = target.dram.bytes_per_cycle * target.dram.efficiency / target.cores
    return len(LOAD_QUEUES) * transfer_rate(target) <= share


def both_may_bring(problem: GroupProblem, target: Target) -> tuple[int, ...]:
    """Operands that may be cut; none where two queues of each core are more than DRAM feeds."""
    if not feeds_both(target):
        return ()
    return tuple(n for n in problem.inputs if _may_be_cut(problem.operands[n]))


def _may_be_cut(operand: Operand) -> bool:
    is_plain = operand.home is Home.dram and operand.rows_from is None
    return is_plain and not operand.waits and len(operand.shape) > 1


def half_transfers(
    problem: GroupProblem, target: Target, tiles: Ints, bursts: tuple[Ints, ...]
) -> dict[int, Ints]:
    """Cycles of the larger half of one transfer, for the operands that may be cut.

    ``bursts`` are those of whole transfers, by operand. What is too short to cut stays whole.
    """
    halves = {}
    for number in both_may_bring(problem, target):
        longest = boxes(problem.operands[number], tiles)[:, :-1].max(axis=1)
        larger = np.where(longest < 2, longest, -(-longest // 2))
        halves[number] = transfer_cycles(target, -(-bursts[number] * larger // longest))
    return halves


def in_halves(transfer: tuple[TensorMap, Place]) -> list[tuple[str, tuple[TensorMap, Place]]]:
    """The two halves of a transfer into a slot, the larger one first, and the queue of each."""
    axis = cut_axis(transfer[0].box)
    assert axis is not None, "a transfer that is cut has two rows"
    rows = transfer[0].box[axis]
    larger = -(-rows // 2)
    first, last = _rows(transfer, axis, (0, larger)), _rows(transfer, axis, (larger, rows))
    return [(LOAD_QUEUES[1], first), (LOAD_QUEUES[0], last)]


def _rows(
    transfer: tuple[TensorMap, Place], axis: int, rows: tuple[int, int]
) -> tuple[TensorMap, Place]:
    """Some of the rows that a transfer moves, to where it moves them."""
    (whole, place), (first, last) = transfer, rows
    box, corner = list(whole.box), list(place.coordinates)
    box[axis] = last - first
    corner[axis] = (corner[axis][0], corner[axis][1] + first)
    offset = (place.offset[0], place.offset[1] + first * whole.spm_strides[axis])
    return replace(whole, box=tuple(box)), Place(tuple(corner), offset)


class _Work(NamedTuple):
    """Cycles of an operand's transfers on one queue.

    ``later`` come after the wait for other cores, where there is one: without the ``first``, which
    then keeps the group waiting. ``ahead`` may come before.
    """

    later: Ints
    ahead: Ints
    first: Ints


@dataclass
class Queues:
    """What every queue has to do for a group under every tile: cycles and bytes.

    A group that waits for other cores has filled slots of what need not wait before: once outside
    of loops, or by a queue that does not wait. That is behind the groups before it, as far as these
    leave time. ``first``: cycles of the first transfers, in turn, of such a group those after the
    wait; its queues do not count them again. ``cut``: under which tiles an operand is in halves.
    """

    problem: GroupProblem
    first: Ints
    n_bytes: dict[str, Ints] = field(default_factory=dict)
    cut: dict[int, npt.NDArray[np.bool_]] = field(default_factory=dict)
    _later: dict[str, Ints] = field(default_factory=dict)
    _ahead: dict[str, Ints] = field(default_factory=dict)

    def busy(self, queue: str) -> Ints:
        """Cycles of a queue that are not behind other groups."""
        later = self._later[queue]
        return later + self._left(self._ahead[queue]) if queue in self._ahead else later

    def fetch(self, queue: str, cycles: Ints, n_bytes: Ints) -> None:
        """A tensor that is brought whole, once."""
        self._move(queue, cycles, n_bytes)

    def add(self, number: int, cycles: Ints, n_bytes: Ints, count: Ints) -> None:
        """Transfers of an operand: cycles of each and bytes of all, and how many."""
        queue = self.problem.operands[number].queue
        work = self._work(number, queue, cycles, count)
        self._move(queue, work.later, n_bytes)
        self._go_ahead(queue, work.ahead)
        self.first = self.first + work.first

    def halve(self, number: int, cycles: tuple[Ints, Ints], n_bytes: Ints, count: Ints) -> None:
        """Cut the transfers of an operand where the busier queue then has less to do.

        ``cycles`` are those of a whole one and of its larger half. Of a group that waits, what is
        loaded once and ahead stays whole: the other queue has what the group waits for.
        """
        own = self.problem.operands[number].queue
        other = LOAD_QUEUES[1 - LOAD_QUEUES.index(own)]
        self._move(other, NOTHING, NOTHING)
        whole = self._work(number, own, cycles[0], count)
        near = self._work(number, own, cycles[1], count)
        far = self._work(number, other, cycles[1], count)
        less = _Work(*(a - b for a, b in zip(near, whole, strict=True)))
        after = [self._busy_with(own, less), self._busy_with(other, far)]
        is_shorter = np.maximum(*after) < np.maximum(self.busy(own), self.busy(other))
        is_cut = self.cut[number] = is_shorter & ~(self.problem.waits & (count == 1))
        half = n_bytes // 2 * is_cut
        for queue, work, moved in ((own, less, -half), (other, far, half)):
            self._move(queue, work.later * is_cut, moved)
            self._go_ahead(queue, work.ahead * is_cut)
        first = np.maximum(near.first, far.first) - whole.first
        self.first = self.first + first * is_cut

    def _busy_with(self, queue: str, more: _Work) -> Ints:
        ahead = self._ahead.get(queue, 0) + more.ahead
        return self._later[queue] + more.later + self._left(ahead)

    def _left(self, ahead: Ints) -> Ints:
        return np.maximum(ahead - self.problem.cycles_before, 0)

    def _move(self, queue: str, later: Ints, n_bytes: Ints) -> None:
        self._later[queue] = self._later.get(queue, 0) + later
        self.n_bytes[queue] = self.n_bytes.get(queue, 0) + n_bytes

    def _go_ahead(self, queue: str, cycles: Ints) -> None:
        if self.problem.waits:
            self._ahead[queue] = self._ahead.get(queue, 0) + cycles

    def _work(self, number: int, queue: str, cycles: Ints, count: Ints) -> _Work:
        """``count`` transfers of an operand on ``queue``."""
        operands = self.problem.operands
        if not self.problem.waits:
            return _Work(cycles * count, NOTHING, cycles)
        if operands[number].waits or queue not in LOAD_QUEUES:
            return _Work(cycles * (count - 1), NOTHING, cycles)
        is_held = any(o.waits and o.queue == queue for o in operands)
        before = np.where(count == 1, 1, 0 if is_held else np.minimum(count, SLOTS))
        first = cycles * (before == 0)
        return _Work(cycles * (count - before) - first, cycles * before, first)
