"""The machine: a program and inputs in, outputs, states and command streams out.

``load`` decodes, runs control and resolves once; its result runs any number of times. ``run`` is
both at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.emulator.control import COMMAND_BUDGET, control
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.functional import plain
from npuc.emulator.functional.fast import FastExecutor
from npuc.emulator.linearise import execution_order
from npuc.emulator.memory import Memory, allocate, bind_inputs, bind_states
from npuc.emulator.region import NoWork, Work
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.stream import CommandStream
from npuc.emulator.strict import Finding, check
from npuc.emulator.validate import decode
from npuc.isa.errors import ExecutionError, UsageError
from npuc.isa.numerics.arrays import NumericTrap
from npuc.isa.program import Program
from npuc.isa.target import Target

Tensor = npt.NDArray[np.generic]
Execute = Callable[[Memory, int, Work], None]
PATHS = ("fast", "plain")
MAX_SHOWN_FINDINGS = 10


@dataclass(frozen=True)
class RunOptions:
    """How to run: ``path`` fast or plain (the twin); ``strict`` also checks order and bytes;
    ``target`` instead of the program's own; at most ``command_budget`` instructions per core.
    """

    path: str = "fast"
    strict: bool = False
    target: Target | None = None
    command_budget: int = COMMAND_BUDGET


@dataclass(frozen=True)
class RunResult:
    """Outputs and states by name, and the streams for timing."""

    outputs: dict[str, Tensor]
    states: dict[str, Tensor]
    streams: tuple[CommandStream, ...]


@dataclass(frozen=True)
class LoadedProgram:
    """A program that is decoded, controlled and resolved: ready to run on any inputs."""

    decoded: DecodedProgram
    streams: tuple[CommandStream, ...]
    resolved: tuple[ResolvedStream, ...]
    runs: tuple[tuple[int, int, int], ...]
    options: RunOptions

    def run(
        self, inputs: Mapping[str, Tensor], states: Mapping[str, Tensor] | None = None
    ) -> RunResult:
        """Execute on fresh memories.

        Raises: InputError for wrong inputs, ExecutionError where the machine traps.
        """
        program = self.decoded.program
        memory = allocate(program, self.decoded.target)
        bind_inputs(program, memory, inputs)
        bind_states(program, memory, states)
        self._execute(memory, executor(self.options.path))
        return RunResult(
            {a.name: memory.read(a) for a in program.outputs},
            {a.name: memory.read(a) for a in program.states},
            self.streams,
        )

    def _execute(self, memory: Memory, execute: Execute) -> None:
        for core, start, stop in self.runs:
            resolved = self.resolved[core]
            for command in range(start, stop):
                work = resolved.work(command)
                if isinstance(work, NoWork):
                    continue
                try:
                    execute(memory, core, work)
                except NumericTrap as trap:
                    raise self._trapped(core, command, trap) from trap

    def _trapped(self, core: int, command: int, trap: NumericTrap) -> ExecutionError:
        at = int(self.streams[core].instruction[command])
        return ExecutionError(
            trap.what,
            f"{self.decoded.site(core, at)}; command {command}; {trap.where}",
            trap.given,
            trap.allowed,
            trap.next_step,
        )


def executor(path: str) -> Execute:
    """The function that carries out one command. Raises: UsageError for an unknown path."""
    if path == "plain":
        return plain.execute
    if path == "fast":
        return FastExecutor()
    raise UsageError(
        "unknown path of execution",
        given=path,
        allowed=", ".join(PATHS),
        next_step="choose one of them",
    )


def load(program: Program, options: RunOptions | None = None) -> LoadedProgram:
    """Decode, check, run control and resolve every command.

    Raises: BinaryError for what the bits prove wrong; ExecutionError for bounds, traps, budgets
    and deadlock, naming instruction and node.
    """
    chosen = options or RunOptions()
    executor(chosen.path)
    decoded = decode(program, chosen.target)
    streams = control(decoded, chosen.command_budget, chosen.path)
    resolved = tuple(ResolvedStream(decoded, core, stream) for core, stream in enumerate(streams))
    for stream in resolved:
        stream.raise_first()
    runs = tuple(execution_order(decoded, streams))
    if chosen.strict:
        refuse_findings(check(program, streams, chosen.target))
    return LoadedProgram(decoded, streams, resolved, runs, chosen)


def refuse_findings(findings: tuple[Finding, ...]) -> None:
    """Raises: ExecutionError that tells the findings, when there are any."""
    if findings:
        shown = "\n".join(str(f) for f in findings[:MAX_SHOWN_FINDINGS])
        raise ExecutionError(
            f"strict mode found {len(findings)} faults",
            given="\n" + shown,
            next_step="the compiler or the assembly text must add the missing order",
        )


def run(
    program: Program, inputs: Mapping[str, Tensor], options: RunOptions | None = None
) -> RunResult:
    """Run a program once on fresh memories.

    Raises: BinaryError, InputError, ExecutionError; with ``strict`` also for any finding.
    """
    return load(program, options).run(inputs)
