"""The machine: a program and inputs in, outputs, states and command streams out.

``load`` decodes, runs control and resolves once; its result runs any number of times. ``run`` is
both at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from npuc.emulator.control import Ways, control, loads_words
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.functional import plain
from npuc.emulator.functional.fast import Batch, FastExecutor, Prepared, prepare
from npuc.emulator.functional.scratch import scratch_bytes
from npuc.emulator.limits import DEFAULT_LIMITS, Limits, check_memory
from npuc.emulator.linearise import execution_order
from npuc.emulator.memory import Memory, allocate, bind_inputs, bind_states
from npuc.emulator.region import NoWork, Work
from npuc.emulator.resolve import ResolvedStream, check_points
from npuc.emulator.stepwise import Stepper
from npuc.emulator.stream import CommandStream
from npuc.emulator.strict import Finding, Strict, check
from npuc.emulator.validate import decode
from npuc.isa.errors import CapacityError, ExecutionError, TrapError, UsageError
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
    ``target`` instead of the program's own; ``limits`` of what a run may use.
    """

    path: str = "fast"
    strict: bool = False
    target: Target | None = None
    limits: Limits = DEFAULT_LIMITS


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
    limits: Limits

    def works(self) -> Iterator[tuple[int, int, Work]]:
        """Core, instruction and work of each command, in order of execution."""
        for core, start, stop in self.runs:
            resolved = self.resolved[core]
            instruction = self.streams[core].instruction[start:stop].tolist()
            for command, at in zip(range(start, stop), instruction, strict=True):
                work = resolved.work(command)
                if not isinstance(work, NoWork):
                    yield core, at, work

    @cached_property
    def prepared(self) -> Prepared:
        """The commands as the fast path wants them; made for the first run."""
        most = self.limits.memory_bytes
        return prepare(self.works(), lambda work: scratch_bytes(work, "fast") > most)


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
        streams = self.execute(memory)
        return RunResult(
            {a.name: memory.read(a) for a in program.outputs},
            {a.name: memory.read(a) for a in program.states},
            streams,
        )

    def findings(self, streams: tuple[CommandStream, ...]) -> tuple[Finding, ...]:
        """What strict mode holds against a run with these commands."""
        if self.plan is None:
            return check(self.decoded.program, streams, self.decoded.target, self.options.limits)
        return Strict(self.decoded, streams, self.plan.resolved, self.options.limits).findings()

    def _planned(self) -> _Plan:
        if self.plan is None:
            control(self.decoded)  # tells why there is no plan
        assert self.plan is not None, "control refuses programs that load words"
        return self.plan

    def execute(self, memory: Memory) -> tuple[CommandStream, ...]:
        """Carry out every command on ``memory``; the commands of each core.

        Raises: ExecutionError where the machine traps, TrapError first of all.
        """
        execute, limits = self._executor(), self.options.limits

        def carry_out(core: int, instruction: int, work: Work) -> None:
            if isinstance(work, NoWork):
                return
            try:
                if scratch_bytes(work, self.options.path) > limits.memory_bytes:
                    raise self._too_large(core, instruction, work)
                execute(memory, core, work)
            except NumericTrap as trap:
                raise self._trapped(core, instruction, trap) from trap

        if self.plan is None:
            ways = Ways.under(limits, self.options.path)
            streams = Stepper(self.decoded, memory, carry_out, ways).run()
            if self.options.strict:
                refuse_findings(self.findings(streams))
            return streams
        if isinstance(execute, FastExecutor):
            for core, at, part in self.plan.prepared.parts:
                if isinstance(part, Batch):
                    execute.run(memory, part)
                else:
                    carry_out(core, at, part)
        else:
            for core, at, work in self.plan.works():
                carry_out(core, at, work)
        return self.plan.streams

    def _executor(self) -> Execute:
        if self.plan is None or self.options.path != "fast":
            return executor(self.options.path)
        return FastExecutor(self.plan.prepared)

    def _too_large(self, core: int, instruction: int, work: Work) -> CapacityError:
        limits, needed = self.options.limits, scratch_bytes(work, self.options.path)
        return CapacityError(
            "a command has too many points for the emulator's memory",
            str(self.decoded.site(core, instruction)),
            f"about {needed:,} bytes of intermediate values",
            f"{limits.memory_bytes:,} bytes",
            "raise the limit: npuc run --memory-mib, Limits.memory_bytes",
        )

    def _trapped(self, core: int, instruction: int, trap: NumericTrap) -> TrapError:
        return TrapError(
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
    check_memory(program, chosen.target or program.target, chosen.limits)
    decoded = decode(program, chosen.target)
    if loads_words(decoded):
        return LoadedProgram(decoded, None, chosen)
    streams = control(decoded, chosen.limits, chosen.path)
    resolved = tuple(ResolvedStream(decoded, core, stream) for core, stream in enumerate(streams))
    for stream in resolved:
        stream.raise_first()
    check_points(resolved, chosen.limits)
    runs = tuple(execution_order(decoded, streams))
    loaded = LoadedProgram(decoded, _Plan(streams, resolved, runs, chosen.limits), chosen)
    if chosen.strict:
        refuse_findings(loaded.findings(streams))
    return loaded


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
