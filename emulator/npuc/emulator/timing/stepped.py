"""The cycle-stepped oracle: the rules of time once more, one cycle and one access at a time.

Nothing here is shared with the event engine; the work of commands is an argument, and
tests/validation/manual_work.py counts it from the manual alone. DRAM deals out the bytes of each
cycle, banks serve whole words, and an engine that misses a word waits. Far too slow for programs:
it serves to measure the event engine's error, and to be read. A second DRAM ``Controller``, not the
machine's, serves whole bursts in turn.

The banks' turn: of the commands that move, the first in the order of engines after the one that
was first in the cycle before is served first, then the others in that order. Each takes what it
still needs for its next moving cycle, as far as words are left, and keeps what it took.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.work import Work
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.order import Fence
from npuc.isa.program import Code, Program
from npuc.isa.target import Target

CYCLE_BUDGET = 10_000_000
TINY = 1e-9  # of a burst: what the rounding of sums leaves
QUEUES = tuple(engine for engine in Engine if engine is not Engine.ctl)


class Controller(Enum):
    """How DRAM serves those who ask at the same time; ``interleaved`` is the machine's rule."""

    interleaved = "bursts of all are under way at once, in equal parts"
    whole_bursts = "whole bursts in turn, who has waited longest first"


@dataclass(frozen=True)
class SteppedMachine:
    """A target and its controller of DRAM."""

    target: Target
    controller: Controller = Controller.interleaved


@dataclass
class SteppedCommand:
    """One dispatched command: its work left, in cycles, bursts and words."""

    engine: Engine
    index: int
    ctl_instructions: int
    waits: list[tuple[int, int]]
    increment: int
    is_fence: bool
    fixed: int
    moving: int
    bursts: int
    spm_words: int
    acc_words: int
    moved: int = 0  # moving cycles that are complete
    bursts_come: float = 0.0
    burst_credit: float = 0.0
    spm_taken: int = 0
    acc_taken: int = 0
    start: int = -1
    end: int = -1

    @property
    def is_complete(self) -> bool:
        return self.fixed == 0 and self.moved == self.moving

    def words_by(self, cycle: int, total: int) -> int:
        """Words of ``total`` that must have been served when ``cycle`` moving cycles are over."""
        return -(-total * cycle // self.moving)


@dataclass
class Core:
    """One core: its commands, where ctl stands, its queues and what runs."""

    commands: list[SteppedCommand]
    queues: dict[Engine, deque[SteppedCommand]] = field(
        default_factory=lambda: {engine: deque() for engine in QUEUES}
    )
    running: dict[Engine, SteppedCommand] = field(default_factory=dict)
    next_command: int = 0
    channel_credit: float = 0.0
    last_turn: dict[Engine, int] = field(default_factory=dict)
    first_served: int = 0  # the engine that was first at the banks in the cycle before
    ctl_left: int = -1  # ctl cycles before the next push; -1: not yet looked at
    is_held: bool = False  # ctl could not push what it holds

    @property
    def is_done(self) -> bool:
        return self.next_command == len(self.commands) and not self.running and self.is_drained

    @property
    def is_drained(self) -> bool:
        return not any(self.queues.values())


@dataclass
class Asking:
    """A command that asks DRAM for bursts in this cycle, and how many of them it still asks for."""

    core: Core
    command: SteppedCommand
    wanted: float

    def take(self, part: float) -> None:
        """Let ``part`` of a burst come; parts that make a whole one are one, despite rounding."""
        self.wanted -= part
        self.core.channel_credit -= part
        come = min(self.command.bursts_come + part, self.command.bursts)
        self.command.bursts_come = round(come) if abs(come - round(come)) < TINY else come


@dataclass
class System:
    """All cores and what they share."""

    machine: SteppedMachine
    cores: list[Core]
    counters: dict[int, int] = field(default_factory=dict)
    dram_credit: float = 0.0
    turn: int = 0
    now: int = 0

    @property
    def target(self) -> Target:
        return self.machine.target


def stepped_cycles(
    program: Program,
    streams: Sequence[CommandStream],
    works: Sequence[Work],
    machine: SteppedMachine,
) -> int:
    """Wall cycles of ``streams`` by stepping every cycle.

    Raises: ExecutionError when nothing ends within CYCLE_BUDGET cycles.
    """
    wall = 0
    for system in steps(program, streams, works, machine):
        wall = system.now  # somebody runs until the last command has ended
    return wall


def steps(
    program: Program,
    streams: Sequence[CommandStream],
    works: Sequence[Work],
    machine: SteppedMachine,
) -> Iterator[System]:
    """The same system after each cycle, until all commands have ended.

    Raises: ExecutionError when nothing ends within CYCLE_BUDGET cycles.
    """
    burst_bytes = machine.target.dram.burst_bytes
    cores = [
        Core(_commands(program.code[core], stream, works[core], burst_bytes))
        for core, stream in enumerate(streams)
    ]
    system = System(machine, cores)
    while not all(core.is_done for core in cores):
        if system.now == CYCLE_BUDGET:
            raise ExecutionError("the oracle did not reach the end", given=f"{system.now} cycles")
        for core in cores:
            _control(system, core)
            _start_queues(system, core)
            _control_retry(system, core)
        _serve_dram(system)
        for core in cores:
            _serve_core(system, core)
        system.now += 1
        for i, core in enumerate(cores):
            _retire(system, core, i)
        yield system


def _commands(
    code: Code, stream: CommandStream, work: Work, burst_bytes: int
) -> list[SteppedCommand]:
    rows = []
    for i in range(len(stream)):
        waits = [
            (int(counter), int(needs))
            for counter, needs in zip(stream.wait_counter[i], stream.wait_threshold[i], strict=True)
            if counter >= 0
        ]
        opcode = int(code[stream.instruction[i], 0])
        dram_bytes = int(work.dram_read[i] + work.dram_written[i])
        rows.append(
            SteppedCommand(
                Engine(int(stream.engine[i])),
                i,
                int(stream.ctl_cycles[i]),
                waits,
                int(stream.increment[i]),
                opcode == Fence.opcode,
                int(work.fixed[i]),
                int(work.moving[i]),
                dram_bytes // burst_bytes,
                int(work.spm_words[i]),
                int(work.acc_words[i]),
            )
        )
    return rows


def _control(system: System, core: Core) -> None:
    """ctl counts down its cycles, then pushes; a command on ctl occupies ctl itself."""
    per_instruction = system.target.ctl.dispatch_cycles
    while core.next_command < len(core.commands) and Engine.ctl not in core.running:
        command = core.commands[core.next_command]
        on_ctl = command.engine is Engine.ctl
        if core.ctl_left < 0:
            core.ctl_left = (command.ctl_instructions - on_ctl) * per_instruction
        if core.ctl_left > 0:
            core.ctl_left -= 1
            return
        core.is_held = not _push(system, core, command)
        if core.is_held:
            return
        core.next_command += 1
        core.ctl_left = -1


def _push(system: System, core: Core, command: SteppedCommand) -> bool:
    if command.engine is not Engine.ctl:
        queue = core.queues[command.engine]
        if len(queue) >= system.target.ctl.queue_depth:
            return False
        queue.append(command)
        return True
    engines_idle = core.is_drained and not core.running
    if not _waits_hold(system, command) or (command.is_fence and not engines_idle):
        return False
    command.start = system.now
    core.running[Engine.ctl] = command
    return True


def _control_retry(system: System, core: Core) -> None:
    """A command that left its queue in this cycle makes room for the one that ctl holds."""
    if core.is_held:
        _control(system, core)


def _waits_hold(system: System, command: SteppedCommand) -> bool:
    return all(system.counters.get(c, 0) >= needs for c, needs in command.waits)


def _start_queues(system: System, core: Core) -> None:
    for engine, queue in core.queues.items():
        if engine in core.running or not queue or not _waits_hold(system, queue[0]):
            continue
        command = queue.popleft()
        command.start = system.now
        core.running[engine] = command


def _serve_dram(system: System) -> None:
    """One cycle of DRAM for whoever asks, by the rule of the machine's controller."""
    asking = [
        Asking(core, command, command.bursts / command.moving)
        for core in system.cores
        for command in core.running.values()
        if not command.fixed and command.bursts_come < command.bursts
    ]
    if system.machine.controller is Controller.interleaved:
        _deal(system, asking)
    else:
        _serve_whole_bursts(system, asking)


def _deal(system: System, asking: list[Asking]) -> None:
    """Equal parts to all who ask until the first has what it asks, then to the others; and so on.

    A command asks for its own pace, also in its last cycle; a core gets what its channels bring.
    """
    left = _dram_rate(system.target)
    for core in system.cores:
        core.channel_credit = system.target.dma.channels * _channel_rate(system.target)
    while asking and left > TINY:
        askers = Counter(id(user.core) for user in asking)
        parts = [user.core.channel_credit / askers[id(user.core)] for user in asking]
        part = min(left / len(asking), *parts, *(user.wanted for user in asking))
        left -= part * len(asking)
        for user in asking:
            user.take(part)
        asking = [user for user in asking if min(user.wanted, user.core.channel_credit) > TINY]


def _serve_whole_bursts(system: System, asking: list[Asking]) -> None:
    """Hand out whole bursts in turn, as far as the credits of DRAM, core and channel go."""
    channel_rate = _channel_rate(system.target)
    for core in system.cores:
        asks = any(user.core is core for user in asking)
        rate = system.target.dma.channels * channel_rate if asks else 0.0
        core.channel_credit = _grown(core.channel_credit, rate)
    for user in asking:
        user.command.burst_credit = _grown(user.command.burst_credit, channel_rate)
    system.dram_credit = _grown(system.dram_credit, _dram_rate(system.target) if asking else 0.0)
    for user in sorted(asking, key=_last_turn):
        core, command = user.core, user.command
        while (
            command.bursts_come < command.bursts
            and min(system.dram_credit, core.channel_credit, command.burst_credit) >= 1 - TINY
        ):
            command.bursts_come += 1
            command.burst_credit -= 1
            core.channel_credit -= 1
            system.dram_credit -= 1
            system.turn += 1
            core.last_turn[command.engine] = system.turn


def _dram_rate(target: Target) -> float:
    """Bursts per cycle of the DRAM."""
    return target.dram.bytes_per_cycle * target.dram.efficiency / target.dram.burst_bytes


def _channel_rate(target: Target) -> float:
    """Bursts per cycle of one channel: as many as are in flight arrive within one latency."""
    return target.dma.outstanding_bursts / max(target.dram.latency_cycles, 1)


def _last_turn(user: Asking) -> int:
    """When this engine last got a burst: whoever has waited longest goes first."""
    return user.core.last_turn.get(user.command.engine, 0)


def _grown(credit: float, rate: float) -> float:
    """Credit after one more cycle in which somebody asks; a rate of 0 says nobody does."""
    return min(credit + rate, 1 + rate) if rate else 0.0


def _serve_core(system: System, core: Core) -> None:
    """One cycle of each running command, with the words that SPM and ACC still have to give."""
    words = {"spm": system.target.spm.banks, "acc": system.target.acc.banks}
    moving = [command for command in core.running.values() if not command.fixed]
    for command in core.running.values():
        command.fixed = max(command.fixed - 1, 0)
    after = core.first_served + 1
    moving.sort(key=lambda command: (command.engine.value - after) % len(Engine))
    for command in moving:
        _move(command, words)
    if moving:
        core.first_served = moving[0].engine.value


def _move(command: SteppedCommand, words: dict[str, int]) -> None:
    """Complete one more moving cycle if its bursts have come and all its words are served."""
    target = command.moved + 1
    if command.bursts:  # the burst that is arriving counts, but the last one must be there
        arriving = min(int(command.bursts_come) + 1, command.bursts)
        is_last = target == command.moving
        if is_last and command.bursts_come < command.bursts:
            return
        if target * command.bursts > arriving * command.moving:
            return
    needed_spm = command.words_by(target, command.spm_words)
    needed_acc = command.words_by(target, command.acc_words)
    command.spm_taken += _take(words, "spm", needed_spm - command.spm_taken)
    command.acc_taken += _take(words, "acc", needed_acc - command.acc_taken)
    if command.spm_taken >= needed_spm and command.acc_taken >= needed_acc:
        command.moved = target


def _take(words: dict[str, int], memory: str, wanted: int) -> int:
    taken = min(max(wanted, 0), words[memory])
    words[memory] -= taken
    return taken


def _retire(system: System, core: Core, number: int) -> None:
    """End what is complete; its counter grows for the next cycle."""
    for engine, command in list(core.running.items()):
        if not command.is_complete:
            continue
        command.end = system.now
        del core.running[engine]
        if command.increment >= 0:
            counter = number << 8 | engine.value << 5 | command.increment
            system.counters[counter] = system.counters.get(counter, 0) + 1
