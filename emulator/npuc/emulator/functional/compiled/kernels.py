"""The state of one run of compiled kernels, and the call of all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np

from npuc.emulator.functional.compiled import matrix, rows, transfer, vector
from npuc.emulator.functional.compiled.encode import Encoder, Kind, Record
from npuc.emulator.functional.compiled.geometry import PAGE_BITS, Int64s
from npuc.emulator.functional.compiled.leaves import leaves
from npuc.emulator.functional.compiled.native import blas_address, invoke, is_in_cache
from npuc.emulator.functional.compiled.walk import walk
from npuc.emulator.memory import Memory
from npuc.isa.descriptors import Segment
from npuc.isa.jit import njit

WEIGHT_VALUES, WEIGHT_ENTRIES = 1 << 21, 32
# Words of a call: machine code, address and number of records, context.
CODE, RECORDS, COUNT, CONTEXT, CALL_WORDS = range(5)
_LEAVES = {
    Kind.load: transfer.LOADS_OF,
    Kind.store: transfer.STORES_OF,
    Kind.matrix: matrix.MATRIX,
    Kind.vector: vector.VECTOR,
}


def are_ready() -> bool:
    """Whether what takes long to compile is in use or in the cache: so small programs gain, too."""
    return leaves().are_in_use or _are_in_cache()


@cache
def _are_in_cache() -> bool:
    return all(is_in_cache(*leaf) for leaf in (*_LEAVES.values(), walk))


@njit
def run_calls(calls: Int64s) -> None:
    """Call kernel after kernel."""
    for number in range(len(calls)):
        call = calls[number]
        invoke(call[0], (call[1], call[2], call[3]))


@dataclass(frozen=True)
class Calls:
    """Runs of records of one kind (and segment), in order, as calls of compiled code.

    ``words`` has a row per call, its context a number in ``contexts``; ``records`` are kept alive.
    """

    words: Int64s
    contexts: tuple[tuple[Kind, Segment | None], ...]
    records: tuple[Int64s, ...]


def calls_of(records: Iterable[Record]) -> Calls:
    """Consecutive records of one kind and segment become one call."""
    words, kept = [], []
    contexts: dict[tuple[Kind, Segment | None], int] = {}
    for about, run in groupby(records, key=lambda record: (record.kind, record.segment)):
        kept.append(np.array([record.words for record in run], np.int64))
        code = leaves().address(_LEAVES[about[0]])
        context = contexts.setdefault(about, len(contexts))
        words.append((code, kept[-1].ctypes.data, len(kept[-1]), context))
    return Calls(np.array(words, np.int64), tuple(contexts), tuple(kept))


class Kernels:
    """Carries records out on one memory, in order; ``needs`` are those that will come."""

    def __init__(self, encoder: Encoder, memory: Memory, needs: tuple[int, int, int]) -> None:
        self._encoder, self._memory = encoder, memory
        aside, kept, width = needs
        self._slots = np.empty((vector.SLOTS, _pairs(max(width, vector.STRIP))), np.int64)
        self._scratch = np.empty(_pairs(aside), np.int64)
        self._weights = np.empty(_pairs(max(kept, WEIGHT_VALUES)), np.int64)
        pages = [(len(spm) >> PAGE_BITS) + 2 for spm in memory.spm]
        self._pages = [np.zeros(count, np.int64) for count in pages]
        shape = WEIGHT_ENTRIES + 2, matrix.ENTRY_WORDS
        self._entries = [np.zeros(shape, np.int64) for _ in memory.spm]
        self._contexts: dict[tuple[int, Kind, Segment | None], Int64s] = {}

    def run(self, core: int, calls: Calls) -> None:
        """Carry out the calls of a core."""
        contexts = np.array([self._place(core, *about) for about in calls.contexts], np.int64)
        words = calls.words.copy()
        words[:, CONTEXT] = contexts[words[:, CONTEXT]]
        run_calls(words)

    def _place(self, core: int, kind: Kind, segment: Segment | None) -> int:
        """Where the context of a kernel is."""
        key = core, kind, segment
        if key not in self._contexts:
            self._contexts[key] = np.array(self._context(*key), np.int64)
        return int(self._contexts[key].ctypes.data)

    def _context(self, core: int, kind: Kind, segment: Segment | None) -> list[int]:
        encoder, memory = self._encoder, self._memory
        pages, host = _where(self._pages[core]), [memory.spm[core].ctypes.data]
        if segment is not None:
            return [*_where(encoder.maps.array), *_where(memory.segments[segment]),
                    *_where(memory.spm[core]), *pages]  # fmt: skip
        host += [memory.acc[core].ctypes.data, *_host_addresses()]
        if kind is Kind.vector:
            statics, slots = encoder.vectors.array, self._slots
            return [*_where(statics), slots.ctypes.data, slots.shape[1], *pages, *host[:3]]
        parts = encoder.matrices.array, self._scratch, self._weights, self._entries[core]
        return [*(word for part in parts for word in _where(part)), *pages, *host]

    def wrote(self, core: int, low: int, high: int) -> None:
        """Bytes [low, high) of a core's SPM changed by other means."""
        if low < high:
            pages = self._pages[core]
            pages[-1] += 1
            pages[low >> PAGE_BITS : ((high - 1) >> PAGE_BITS) + 1] = pages[-1]


def needs_of(records: Iterable[Record]) -> tuple[int, int, int]:
    """The 32-bit values that matrix commands need aside and keep, and vector commands a slot."""
    aside = kept = width = 0
    for record in records:
        if record.kind is Kind.matrix:
            aside, kept = max(aside, record.scratch), max(kept, record.kept)
        else:
            width = max(width, record.scratch)
    return aside, kept, width


@cache
def _host_addresses() -> tuple[int, ...]:
    """Of machine code, in the order of ``matrix.WALK`` and on."""
    address = leaves().address
    sums = (rows.SET_SUMS, rows.ADD_SUMS, rows.SET_WORDS, rows.ADD_WORDS, rows.products)
    return address(walk), blas_address(), *(address(leaf) for leaf in sums)


def _where(array: np.ndarray) -> tuple[int, int]:
    """The address of an array and the number of its rows."""
    return array.ctypes.data, len(array)


def _pairs(values: int) -> int:
    """Words of 64 bits that hold them, with room for an odd last one."""
    return values // 2 + 1
