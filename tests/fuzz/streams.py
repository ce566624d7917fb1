"""Random whole programs, built instruction by instruction: legal text, arbitrary behaviour.

``ProgramBuilder.add(kind, seed)`` appends one thing; the state machine of the tests and the bench
both drive it, so that a failing program is a short list of (kind, seed).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from npuc.isa.descriptors import Kernel, Op, Output, Params, Segment, Space, Stream, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.instructions import NO_INDEX, Command, Counter, Engine, Instruction, Wait
from npuc.isa.instructions.base import MAX_LOOP_DEPTH
from npuc.isa.instructions.dma import Copy, Fill, Gather, Load, Scatter, Store
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Loop, Trap
from npuc.isa.instructions.maps import MAP_PARTS, LoadMap, LoadMapped, SetMap, StoreMapped
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.ordered import SCAN_OPERATIONS, Scan, Sort, TopK
from npuc.isa.instructions.scalar import INSTRUCTIONS as SCALARS
from npuc.isa.instructions.vector import Vexec, VexecPart
from npuc.isa.instructions.word import MEMORIES, WORD_TYPES, LoadWord, StoreWord
from npuc.isa.program import Argument, Debug, Program, SourceRange
from npuc.isa.target import Target, parse_target, target_text
from tests.emulator.random_work import (
    TABLES,
    extents_of,
    random_mma,
    random_region,
    random_transfer,
    random_vexec,
)

Rng = np.random.Generator
SEGMENT_BYTES = 1 << 15
REGISTERS = 8  # that programs use: enough to be meant, few enough to meet
NO_WAIT = Wait(Counter(0, Engine.ctl, 0), 0, 0)


@cache
def machine(cores: int) -> tuple[Target, str]:
    """``tiny`` with some cores and every instruction, and its text."""
    text = target_text("tiny").replace("cores = 1\n", f"cores = {cores}\n")
    text = text.replace("extensions = []", 'extensions = ["F"]')
    return parse_target(text, "tiny"), text


@dataclass
class _Core:
    code: list[Instruction] = field(default_factory=list)
    loops: list[int] = field(default_factory=list)
    made: dict[Counter, int] = field(default_factory=dict)


@dataclass
class ProgramBuilder:
    """A program in the making."""

    cores: list[_Core] = field(default_factory=lambda: [_Core()])
    current: int = 0
    views: list[View] = field(default_factory=list)
    maps: list[TensorMap] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    params: list[Params] = field(default_factory=list)

    def add(self, kind: str, seed: int) -> None:
        """Append what ``kind`` says; ``seed`` decides its details."""
        KINDS[kind](self, np.random.default_rng(seed))

    def program(self) -> Program:
        """The program so far, its loops closed and its cores halted."""
        target, text = machine(len(self.cores))
        code = [_finished(core) for core in self.cores]
        return Program(
            target,
            text,
            tuple(encode(c) for c in code),
            tuple(self.views),
            tuple(self.maps),
            tuple(self.kernels),
            tuple(self.params),
            inputs=(
                Argument("x", DType.u8, (SEGMENT_BYTES,), Segment.input, 0),
                Argument("n", DType.i64, (2,), Segment.arguments, 0),
            ),
            outputs=(Argument("y", DType.u8, (SEGMENT_BYTES,), Segment.output, 0),),
            scratch_bytes=SEGMENT_BYTES,
            extensions=("F",),
            tables=TABLES,
            debug=Debug(
                tuple(SourceRange(i, 0, len(c), "g", ("node",)) for i, c in enumerate(code))
            ),
        )  # fmt: skip

    # -- what the kinds append -------------------------------------------------------------------

    @property
    def core(self) -> _Core:
        """The core whose code grows."""
        return self.cores[self.current]

    def put(self, instruction: Instruction, rng: Rng) -> None:
        """Append; a command gets waits and an increment."""
        if isinstance(instruction, Command):
            instruction = self._ordered(instruction, rng)
        self.core.code.append(instruction)

    def _ordered(self, command: Command, rng: Rng) -> Command:
        waits = tuple(self._wait(rng) for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1]))))
        increment = int(rng.integers(2)) if rng.integers(3) else None
        if increment is not None:
            counter = Counter(self.current, command.engine, increment)
            self.core.made[counter] = self.core.made.get(counter, 0) + 1
        return replace(command, waits=tuple(w for w in waits if w != NO_WAIT), increment=increment)

    def _wait(self, rng: Rng) -> Wait:
        """Mostly for what an earlier command of some core makes."""
        core = self.core if rng.integers(4) else self.cores[int(rng.integers(len(self.cores)))]
        if not core.made or rng.integers(40) == 0:
            return Wait(Counter(self.current, Engine.ld0, 0), int(rng.integers(3)), 0)
        counter = list(core.made)[int(rng.integers(len(core.made)))]
        return Wait(counter, 0, int(rng.integers(0, core.made[counter] + 1)))

    def view(self, made: View, address: int, rng: Rng) -> int:
        """Index of a new view at ``address``; now and then registers decide a part of it."""
        made = replace(made, base=address)
        if rng.integers(6) == 0:
            made = replace(made, base_reg=_register(rng))
        if made.extents and rng.integers(60) == 0:
            where = int(rng.integers(len(made.extents)))
            registers = [0] * len(made.extents)
            registers[where] = _register(rng)
            made = replace(made, extent_regs=tuple(registers))
        if made.windows and rng.integers(6) == 0:
            first = replace(made.windows[0], origin_reg=_register(rng))
            made = replace(made, windows=(first, *made.windows[1:]))
        self.views.append(made)
        return len(self.views) - 1

    def some_view(self, rng: Rng, dtype: DType, rank: int, *, output: bool) -> int:
        """A view of an element type in SPM."""
        extents = extents_of(rng, rank, 5)
        region = random_region(rng, dtype, extents, output=output, windows=bool(rng.integers(2)))
        return self.view(region.view, region.address, rng)

    def map(self, rng: Rng) -> tuple[int, int, tuple[int, ...], bool]:
        """Index of a new tensor map, an SPM address, a corner, and whether it is for a load."""
        work = random_transfer(rng)
        made = work.map
        if rng.integers(3) == 0:
            made = replace(made, segment=Segment.scratch)
        self.maps.append(made)
        return len(self.maps) - 1, work.address, work.corner, work.is_load


def _register(rng: Rng) -> int:
    return int(rng.integers(1, REGISTERS))


def _finished(core: _Core) -> list[Instruction]:
    code, loops = list(core.code), list(core.loops)
    while loops:
        start = loops.pop()
        code[start] = replace(code[start], body=len(code) - start - 1)
    code.append(Halt())
    around = _innermost(code)
    for at, instruction in enumerate(code):
        if isinstance(instruction, Branch | Jump):
            code[at] = replace(instruction, offset=_reachable(code, around, at, instruction.offset))
        if isinstance(instruction, Break) and around[at] < 0:
            code[at] = Nop(queue=1)
    return code


def _innermost(code: Sequence[Instruction]) -> list[int]:
    around = [-1] * len(code)
    for at, instruction in enumerate(code):
        if isinstance(instruction, Loop):
            around[at + 1 : at + 1 + instruction.body] = [at] * instruction.body
    return around


def _reachable(code: Sequence[Instruction], around: list[int], at: int, offset: int) -> int:
    """The offset, or less of it, so that the branch stays in its loop body."""
    step = 1 if offset >= 0 else -1
    for distance in range(offset, 0, -step):
        if 0 <= at + distance < len(code) and around[at + distance] == around[at]:
            return distance
    return 1 if at + 1 < len(code) and around[at + 1] == around[at] else 0


# -- kinds ----------------------------------------------------------------------------------------


def _scalar(b: ProgramBuilder, rng: Rng) -> None:
    cls = SCALARS[int(rng.integers(len(SCALARS)))]
    imm = int(rng.integers(-3, 9)) if rng.integers(10) else int(rng.integers(-(1 << 62), 1 << 62))
    rd, ra, rb = _register(rng), int(rng.integers(REGISTERS)), int(rng.integers(REGISTERS))
    b.put(cls(rd, ra, rb if rng.integers(2) else 0, imm), rng)


def _loop(b: ProgramBuilder, rng: Rng) -> None:
    if len(b.core.loops) < MAX_LOOP_DEPTH:
        b.core.loops.append(len(b.core.code))
        from_register = rng.integers(4) == 0
        count = int(rng.integers(-1, 4)) if rng.integers(50) else (1 << 31) - 1
        b.put(Loop(_register(rng) if from_register else 0, count), rng)


def _end(b: ProgramBuilder, rng: Rng) -> None:
    if b.core.loops:
        start = b.core.loops.pop()
        b.core.code[start] = replace(b.core.code[start], body=len(b.core.code) - start - 1)


def _break(b: ProgramBuilder, rng: Rng) -> None:
    if b.core.loops:
        b.put(Break(_register(rng)), rng)


def _branch(b: ProgramBuilder, rng: Rng) -> None:
    offset = int(rng.integers(1, 6)) if rng.integers(8) else -int(rng.integers(1, 6))
    is_jump = rng.integers(4) == 0
    b.put(Jump(offset) if is_jump else Branch(_register(rng), offset), rng)


def _transfer(b: ProgramBuilder, rng: Rng) -> None:
    index, address, corner, is_load = b.map(rng)
    place = {"spm": address} | {f"i{d}": c for d, c in enumerate(corner)}
    if rng.integers(4) == 0:
        place["rc0"] = _register(rng)
    if rng.integers(8) == 0:
        place["rs"] = _register(rng)
    masks = (0, 0, 0, 1, (1 << len(b.cores)) - 1)
    load = {"queue": int(rng.integers(2)), "cores": masks[int(rng.integers(len(masks)))]}
    if rng.integers(4) == 0:
        number = int(rng.integers(3))
        b.put(LoadMap(number, index), rng)
        if rng.integers(2):
            part = int(rng.integers(len(MAP_PARTS)))
            dim = int(rng.integers(len(corner))) if part else 0
            register = int(rng.integers(REGISTERS))
            b.put(SetMap(number, dim, register, int(rng.integers(-2, 9)), part), rng)
        b.put(LoadMapped(map=number, **place, **load) if is_load
              else StoreMapped(map=number, **place), rng)  # fmt: skip
        return
    b.put(Load(map=index, **place, **load) if is_load else Store(map=index, **place), rng)


def _indexed(b: ProgramBuilder, rng: Rng) -> None:
    index, address, corner, is_load = b.map(rng)
    count = int(rng.integers(0, 5))
    at = int(rng.integers(0, 1000)) * 4
    listed = b.view(View(DType.i32, Space.spm, 0, (count,), (4,)), at, rng)
    box = b.maps[index].box
    step = int(rng.integers(0, 64)) if rng.integers(2) else int(np.prod(box)) * 8
    common = {"map": index, "index": listed, "spm": address, "step": step, "i0": corner[0]}
    b.put(Gather(**common, queue=int(rng.integers(2))) if is_load else Scatter(**common), rng)


def _move(b: ProgramBuilder, rng: Rng) -> None:
    dtype = list(DType)[int(rng.integers(len(DType)))]
    extents = extents_of(rng, int(rng.integers(1, 5)), 5)
    to, source = (
        random_region(rng, dtype, extents, output=output, windows=bool(rng.integers(3) == 0))
        for output in (True, False)
    )
    target = b.view(to.view, to.address, rng)
    queue = int(rng.integers(2))
    if rng.integers(2):
        b.put(Copy(target, b.view(source.view, source.address, rng), queue), rng)
    else:
        value = int(rng.integers(-(1 << 32), 1 << 32))
        b.put(Fill(target, int(rng.integers(REGISTERS)), value, queue), rng)


def _mma(b: ProgramBuilder, rng: Rng) -> None:
    work = random_mma(rng)
    acc, a, w = (b.view(r.view, r.address, rng) for r in (work.acc, work.a, work.w))
    rk = _register(rng) if rng.integers(4) == 0 else 0
    b.put(Mma(acc, a, w, int(work.accumulate), rk), rng)


def _vexec(b: ProgramBuilder, rng: Rng) -> None:
    work = random_vexec(rng)
    b.kernels.append(work.kernel)
    registers = tuple(_register(rng) if rng.integers(6) == 0 else 0 for _ in range(8))
    b.params.append(Params(work.words, registers))
    names = {f"in{i}": b.view(r.view, r.address, rng) for i, r in enumerate(work.inputs)}
    names |= {f"out{i}": b.view(r.view, r.address, rng) for i, r in enumerate(work.outputs)}
    b.put(Vexec(len(b.kernels) - 1, len(b.params) - 1, **names), rng)


def _vpart(b: ProgramBuilder, rng: Rng) -> None:
    """Two parts of one reduction over rows of floats or integers, through a state."""
    is_float = bool(rng.integers(2))
    dtype, letter = (DType.f32, "f") if is_float else (DType.i32, "i")
    reducer = str(rng.choice(["sum", "prod", "rmin", "rmax"])) + letter
    b.kernels.append(Kernel((Stream(letter),), (Op(reducer, (0,)),), 1, (Output(16, True),)))
    rows, lengths = int(rng.integers(1, 4)), rng.integers(1, 20, 2).tolist()
    state = random_region(rng, dtype, (1, 1, 1, rows, 1, 16), output=True, windows=False)
    out = random_region(rng, dtype, (1, 1, 1, rows, 1, 1, 1), output=True, windows=False)
    held, result = (b.view(r.view, r.address, rng) for r in (state, out))
    start = 0
    for length in lengths:
        part = random_region(rng, dtype, (1, 1, 1, rows, 1, 1, length), windows=False)
        source = b.view(part.view, part.address, rng)
        kernel = len(b.kernels) - 1
        b.put(VexecPart(kernel, in0=source, out0=result, state=held, start=start,
                        total=sum(lengths)), rng)  # fmt: skip
        start += length


def _rows(b: ProgramBuilder, rng: Rng, extents: tuple[int, ...], *, output: bool) -> int:
    """A view of rows for scan, top k and sort."""
    dtypes = [d for d in DType if output or d is not DType.i64]
    dtype = dtypes[int(rng.integers(len(dtypes)))]
    region = random_region(rng, dtype, extents, output=output, windows=bool(rng.integers(4) == 0))
    return b.view(region.view, region.address, rng)


def _sorting(b: ProgramBuilder, rng: Rng) -> None:
    rows, length = extents_of(rng, 4, 3), int(rng.integers(0, 20))
    source = _rows(b, rng, (*rows, length), output=False)
    if rng.integers(2):
        out = _rows(b, rng, (*rows, length), output=True)
        first = _rows(b, rng, (*rows, 1), output=False) if rng.integers(2) else NO_INDEX
        operation = int(rng.integers(len(SCAN_OPERATIONS)))
        b.put(Scan(source, out, first, operation, int(rng.integers(2))), rng)
        return
    is_sort = bool(rng.integers(2))
    k = length if is_sort else int(rng.integers(0, length + 1))
    values, indices = (_rows(b, rng, (*rows, k), output=True) for _ in range(2))
    kept = int(rng.integers(3))
    cls = Sort if is_sort else TopK
    b.put(cls(source, values if kept != 1 else NO_INDEX, indices if kept != 2 else NO_INDEX,
              int(rng.integers(2)), int(rng.integers(2))), rng)  # fmt: skip


def _word(b: ProgramBuilder, rng: Rng) -> None:
    memory = int(rng.integers(len(MEMORIES)))
    dtype = int(rng.integers(len(WORD_TYPES)))
    address = int(rng.integers(0, 4000)) if MEMORIES[memory] != "arguments" else 0
    base = _register(rng) if rng.integers(8) == 0 else 0
    if rng.integers(2):
        b.put(LoadWord(_register(rng), base, address, memory, dtype), rng)
    else:
        b.put(StoreWord(_register(rng), base, address, MEMORIES.index("spm"), dtype), rng)


def _nop(b: ProgramBuilder, rng: Rng) -> None:
    b.put(Nop(queue=int(rng.integers(6))), rng)


def _fence(b: ProgramBuilder, rng: Rng) -> None:
    b.put(Fence(), rng)


def _stop(b: ProgramBuilder, rng: Rng) -> None:
    if rng.integers(10) == 0:
        b.put(Trap(int(rng.integers(9))) if rng.integers(2) else Halt(), rng)


def _core(b: ProgramBuilder, rng: Rng) -> None:
    """Go on with another core, or with a new one."""
    if len(b.cores) < 3 and rng.integers(2):
        b.cores.append(_Core())
    b.current = int(rng.integers(len(b.cores)))


KINDS: dict[str, Callable[[ProgramBuilder, Rng], None]] = {
    "scalar": _scalar,
    "loop": _loop,
    "end": _end,
    "break": _break,
    "branch": _branch,
    "transfer": _transfer,
    "indexed": _indexed,
    "move": _move,
    "mma": _mma,
    "vexec": _vexec,
    "vpart": _vpart,
    "sorting": _sorting,
    "word": _word,
    "nop": _nop,
    "fence": _fence,
    "stop": _stop,
    "core": _core,
}
FREQUENT = ("scalar", "transfer", "vexec", "mma", "transfer", "vexec")
CHOICE = (*KINDS, *FREQUENT)
Steps = list[tuple[str, int]]
MAX_STEPS = 24


def random_steps(rng: Rng) -> Steps:
    """Steps of one random program."""
    count = int(rng.integers(1, MAX_STEPS + 1))
    allowed = [k for k in CHOICE if k != "word" or rng.integers(3) == 0]
    return [(str(rng.choice(allowed)), int(rng.integers(1 << 16))) for _ in range(count)]


def built(steps: Steps) -> Program:
    """The program of some steps."""
    builder = ProgramBuilder()
    for kind, seed in steps:
        builder.add(kind, seed)
    return builder.program()
