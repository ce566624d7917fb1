"""The machine: a program and inputs in, outputs, states and command streams out.

``load`` decodes, runs control and resolves once; its result runs any number of times. ``run`` is
both at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.emulator.control import COMMAND_BUDGET, control, loads_words
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.functional import plain
from npuc.emulator.functional.fast import FastExecutor
from npuc.emulator.linearise import execution_order
from npuc.emulator.memory import Memory, allocate, bind_inputs, bind_states
from npuc.emulator.region import NoWork, Work
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.stepwise import Stepper
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
class _Plan:
    """The commands of every run, where control does not depend on values."""

    streams: tuple[CommandStream, ...]
    resolved: tuple[ResolvedStream, ...]
    runs: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class LoadedProgram:
    """A program that is decoded and checked, ready to run on any inputs.

    ``plan`` is None for a program that loads words: then each run finds its own commands.
    """

    decoded: DecodedProgram
    plan: _Plan | None
    options: RunOptions

    @property
    def streams(self) -> tuple[CommandStream, ...]:
        """The commands of every run. Raises: UsageError where they depend on the inputs."""
        return self._planned().streams

    @property
    def resolved(self) -> tuple[ResolvedStream, ...]:
        """Their operands. Raises: UsageError where they depend on the inputs."""
        return self._planned().resolved

    @property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """(core, first command, stop) in order of execution. Raises: as ``streams``."""
        return self._planned().runs

    def run(
        self, inputs: Mapping[str, Tensor], states: Mapping[str, Tensor] | None = None
    ) -> RunResult:
        """Execute on fresh memories; ``states`` are those that an earlier run left.

        Raises: InputError for wrong inputs, ExecutionError where the machine traps.
        """
        program = self.decoded.program
        memory = allocate(program, self.decoded.target)
        bind_inputs(program, memory, inputs)
        bind_states(program, memory, states)
        streams = self._execute(memory, executor(self.options.path))
        return RunResult(
            {a.name: memory.read(a) for a in program.outputs},
            {a.name: memory.read(a) for a in program.states},
            streams,
        )

    def _planned(self) -> _Plan:
        if self.plan is None:
            control(self.decoded)  # tells why there is no plan
        assert self.plan is not None, "control refuses programs that load words"
        return self.plan

    def _execute(self, memory: Memory, execute: Execute) -> tuple[CommandStream, ...]:
        def carry_out(core: int, instruction: int, work: Work) -> None:
            if isinstance(work, NoWork):
                return
            try:
                execute(memory, core, work)
            except NumericTrap as trap:
                raise self._trapped(core, instruction, trap) from trap

        if self.plan is None:
            budget, path = self.options.command_budget, self.options.path
            streams = Stepper(self.decoded, memory, carry_out, budget, path).run()
            if self.options.strict:
                program = self.decoded.program
                refuse_findings(check(program, streams, self.options.target))
            return streams
        for core, start, stop in self.plan.runs:
            resolved = self.plan.resolved[core]
            instruction = self.plan.streams[core].instruction[start:stop].tolist()
            for command, at in zip(range(start, stop), instruction, strict=True):
                carry_out(core, at, resolved.work(command))
        return self.plan.streams

    def _trapped(self, core: int, instruction: int, trap: NumericTrap) -> ExecutionError:
        return ExecutionError(
            trap.what,
            f"{self.decoded.site(core, instruction)}; {trap.where}",
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
    if loads_words(decoded):
        return LoadedProgram(decoded, None, chosen)
    streams = control(decoded, chosen.command_budget, chosen.path)
    resolved = tuple(ResolvedStream(decoded, core, stream) for core, stream in enumerate(streams))
    for stream in resolved:
        stream.raise_first()
    runs = tuple(execution_order(decoded, streams))
    if chosen.strict:
        refuse_findings(check(program, streams, chosen.target))
    return LoadedProgram(decoded, _Plan(streams, resolved, runs), chosen)


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
    program: Program,
    inputs: Mapping[str, Tensor],
    options: RunOptions | None = None,
    states: Mapping[str, Tensor] | None = None,
) -> RunResult:
    """Run a program once on fresh memories; ``states`` are those that an earlier run left.

    Raises: BinaryError, InputError, ExecutionError; with ``strict`` also for any finding.
    """
    return load(program, options).run(inputs, states)
