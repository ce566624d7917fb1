"""Which bank holds which buffer: colouring that keeps apart what is accessed at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from npuc.compiler.planning.buffers import Buffer, check_buffers
from npuc.compiler.planning.plan import Plan, PlanOptions, plan
from npuc.compiler.planning.spill import fullest
from npuc.isa.errors import InputError

Conflicts: TypeAlias = Mapping[tuple[str, str], int]
ROUNDS = 4


@dataclass(frozen=True)
class Banks:
    """``count`` equal address spaces of ``bytes_each``."""

    count: int
    bytes_each: int


@dataclass(frozen=True)
class BankPlan:
    """The bank of each buffer, a plan for each bank, and the cycles of conflict that remain.

    ``striped``: buffers for which no allowed bank has room; the caller spreads them over all banks.
    """

    bank: dict[str, int]
    plans: tuple[Plan, ...]
    conflict_cycles: int
    striped: tuple[str, ...]


def assign_banks(
    buffers: Sequence[Buffer],
    conflicts: Conflicts,
    banks: Banks,
    options: PlanOptions | None = None,
) -> BankPlan:
    """Banks so that few cycles are lost, then addresses within each.

    ``conflicts``: by pair of ids, the cycles lost if both are in one bank. The buffers with most
    conflicts choose first, then each may move while that gains. Sharing of bytes (groups, in
    place) holds within a bank only. Raises: InputError for unknown ids, banks or buffers.
    """
    check_buffers(buffers)
    colouring = _Colouring(buffers, conflicts, banks)
    colouring.choose()
    bank = colouring.bank
    plans: list[Plan] = []
    for number in range(banks.count):
        found = plan(colouring.inside(number), banks.bytes_each, options)
        while not found.fits:  # the sizes fit, their addresses do not: the smallest has to leave
            leaves = min(colouring.inside(number), key=lambda b: (b.size_bytes, b.id))
            colouring.striped.append(leaves.id)
            del bank[leaves.id]
            found = plan(colouring.inside(number), banks.bytes_each, options)
        plans.append(found)
    return BankPlan(bank, tuple(plans), colouring.cost(), tuple(sorted(colouring.striped)))


class _Colouring:
    """Buffers, who disturbs whom, and the bank of each so far."""

    def __init__(self, buffers: Sequence[Buffer], conflicts: Conflicts, banks: Banks) -> None:
        self.buffers = buffers
        self.banks = banks
        self.bank: dict[str, int] = {}
        self.striped: list[str] = []
        self.cycles: dict[str, dict[str, int]] = {buffer.id: {} for buffer in buffers}
        for (a, b), cycles in conflicts.items():
            if a not in self.cycles or b not in self.cycles or a == b or cycles < 0:
                raise _refused(f"{a}, {b}", f"{cycles} cycles", "two ids of the list, 0 or more")
            self.cycles[a][b] = self.cycles[a].get(b, 0) + cycles
            self.cycles[b][a] = self.cycles[b].get(a, 0) + cycles
        for buffer in buffers:
            if not all(0 <= bank < banks.count for bank in buffer.banks):
                raise _refused(buffer.id, f"banks {buffer.banks}", f"banks below {banks.count}")

    def choose(self) -> None:
        """All buffers in turn, those with the most conflicts first; then moves that gain."""
        heavy_first = sorted(
            self.buffers, key=lambda b: (-sum(self.cycles[b.id].values()), -b.size_bytes, b.id)
        )
        for buffer in heavy_first:
            best = self.best(buffer)
            if best is None:
                self.striped.append(buffer.id)
            else:
                self.bank[buffer.id] = best
        before = self.cost() + 1
        for _ in range(ROUNDS):
            if self.cost() == before:
                return
            before = self.cost()
            for buffer in [b for b in heavy_first if b.id in self.bank]:
                old = self.bank.pop(buffer.id)
                best = self.best(buffer)
                self.bank[buffer.id] = old if best is None else best

    def best(self, buffer: Buffer) -> int | None:
        """The bank with room in which ``buffer`` loses fewest cycles, then the emptiest."""
        found = []
        for number in buffer.banks or range(self.banks.count):
            bound = fullest([*self.inside(number), buffer])[0]
            if bound <= self.banks.bytes_each:
                found.append((self.lost(buffer, number), bound, number))
        return min(found)[2] if found else None

    def lost(self, buffer: Buffer, number: int) -> int:
        """Cycles that ``buffer`` loses to what is in bank ``number``."""
        others = self.cycles[buffer.id].items()
        return sum(cycles for other, cycles in others if self.bank.get(other) == number)

    def inside(self, number: int) -> list[Buffer]:
        """The buffers in bank ``number``; partners elsewhere share nothing with them."""
        here = [b for b in self.buffers if self.bank.get(b.id) == number]
        ids = {b.id for b in here}
        return [b if b.in_place_of in ids else _alone(b) for b in here]

    def cost(self) -> int:
        """Cycles lost over all pairs in one bank."""
        placed = [b for b in self.buffers if b.id in self.bank]
        return sum(self.lost(b, self.bank[b.id]) for b in placed) // 2


def _alone(buffer: Buffer) -> Buffer:
    return buffer if buffer.in_place_of is None else replace(buffer, in_place_of=None)


def _refused(where: str, given: str, allowed: str) -> InputError:
    return InputError(
        "the banks cannot be assigned",
        where=f"buffer {where}",
        given=given,
        allowed=allowed,
        next_step="mend the conflicts or the allowed banks",
    )
