"""Happens-before as vector clocks: what is complete before each command starts.

An agent is one engine of one core (number core * 6 + engine). Its commands are numbered from 1 in
queue order, and a clock holds one number per agent: how many of its commands are complete. Edges
are queue order, waits (to the producer), ctl nops and fences, which hold back all later dispatch.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.emulator.decode import DecodedProgram
from npuc.emulator.linearise import execution_order
from npuc.emulator.order import NEVER, producers
from npuc.emulator.stream import CommandStream, Int64s
from npuc.isa.instructions import Engine
from npuc.isa.instructions.order import Fence
from npuc.isa.jit import njit

Clocks = npt.NDArray[np.int32]
ENGINES = len(Engine)
NO_COMMAND = -1


@dataclass(frozen=True)
class Graph:
    """All commands of all cores in an order of execution, n of them.

    ``core`` and ``command`` n say which; ``agent`` n who executes it, ``sequence`` n its number
    there from 1; ``producer`` n x 2 the row whose completion it awaits, or NO_COMMAND.
    ``instruction`` n is its row in the core's code; ``barrier`` n the row of the last ctl command
    before it in its core's program, or NO_COMMAND.
    """

    core: Int64s
    command: Int64s
    instruction: Int64s
    agent: Int64s
    sequence: Int64s
    producer: Int64s
    barrier: Int64s
    is_fence: npt.NDArray[np.bool_]
    agents: int

    def __len__(self) -> int:
        """Number of commands."""
        return len(self.core)


def build_graph(decoded: DecodedProgram, streams: tuple[CommandStream, ...]) -> Graph:
    """The graph of a run. Raises: ExecutionError for deadlock."""
    runs = execution_order(decoded, streams)
    empty = np.zeros(0, np.int64)
    core = np.concatenate([empty] + [np.full(stop - start, c) for c, start, stop in runs])
    command = np.concatenate([empty] + [np.arange(start, stop) for _, start, stop in runs])
    row_of = [np.zeros(len(stream), np.int64) for stream in streams]
    for c in range(len(streams)):
        mine = np.flatnonzero(core == c)
        row_of[c][command[mine]] = mine
    instruction, agent = np.zeros_like(core), np.zeros_like(core)
    is_fence = np.zeros(len(core), bool)
    barrier = np.full(len(core), NO_COMMAND, np.int64)
    producer = np.full((len(core), 2), NO_COMMAND, np.int64)
    for c, (stream, made) in enumerate(zip(streams, producers(streams), strict=True)):
        rows = row_of[c]
        instruction[rows] = stream.instruction
        agent[rows] = c * ENGINES + stream.engine
        barrier[rows] = _last_ctl_command(stream, rows)
        is_fence[rows] = decoded.cores[c].opcode[stream.instruction] == Fence.opcode
        for wait in range(2):
            awaited = (made.command[:, wait] >= 0) & (made.command[:, wait] != NEVER)
            for source in range(len(streams)):
                mask = awaited & (made.core[:, wait] == source)
                producer[rows[mask], wait] = row_of[source][made.command[mask, wait]]
    return Graph(
        core,
        command,
        instruction,
        agent,
        _sequence(agent),
        producer,
        barrier,
        is_fence,
        len(streams) * ENGINES,
    )


def _last_ctl_command(stream: CommandStream, rows: Int64s) -> Int64s:
    """For each command the row of the last ctl command before it in the program."""
    is_ctl = stream.engine == Engine.ctl.value
    last = np.maximum.accumulate(np.where(is_ctl, np.arange(len(stream)), NO_COMMAND))
    before = np.concatenate([np.full(1, NO_COMMAND), last[:-1]])[: len(stream)]
    return np.where(before >= 0, rows[before], NO_COMMAND) if len(stream) else before


def _sequence(agent: Int64s) -> Int64s:
    sequence = np.zeros_like(agent)
    for number in np.unique(agent):
        mine = np.flatnonzero(agent == number)
        sequence[mine] = np.arange(1, len(mine) + 1)
    return sequence


def clocks(graph: Graph, producer: Int64s | None = None) -> Clocks:
    """n x agents: the clock of each command when it is complete.

    But for its own agent this is what was complete when it started. ``producer`` replaces the
    graph's own edges.
    """
    edges = graph.producer if producer is None else producer
    out = np.zeros((len(graph), graph.agents), np.int32)
    _run(graph.agent, graph.sequence, edges, graph.barrier, graph.is_fence, ENGINES, out)
    return out


@njit(inner=True)
def _join(clock: Clocks, other: Clocks) -> None:
    """What is complete in either becomes complete in ``clock``."""
    for agent in range(len(clock)):
        clock[agent] = max(clock[agent], other[agent])


@njit
def _run(  # noqa: PLR0913, PLR0917  # compiled code takes arrays, not records
    agent: Int64s,
    sequence: Int64s,
    producer: Int64s,
    barrier: Int64s,
    is_fence: npt.NDArray[np.bool_],
    engines: int,
    out: Clocks,
) -> None:
    agents = out.shape[1]
    last = np.zeros((agents, agents), np.int32)  # per agent: the clock of its last command
    for row in range(len(agent)):
        who = agent[row]
        core = who // engines
        clock = out[row]
        _join(clock, last[who])
        if barrier[row] >= 0:
            _join(clock, out[barrier[row]])
        for wait in range(2):
            if producer[row, wait] >= 0:
                _join(clock, out[producer[row, wait]])
        if is_fence[row]:
            for engine in range(engines):
                _join(clock, last[core * engines + engine])
        clock[who] = sequence[row]
        last[who, :] = clock
