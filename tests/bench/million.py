"""One million commands: CPU seconds of control and of time, warm, on one thread.

``make bench-million`` runs this. The program is a real one: a loop on ctl whose body loads two
tiles, multiplies, converts and stores, ordered by counters; the control pass resolves it into a
million commands, and the time pass runs them. CPU time, best of several, in one process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from npuc.emulator.control import control
from npuc.emulator.timing import time_streams
from npuc.emulator.validate import decode
from npuc.isa.instructions import Counter, Engine, Instruction, Wait
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.scalar import Add
from npuc.isa.program import Program
from npuc.isa.target import load_target
from tests.emulator.timing_streams import program_of, work_of

COMMANDS = 1_000_000
LIMIT_S = 1.5
REPEATS = 3
ROUND = 5  # commands of one trip
SCRATCH_BYTES = 1 << 30  # address space of the maps; nothing is allocated


@dataclass(frozen=True)
class Figures:
    """CPU seconds of the two passes over ``commands``, and what they found."""

    commands: int
    control_s: float
    timing_s: float
    cycles: int

    @property
    def total_s(self) -> float:
        """Control and timing together."""
        return self.control_s + self.timing_s


def program(trips: int) -> Program:
    """A pipeline of ``trips`` rounds: ld0, ld1, mxu, vpu, st; the slots of two buffers."""

    def after(engine: Engine, offset: int) -> Wait:
        return Wait(Counter(0, engine), 1, offset)  # register 1 counts the rounds

    steps = (
        (Engine.ld0, 1, (after(Engine.mxu, -1),)),
        (Engine.ld1, 3, (after(Engine.mxu, -1),)),
        (Engine.mxu, 2, (after(Engine.ld0, 1), after(Engine.ld1, 1))),
        (Engine.vpu, 2, (after(Engine.mxu, 1), after(Engine.st, -1))),
        (Engine.st, 1, (after(Engine.vpu, 1),)),
    )
    body: list[Instruction] = [
        replace(work_of(engine, choice), waits=waits, increment=0)
        for engine, choice, waits in steps
    ]
    code = [Loop(count=trips, body=len(body) + 1), *body, Add(rd=1, ra=1, imm=1), Halt()]
    return replace(program_of(load_target("edge"), code), scratch_bytes=SCRATCH_BYTES)


def measure(commands: int = COMMANDS, repeats: int = REPEATS) -> Figures:
    """Both passes over a program of ``commands`` commands, after one run that warms up."""
    decoded = decode(program(commands // ROUND))
    streams = control(decoded)
    timing = time_streams(decoded.program, streams)
    return Figures(
        len(streams[0]),
        _best(lambda: control(decoded), repeats),
        _best(lambda: time_streams(decoded.program, streams), repeats),
        timing.wall_cycles,
    )


def _best(action: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> int:
    """Print the figures; 1 where they exceed the limit."""
    found = measure()
    print(
        f"{found.commands:,} commands, {found.cycles:,} cycles: control {found.control_s:.2f} s, "
        f"timing {found.timing_s:.2f} s, together {found.total_s:.2f} s CPU (limit {LIMIT_S} s)"
    )
    return int(found.total_s > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
