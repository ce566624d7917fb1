"""Which bank holds which buffer: colouring that keeps apart what is accessed at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from npuc.compiler.planning.buffers import Buffer, check_buffers
from npuc.compiler.planning.plan import Plan, PlanOptions, overlapping, plan
from npuc.isa.errors import InputError

Conflicts: TypeAlias = Mapping[tuple[str, str], int]
Unit: TypeAlias = tuple[Buffer, ...]  # a group, or a buffer without one
ROUNDS = 4
TRIAL = PlanOptions(max_nodes=2_000)  # of a bank with one unit more


@dataclass(frozen=True)
class Banks:
    """``count`` equal address spaces of ``bytes_each``."""

    count: int
    bytes_each: int


@dataclass(frozen=True)
class BankPlan:
    """The bank of each buffer, a plan for each bank, and the cycles of conflict that remain.

    ``striped``: buffers for which no room was found in a bank that may hold them; the caller
    spreads them over all banks.
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
    conflicts choose first, then each may move while that gains. A group is in one bank; bytes are
    taken over in place within a bank only. Raises: InputError for unknown ids, banks or buffers,
    and for groups without a bank that all may use.
    """
    check_buffers(buffers)
    colouring = _Colouring(buffers, conflicts, banks)
    colouring.choose()
    bank = colouring.bank
    plans: list[Plan] = []
    for number in range(banks.count):
        found = plan(colouring.inside(number), banks.bytes_each, options)
        while not found.fits:  # the sizes fit, their addresses do not: the smallest has to leave
            here = [unit for unit in colouring.units if bank.get(unit[0].id) == number]
            colouring.stripe(min(here, key=lambda unit: (_size(unit), unit[0].id)))
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
        groups: dict[object, list[Buffer]] = {}
        for number, buffer in enumerate(buffers):
            groups.setdefault(number if buffer.group is None else buffer.group, []).append(buffer)
        self.units = [tuple(unit) for unit in groups.values()]
        for unit in self.units:
            if not self.allowed(unit):
                allowed = f"a bank that all buffers of the group {unit[0].group} may use"
                raise _refused(unit[0].id, f"banks {unit[0].banks}", allowed)

    def allowed(self, unit: Unit) -> list[int]:
        """The banks that all of ``unit`` may use, ascending."""
        every = range(self.banks.count)
        return [n for n in every if all(n in (b.banks or every) for b in unit)]

    def put(self, unit: Unit, number: int) -> None:
        """All of ``unit`` in one bank."""
        self.bank.update((buffer.id, number) for buffer in unit)

    def stripe(self, unit: Unit) -> None:
        """``unit`` in no bank any more."""
        for buffer in unit:
            self.bank.pop(buffer.id, None)
            self.striped.append(buffer.id)

    def choose(self) -> None:
        """All buffers in turn, those with the most conflicts first; then moves that gain."""
        heavy_first = sorted(self.units, key=lambda u: (-self.cycles_of(u), -_size(u), u[0].id))
        for unit in heavy_first:
            best = self.best(unit)
            if best is None:
                self.stripe(unit)
            else:
                self.put(unit, best)
        before = self.cost() + 1
        for _ in range(ROUNDS):
            if self.cost() == before:
                return
            before = self.cost()
            for unit in [u for u in heavy_first if u[0].id in self.bank]:
                (old,) = {self.bank.pop(buffer.id) for buffer in unit}
                best = self.best(unit)
                self.put(unit, old if best is None else best)

    def best(self, unit: Unit) -> int | None:
        """The bank with room in which ``unit`` loses fewest cycles, then the emptiest."""
        found = []
        for number in self.allowed(unit):
            together = self.inside(number, unit)
            if overlapping(together) is not None:
                continue
            tried = plan(together, self.banks.bytes_each, TRIAL)
            if tried.fits:
                lost = sum(self.lost(buffer, number) for buffer in unit)
                found.append((lost, tried.peak_bytes, number))
        return min(found)[2] if found else None

    def cycles_of(self, unit: Unit) -> int:
        """Cycles that ``unit`` would lose if all were in one bank."""
        return sum(sum(self.cycles[buffer.id].values()) for buffer in unit)

    def lost(self, buffer: Buffer, number: int) -> int:
        """Cycles that ``buffer`` loses to what is in bank ``number``."""
        others = self.cycles[buffer.id].items()
        return sum(cycles for other, cycles in others if self.bank.get(other) == number)

    def inside(self, number: int, joining: Unit = ()) -> list[Buffer]:
        """The buffers in bank ``number`` and ``joining``; partners elsewhere share no bytes."""
        joined = {b.id for b in joining}
        here = [b for b in self.buffers if self.bank.get(b.id) == number or b.id in joined]
        ids = {b.id for b in here}
        return [b if b.in_place_of in ids else _alone(b) for b in here]

    def cost(self) -> int:
        """Cycles lost over all pairs in one bank."""
        placed = [b for b in self.buffers if b.id in self.bank]
        return sum(self.lost(b, self.bank[b.id]) for b in placed) // 2


def _size(unit: Unit) -> int:
    return sum(buffer.size_bytes for buffer in unit)


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
