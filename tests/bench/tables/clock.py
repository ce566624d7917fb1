"""CPU seconds of actions, the best of several runs; paired where they are to be compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

Action = Callable[[], object]


def cpu_seconds(action: Action) -> float:
    """Of one call, of the whole process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def best_of(action: Action, repeats: int) -> float:
    """The fastest of ``repeats`` calls, after one that warms up."""
    action()
    return min(cpu_seconds(action) for _ in range(repeats))


def paired(actions: Sequence[Action], repeats: int) -> tuple[float, ...]:
    """The fastest call of each, taken in turns, so that a busy computer slows all of them."""
    for action in actions:
        action()
    rounds = [[cpu_seconds(action) for action in actions] for _ in range(repeats)]
    return tuple(min(column) for column in zip(*rounds, strict=True))
