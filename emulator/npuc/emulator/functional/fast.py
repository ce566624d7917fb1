"""The fast path: each command by the kernel of its engine, with the float32 weights it may keep."""

from npuc.emulator.functional import plain
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
    ScanWork,
    SelectWork,
    VexecWork,
    WordWork,
    Work,
)
from npuc.isa.descriptors import Space


class FastExecutor:
    """Carries out commands of one run, in order; equal to the twin bit for bit."""

    def __init__(self) -> None:
        self._weights = WeightCache()
        self._plans = PlanCache()
        self._boxes = BoxCache()

    def __call__(self, memory: Memory, core: int, work: Work) -> None:
        """Carry out one command of a core. Raises: NumericTrap where the machine traps."""
        if isinstance(work, MmaWork):
            execute_mma(memory, core, work, self._weights)
        elif isinstance(work, VexecWork):
            execute_vexec(memory, core, work, self._plans)
            state = (work.part.state,) if work.part else ()
            for out in (*work.outputs, *state):
                if out.view.space is Space.spm:
                    self._weights.wrote(core, *byte_range(out))
        elif isinstance(work, DmaWork):
            self._transfer(memory, core, work)
        elif isinstance(work, IndexedWork):
            for transfer in plain.indexed_transfers(memory, core, work):
                self._transfer(memory, core, transfer)
        else:
            self._other(memory, core, work)

    def _other(self, memory: Memory, core: int, work: Work) -> None:
        """What needs no kernel of its own to be fast enough."""
        if isinstance(work, MoveWork):
            execute_move(memory, core, work)
            self._weights.wrote(core, *byte_range(work.target))
            return
        plain.execute(memory, core, work)
        if isinstance(work, ScanWork | SelectWork):
            for written in work.writes.values():
                if written.view.space is Space.spm:
                    self._weights.wrote(core, *byte_range(written))
        elif isinstance(work, WordWork) and work.is_store and work.memory is Space.spm:
            self._weights.wrote(core, work.address, work.address + work.dtype.bytes)

    def _transfer(self, memory: Memory, core: int, work: DmaWork) -> None:
        box = self._boxes.box(work.map)
        execute_transfer(memory, core, work, box)
        for receiver in (work.cores or (core,)) if work.is_load else ():
            self._weights.wrote(receiver, work.address + box.low, work.address + box.high)
