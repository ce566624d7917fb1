"""The fast path: compiled kernels where they can, NumPy elsewhere."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

from npuc.emulator.functional import plain
from npuc.emulator.functional.compiled.encode import Encoder
from npuc.emulator.functional.compiled.kernels import (
    Calls,
    Kernels,
    are_ready,
    calls_of,
    needs_of,
)
from npuc.emulator.functional.dma import BoxCache, execute_move, execute_transfer
from npuc.emulator.functional.kernel_plan import PlanCache
from npuc.emulator.functional.matrix import execute_mma
from npuc.emulator.functional.vector import execute_vexec
from npuc.emulator.functional.weights import WeightCache, byte_range
from npuc.emulator.memory import Memory
from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    Region,
    ScanWork,
    SelectWork,
    VexecWork,
    WordWork,
    Work,
)
from npuc.isa.descriptors import Space
from npuc.isa.jit import HAS_NUMBA

# About half a second of NumPy's; compiling the kernels for the first time takes twenty.
WORTH_COMPILING = 1 << 28
_PER_POINT = 32  # multiply-accumulates that one point of a vector command is worth


def operations(work: Work) -> int:
    """What a command costs, in multiply-accumulates of NumPy's."""
    if isinstance(work, MmaWork):
        return prod(work.acc.extents) * prod(work.w.extents[:3])
    return _PER_POINT * prod(work.space) if isinstance(work, VexecWork) else 0


@dataclass(frozen=True)
class Batch:
    """Commands of a core that compiled code carries out at one go."""

    core: int
    calls: Calls


class FastExecutor:
    """Carries out commands of one run, in order; equal to the twin bit for bit.

    Single commands take the way of NumPy until ``worth`` operations are done, unless compiled code
    is ready.
    """

    def __init__(self, prepared: "Prepared | None" = None, worth: int = WORTH_COMPILING) -> None:
        self._worth = worth
        self._encoder = prepared.encoder if prepared else Encoder()
        self._needs = prepared.needs if prepared else (0, 0, 0)
        self._kernels: Kernels | None = None
        self._memory: Memory | None = None
        self._stands_for: tuple[int, tuple[int, int, int]] = 0, self._needs
        self._weights = WeightCache()  # of the way of NumPy
        self._plans = PlanCache()
        self._boxes = BoxCache()

    def __call__(self, memory: Memory, core: int, work: Work) -> None:
        """Carry out one command of a core. Raises: NumericTrap where the machine traps."""
        self._worth -= operations(work)
        transfers = [work]
        if isinstance(work, IndexedWork):
            transfers = list(plain.indexed_transfers(memory, core, work))
        if not self._is_compiled(memory, core, transfers):
            self._by_numpy(memory, core, work)

    def _is_compiled(self, memory: Memory, core: int, works: Sequence[Work]) -> bool:
        """Carry out by compiled code, if that is worth it and it can."""
        if not HAS_NUMBA or (self._worth > 0 and not are_ready()):
            return False
        records = [self._encoder.record(work) for work in works]
        known = [record for record in records if record is not None]
        if not known or len(known) < len(records):
            return False
        first, second, third = map(max, self._needs, needs_of(known))
        self._needs = first, second, third
        self.run(memory, Batch(core, calls_of(known)))
        return True

    def run(self, memory: Memory, batch: Batch) -> None:
        """Carry out a batch."""
        self._weights.forget()
        self._kernels_for(memory).run(batch.core, batch.calls)

    def _kernels_for(self, memory: Memory) -> Kernels:
        stands_for = self._encoder.size, self._needs
        if self._kernels is None or self._memory is not memory or self._stands_for != stands_for:
            self._kernels = Kernels(self._encoder, memory, self._needs)
            self._memory, self._stands_for = memory, stands_for
        return self._kernels

    def _by_numpy(self, memory: Memory, core: int, work: Work) -> None:
        if isinstance(work, MmaWork):
            execute_mma(memory, core, work, self._weights)
        elif isinstance(work, VexecWork):
            execute_vexec(memory, core, work, self._plans)
            state = (work.part.state,) if work.part else ()
            self._wrote(memory, core, (*work.outputs, *state))
        elif isinstance(work, DmaWork):
            self._transfer(memory, core, work)
        elif isinstance(work, IndexedWork):
            for transfer in plain.indexed_transfers(memory, core, work):
                self(memory, core, transfer)
        elif isinstance(work, MoveWork):
            execute_move(memory, core, work)
            self._wrote(memory, core, [work.target])
        else:
            self._other(memory, core, work)

    def _other(self, memory: Memory, core: int, work: Work) -> None:
        """What needs no kernel of its own to be fast enough."""
        plain.execute(memory, core, work)
        if isinstance(work, ScanWork | SelectWork):
            self._wrote(memory, core, list(work.writes.values()))
        elif isinstance(work, WordWork) and work.is_store and work.memory is Space.spm:
            self._note(memory, core, work.address, work.address + work.dtype.bytes)

    def _transfer(self, memory: Memory, core: int, work: DmaWork) -> None:
        box = self._boxes.box(work.map)
        execute_transfer(memory, core, work, box)
        for receiver in (work.cores or (core,)) if work.is_load else ():
            self._note(memory, receiver, work.address + box.low, work.address + box.high)

    def _wrote(self, memory: Memory, core: int, regions: Sequence[Region]) -> None:
        for region in regions:
            if region.view.space is Space.spm:
                self._note(memory, core, *byte_range(region))

    def _note(self, memory: Memory, core: int, low: int, high: int) -> None:
        self._weights.wrote(core, low, high)
        if self._kernels is not None and self._memory is memory:
            self._kernels.wrote(core, low, high)


@dataclass(frozen=True)
class Prepared:
    """A program's commands: batches, and single ones with their core and instruction.

    ``needs`` are the values that kernels need aside, as ``needs_of`` gives them.
    """

    encoder: Encoder
    needs: tuple[int, int, int]
    parts: tuple[tuple[int, int, Batch | Work], ...]


def prepare(
    works: Iterable[tuple[int, int, Work]],
    is_refused: Callable[[Work], bool] = lambda _: False,
    worth: int = WORTH_COMPILING,
) -> Prepared:
    """Core, instruction and work of each command to what a ``FastExecutor`` runs soonest.

    Commands that ``is_refused`` stay single ones.
    """
    encoder, works = Encoder(), list(works)
    total = sum(operations(work) for _, _, work in works)
    is_worth = HAS_NUMBA and (total >= worth or are_ready())
    parts: list[tuple[int, int, Batch | Work]] = []
    needs = (0, 0, 0)
    made = (
        (core, at, work, encoder.record(work) if is_worth and not is_refused(work) else None)
        for core, at, work in works
    )
    for (core, is_compiled), members in groupby(made, key=lambda m: (m[0], m[3] is not None)):
        run = list(members)
        if is_compiled:
            records = [record for _, _, _, record in run if record is not None]
            first, second, third = map(max, needs, needs_of(records))
            needs = first, second, third
            parts.append((core, run[0][1], Batch(core, calls_of(records))))
        else:
            parts += [(core, at, work) for _, at, work, _ in run]
    return Prepared(encoder, needs, tuple(parts))
