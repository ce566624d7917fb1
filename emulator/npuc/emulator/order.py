"""Which command each wait holds for.

A wait names a value of a counter that only one engine increments, in its own order: so it names
one command, the producer. From these edges come the order of execution (``linearise``) and, in
strict mode, happens-before.
"""

from dataclasses import dataclass

import numpy as np

from npuc.emulator.site import counter_text
from npuc.emulator.stream import CommandStream, Int64s
from npuc.isa.instructions import Counter, Engine

NONE = -1
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Producers:
    """For each wait of a stream (n x 2): core and command number of its producer.

    ``command`` is NONE where nothing is awaited and NEVER where no command ever produces it.
    """

    core: Int64s
    command: Int64s


def producers(streams: tuple[CommandStream, ...]) -> tuple[Producers, ...]:
    """The producer of every wait of every core."""
    increments = [_increments(stream) for stream in streams]
    return tuple(_producers(stream, increments) for stream in streams)


def _increments(stream: CommandStream) -> dict[int, Int64s]:
    """Commands that increment each counter (engine * 32 + index), ascending."""
    number = np.where(stream.increment >= 0, stream.engine * 32 + stream.increment, -1)
    return {int(c): np.flatnonzero(number == c) for c in np.unique(number) if c >= 0}


def _producers(stream: CommandStream, increments: list[dict[int, Int64s]]) -> Producers:
    command = np.full(stream.wait_counter.shape, NONE, np.int64)
    active = (stream.wait_counter >= 0) & (stream.wait_threshold > 0)
    for counter in np.unique(stream.wait_counter[active]).tolist():
        mask = active & (stream.wait_counter == counter)
        made = increments[counter >> 8].get(counter & 0xFF, np.zeros(0, np.int64))
        threshold = stream.wait_threshold[mask]
        table = np.append(made, NEVER)
        command[mask] = table[np.minimum(threshold - 1, len(made))]
    return Producers(stream.wait_counter >> 8, command)


def describe_wait(stream: CommandStream, command: int, wait: int) -> str:
    """A resolved wait as ``core0.vpu[0] >= 7``."""
    number = int(stream.wait_counter[command, wait])
    counter = Counter(number >> 8, Engine(number >> 5 & 7), number & 31)
    return f"{counter_text(counter)} >= {int(stream.wait_threshold[command, wait])}"
