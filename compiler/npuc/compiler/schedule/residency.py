"""Which tensors stay in SPM whole, from the job that makes them to the last one that reads them.

Greedy by worth: the DRAM bytes saved per byte and job that the tensor occupies. Every job keeps
enough room for the rings of a tiling that costs next to nothing more than the best one. A result
that is made point by point from a tensor which nobody needs any more may take over its bytes.
"""

from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

from npuc.compiler.schedule.problem import PARALLEL, GroupProblem, Home, Operand
from npuc.compiler.schedule.program import (
    Job,
    TensorFacts,
    can_stay,
    uses,
    whole_words,
)
from npuc.compiler.schedule.search import SearchOptions, choose_tiling, narrowest
from npuc.compiler.schedule.tiling import spm_bytes
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

ROOM_TOLERANCE = 0.03
ROOM_SHARES = (16, 8, 4, 2)  # the rings may take one part in so many of SPM


def stay_candidates(jobs: Sequence[Job], tensors: Sequence[TensorFacts]) -> set[int]:
    """Scratch tensors that every job which touches them can use in place."""
    found = {t for job in jobs for t in job.tensors if tensors[t].is_scratch}
    for job in jobs:
        for operand in job.problem.operands:
            if not can_stay(job.problem, operand):
                found.discard(job.tensor(operand))
    return found


def take_overs(
    jobs: Sequence[Job], tensors: Sequence[TensorFacts], striped: Container[int]
) -> dict[int, tuple[int, int]]:
    """Results that may take over an operand's bytes: result to (operand's tensor, job).

    Every point of the result is at the address of the operand's point that it is made from, which
    nothing else reads then or later: a command reads all its operands before it writes. Not so for
    the jobs that are ``striped``: stripes of other jobs may need the operand's rows. The tensors of
    the two are of one size: either may be part of a larger one.
    """
    used = uses(jobs)
    found: dict[int, tuple[int, int]] = {}
    for number, job in enumerate(jobs):
        result = _made_by_points(job)
        if number in striped or result is None or used[job.tensor(result)][0] != number:
            continue
        n_bytes = tensors[job.tensor(result)].n_bytes
        operands = [job.problem.operands[n] for n in job.problem.vector.inputs if n >= 0]
        alike = [job.tensor(o) for o in operands if _same_place(o, result)]
        ending = [t for t in alike if job.tensors.count(t) == 1 and used[t][1] == number]
        free = [t for t in ending if tensors[t].is_scratch and tensors[t].n_bytes == n_bytes]
        if free:
            found[job.tensor(result)] = free[0], number
    return found


def _made_by_points(job: Job) -> Operand | None:
    """The only result of a job, if each of its points is written once."""
    problem = job.problem
    has_sums = problem.contraction is None and prod(problem.extents[PARALLEL:]) > 1
    outputs = problem.vector.outputs
    return None if has_sums or len(outputs) != 1 else problem.operands[outputs[0]]


def _same_place(operand: Operand, result: Operand) -> bool:
    same = ("dtype", "shape", "strides", "forms", "base")
    return all(getattr(operand, name) == getattr(result, name) for name in same)


def with_homes(job: Job, resident: Mapping[int, Home] | AbstractSet[int]) -> GroupProblem:
    """The problem of ``job`` with the tensors of ``resident`` in SPM too."""
    homes = resident if isinstance(resident, Mapping) else dict.fromkeys(resident, Home.spm)
    operands = tuple(
        o if (home := homes.get(job.tensor(o), o.home)) is o.home else replace(o, home=home)
        for o in job.problem.operands
    )
    return replace(job.problem, operands=operands)


def room_needed(problem: GroupProblem, target: Target, options: SearchOptions) -> int:
    """SPM bytes for the rings of a tiling within the tolerance of the best one."""
    choice = choose_tiling(problem, target, options)
    narrow = [replace(options, spm_bytes=target.spm.capacity_bytes // n) for n in ROOM_SHARES]
    most_cycles = choice.estimate.overlapped_cycles * (1 + ROOM_TOLERANCE)
    found = narrowest(problem, target, narrow, most_cycles)
    if found is not None:
        choice = choose_tiling(problem, target, found)
    return spm_bytes(problem, choice.tiling, target)


@dataclass
class _Filling:
    """By job: bytes for its rings, and with what stays; the tensors that were ``chosen`` so far.

    ``narrowed`` are the jobs whose rings have less than they would like.
    """

    rooms: list[int]
    live: list[int]
    chosen: set[int] = field(default_factory=set)
    narrowed: set[int] = field(default_factory=set)


@dataclass
class Residency:
    """Decides which tensors stay.

    ``taken`` are SPM bytes in use during runs of jobs, first to last, whatever stays: the jobs of
    such a segment run at the same time. ``internal`` are tensors that segments keep in their own
    buffers.
    """

    jobs: Sequence[Job]
    tensors: Sequence[TensorFacts]
    target: Target
    options: SearchOptions
    taken: Mapping[tuple[int, int], int] = field(default_factory=dict)
    internal: AbstractSet[int] = frozenset()
    _rooms: dict[tuple[int, frozenset[int]], int] = field(default_factory=dict)

    def decide(self) -> set[int]:
        """The tensors that stay in SPM whole."""
        candidates = stay_candidates(self.jobs, self.tensors) - self.internal
        used, taken = uses(self.jobs), self._taken
        lives = {tensor: self._life(used[tensor]) for tensor in candidates}
        rooms = [
            taken[n] if n in taken else self._room(n, candidates) for n in range(len(self.jobs))
        ]
        state = _Filling(rooms, list(rooms))
        ranked = sorted(candidates, key=lambda t: (-self._worth(t, used[t]), t))
        for is_costly in (False, True):
            for tensor in (t for t in ranked if t not in state.chosen):
                self._keep(tensor, lives[tensor], state, is_costly)
        chosen = state.chosen
        while crowding := self._crowding(chosen, candidates - chosen, lives, state.narrowed):
            chosen.remove(max(crowding, key=ranked.index))
        return chosen

    def _keep(self, tensor: int, life: tuple[int, int], state: "_Filling", is_costly: bool) -> None:
        """Let ``tensor`` stay where there is room for it, or where rings can be made smaller."""
        n_bytes = whole_words(self.tensors[tensor].n_bytes, self.target)
        shared = self._shared(tensor, state.chosen)
        span = [p for p in range(life[0], life[1] + 1) if p not in shared]
        left = {p: self.target.spm.capacity_bytes - state.live[p] - n_bytes for p in span}
        tight = {p: state.rooms[p] + n for p, n in left.items() if n < 0}
        narrower = self._worth_its_room(tensor, tight, state.chosen) if is_costly else {}
        if tight and not narrower:
            return
        state.chosen.add(tensor)
        state.narrowed.update(narrower)
        for p in span:
            state.live[p] += n_bytes
        for p, room in narrower.items():
            state.live[p] += room - state.rooms[p]
            state.rooms[p] = room

    def _worth_its_room(
        self, tensor: int, tight: Mapping[int, int], chosen: AbstractSet[int]
    ) -> dict[int, int]:
        """Smaller rooms of jobs that make place for ``tensor``, where that pays; else nothing.

        ``tight`` maps jobs to the bytes that their rings may have then. What the jobs that touch
        the tensor gain must be more than what tilings of smaller rooms cost.
        """
        if any(n in self._taken or room <= 0 for n, room in tight.items()):
            return {}
        after = chosen | {tensor}
        balance, narrower = 0, {}
        for n, room in tight.items():
            small = self._within(n, after, room)
            if small is None:
                return {}
            balance -= small[0] - self._cycles(n, after)
            narrower[n] = small[1]
        users = [n for n, job in enumerate(self.jobs) if tensor in job.tensors]
        balance += sum(self._cycles(n, chosen) - self._cycles(n, after) for n in users)
        return narrower if balance > 0 else {}

    def _cycles(self, number: int, resident: AbstractSet[int]) -> int:
        """Cycles of a job that has all of SPM for its rings."""
        problem = with_homes(self.jobs[number], resident)
        return choose_tiling(problem, self.target, self.options).estimate.overlapped_cycles

    @cached_property
    def _take_overs(self) -> dict[int, tuple[int, int]]:
        return take_overs(self.jobs, self.tensors, self._taken)

    def _shared(self, tensor: int, chosen: AbstractSet[int]) -> set[int]:
        """Jobs during which ``tensor`` has the bytes of one that was ``chosen``."""
        pairs = self._take_overs.items()
        before = {job for result, (operand, job) in pairs if result == tensor and operand in chosen}
        return before | {job for r, (operand, job) in pairs if operand == tensor and r in chosen}

    @cached_property
    def _taken(self) -> dict[int, int]:
        """``taken`` by job."""
        return {n: size for (a, b), size in self.taken.items() for n in range(a, b + 1)}

    def _life(self, used: tuple[int, int]) -> tuple[int, int]:
        """First and last job during which a tensor is in SPM that is ``used`` by these."""
        touched = [run for run in self.taken if run[0] <= used[1] and used[0] <= run[1]]
        return min([used[0], *(a for a, _ in touched)]), max([used[1], *(b for _, b in touched)])

    def _crowding(
        self,
        chosen: set[int],
        others: set[int],
        lives: Mapping[int, tuple[int, int]],
        narrower: AbstractSet[int],
    ) -> set[int]:
        """What stays during some job beside which its rings do not fit.

        Rings of ``others``, which did not stay after all, come on top of the room planned for.
        """
        for n, job in enumerate(self.jobs):
            alive = {t for t in chosen if lives[t][0] <= n <= lives[t][1]}
            if not alive or n in self._taken or not others.intersection(job.tensors):
                continue
            pairs = self._take_overs.items()
            twice = {result for result, (x, at) in pairs if at == n and {result, x} <= alive}
            sizes = [self.tensors[t].n_bytes for t in alive - twice]
            live = sum(whole_words(n_bytes, self.target) for n_bytes in sizes)
            left = self.target.spm.capacity_bytes - live
            fits = (
                self._within(n, chosen, left) is not None
                if n in narrower
                else self._room(n, chosen) <= left
            )
            if not fits:
                return alive
        return set()

    def _within(
        self, number: int, resident: AbstractSet[int], limit: int
    ) -> tuple[int, int] | None:
        """Cycles of a job and bytes for its rings within a limit; None where nothing fits."""
        problem = with_homes(self.jobs[number], resident)
        try:
            small = choose_tiling(problem, self.target, replace(self.options, spm_bytes=limit))
        except CompileError:
            return None
        n_bytes = spm_bytes(problem, small.tiling, self.target)
        return small.estimate.overlapped_cycles, n_bytes

    def _room(self, number: int, resident: set[int]) -> int:
        """Bytes for the rings of a job beside ``resident``."""
        job = self.jobs[number]
        key = number, frozenset(resident.intersection(job.tensors))
        if key not in self._rooms:
            problem = with_homes(job, key[1])
            self._rooms[key] = room_needed(problem, self.target, self.options)
        return self._rooms[key]

    def _worth(self, tensor: int, life: tuple[int, int]) -> float:
        touched = sum(job.tensors.count(tensor) for job in self.jobs[life[0] : life[1] + 1])
        return touched / (life[1] - life[0] + 1)
