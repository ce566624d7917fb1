"""Named signals between cores: which counter each name has and how awaits count.

A name belongs to one engine of one core. Its counter has an index of at least 1, because index 0
counts all commands of the engine.
"""

from collections import Counter as Multiset
from dataclasses import dataclass

from npuc.compiler.dialects.tile import AwaitOp, CoreOp, ForOp, SignalOp
from npuc.compiler.xdsl_api import Operation, walk
from npuc.isa.errors import CompileError
from npuc.isa.instructions import Counter, Engine
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE


@dataclass(frozen=True)
class Signals:
    """The counter of each name."""

    counters: dict[str, Counter]

    @staticmethod
    def of(cores: list[CoreOp]) -> "Signals":
        """Give every name a counter and check that no await waits for ever.

        Raises: CompileError for a name that several engines signal, that is awaited more often
        than it is signalled, or for too many names.
        """
        owners: dict[str, tuple[int, Engine]] = {}
        signalled: Multiset[str] = Multiset()
        for core in cores:
            for op in walk(core):
                if type(op) is SignalOp:
                    _own(owners, op, core)
                    signalled[op.signal.data] += executions(op)
        for core in cores:
            _check_awaits(core, signalled)
        return Signals(_number(owners))


def executions(op: Operation) -> int:
    """How often ``op`` runs in its group."""
    count, parent = 1, op.parent_op()
    while parent is not None:
        count *= parent.trips if isinstance(parent, ForOp) else 1
        parent = parent.parent_op()
    return count


def awaits_in(op: Operation) -> "Multiset[str]":
    """How often each name is awaited inside ``op``."""
    awaited: Multiset[str] = Multiset()
    for inner in walk(op):
        if type(inner) is AwaitOp:
            awaited[inner.signal.data] += executions(inner)
    return awaited


def _own(owners: dict[str, tuple[int, Engine]], op: SignalOp, core: CoreOp) -> None:
    owner = (core.index.data, Engine[op.queue.data.value])
    if owners.setdefault(op.signal.data, owner) != owner:
        raise CompileError(
            "a signal is given by several engines",
            given=op.signal.data,
            allowed="one engine of one core",
            next_step="use one name per engine and core",
        )


def _check_awaits(core: CoreOp, signalled: "Multiset[str]") -> None:
    for name, count in sorted(awaits_in(core).items()):
        if count > signalled[name]:
            raise CompileError(
                "a signal is awaited more often than it is given",
                where=f"core {core.index.data}",
                given=f"{name}: {count} awaits",
                allowed=f"{signalled[name]} signals",
            )


def _number(owners: dict[str, tuple[int, Engine]]) -> dict[str, Counter]:
    used: Multiset[tuple[int, Engine]] = Multiset()
    counters = {}
    for name, owner in owners.items():
        used[owner] += 1
        if used[owner] >= COUNTERS_PER_ENGINE:
            raise CompileError(
                "an engine gives too many different signals",
                given=name,
                allowed=f"{COUNTERS_PER_ENGINE - 1} names per engine",
            )
        counters[name] = Counter(*owner, used[owner])
    return counters
