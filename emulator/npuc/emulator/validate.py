"""What the bits of a program alone can prove wrong, refused once before it runs.

Flow (loops, branches), tables (indices, ranks, element types), static bounds and extensions.
Bounds that registers decide are the business of ``resolve``.
"""

from dataclasses import dataclass

import numpy as np

from npuc.emulator.decode import CoreCode, DecodedProgram, decode_columns
from npuc.emulator.footprint import static_range
from npuc.emulator.limits import MAX_POINTS, points_of
from npuc.isa.descriptors import Kernel, Segment, Space, TensorMap, View
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.dtypes import DType
from npuc.isa.errors import (
    BinaryError,
    BoundsError,
    CapacityError,
    ExecutionError,
    UnsupportedError,
)
from npuc.isa.extensions import needed_extensions
from npuc.isa.instructions import NO_INDEX, Engine
from npuc.isa.instructions.dma import Copy, Fill, Gather, Load, Scatter, Store
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Trap
from npuc.isa.instructions.maps import LoadMap, LoadMapped
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.ordered import Scan, Sort, TopK
from npuc.isa.instructions.vector import Vexec, VexecPart
from npuc.isa.instructions.word import MEMORIES, StoreWord
from npuc.isa.numerics.partial import RESUMABLE
from npuc.isa.program import Program
from npuc.isa.target import EXTENSIONS, Target

MMA_OPERANDS = ("acc", "a", "w")
VEXEC_INPUTS = ("in0", "in1", "in2", "in3", "in4", "in5")
VEXEC_OUTPUTS = ("out0", "out1")
PART_INPUTS = VEXEC_INPUTS[:4]
SELECTION_OUTPUTS = ("values", "indices")
_MMA_RANKS = {"acc": 4, "a": 6, "w": 4}
_VEXEC_RANK = 7
READ_ONLY = (Segment.constant.name, Segment.arguments.name)
_PARALLEL = 4
_ORDERED_RANK = 5
_STATE_RANK = 6
_STATE_TYPES = (DType.f32, DType.i32)


def decode(program: Program, target: Target | None = None) -> DecodedProgram:
    """The program as columns for ``target`` (its own where None), every static check passed.

    Raises: BinaryError naming instruction, group and ONNX node.
    """
    machine = target or program.target
    if len(program.code) > machine.cores:
        raise CapacityError(
            "the program needs more cores than the machine has",
            machine.name,
            str(len(program.code)),
            str(machine.cores),
            "choose another target",
        )
    cores = tuple(decode_columns(program, core) for core in range(len(program.code)))
    decoded = DecodedProgram(program, machine, cores)
    _check_extensions(decoded)
    for index, tensor_map in enumerate(program.maps):
        _check_map(program, index, tensor_map)
    for code in cores:
        _check_flow(decoded, code)
        _check_waits(decoded, code)
        _check_commands(decoded, code)
    return decoded


@dataclass(frozen=True)
class _Spot:
    """One instruction that is being checked."""

    decoded: DecodedProgram
    code: CoreCode
    at: int

    def column(self, name: str) -> int:
        """An operand field of the instruction."""
        return int(self.code.columns[name][self.at])

    def refuse(self, what: str, given: object = "", allowed: object = "") -> BinaryError:
        """The error that tells what is wrong here."""
        return BinaryError(*self._told(what, given, allowed))

    def outside(self, what: str, given: str, allowed: str) -> BoundsError:
        """The error for bytes outside a memory."""
        return BoundsError(*self._told(what, given, allowed))

    def unsupported(self, what: str, given: str, allowed: str) -> UnsupportedError:
        """The error for what no machine of this kind computes."""
        return UnsupportedError(*self._told(what, given, allowed))

    def _told(self, what: str, given: object, allowed: object) -> tuple[str, str, str, str, str]:
        where = str(self.decoded.site(self.code.core, self.at))
        mend = "compile the model again, or mend the assembly text"
        return what, where, str(given), str(allowed), mend


def _check_extensions(decoded: DecodedProgram) -> None:
    lacking = dict.fromkeys(decoded.program.extensions, "no instruction")
    for letter, (core, at) in needed_extensions(decoded.program).items():
        lacking[letter] = str(decoded.site(core, at))
    has = ", ".join(decoded.target.extensions) or "none"
    for letter, first in lacking.items():
        if letter not in decoded.target.extensions:
            raise UnsupportedError(
                f"the program needs extension {letter} ({EXTENSIONS.get(letter, 'unknown')})",
                f"first used by {first}",
                letter,
                f"target {decoded.target.name} has: {has}",
                "compile for this target, or run on one that has the extension",
            )


def _check_flow(decoded: DecodedProgram, code: CoreCode) -> None:
    if len(code) == 0:
        return
    last = len(code) - 1
    if code.loop_of[last] >= 0 or code.opcode[last] not in (Halt.opcode, Jump.opcode, Trap.opcode):
        raise _Spot(decoded, code, last).refuse(
            "the code runs off its end", allowed="halt at the end"
        )
    for at in np.flatnonzero((code.opcode == Break.opcode) & (code.loop_of < 0)).tolist():
        raise _Spot(decoded, code, at).refuse("a break stands outside any loop")
    for at in np.flatnonzero(np.isin(code.opcode, (Branch.opcode, Jump.opcode))).tolist():
        goal = at + int(code.columns["offset"][at])
        if not 0 <= goal < len(code) or code.loop_of[goal] != code.loop_of[at]:
            raise _Spot(decoded, code, at).refuse(
                "a branch enters or leaves a loop body",
                f"to instruction {goal}",
                "the same loop body",
            )


def _check_waits(decoded: DecodedProgram, code: CoreCode) -> None:
    counter = code.wait_counter
    bad = (counter >= 0) & (
        (counter >> 8 >= len(decoded.cores)) | ((counter >> 5 & 7) >= len(Engine))
    )
    if bad.any():
        at = int(np.argmax(bad.any(axis=1)))
        raise _Spot(decoded, code, at).refuse(
            "a wait names a core or engine that does not exist",
            allowed=f"cores 0 to {len(decoded.cores) - 1}",
        )


def _check_commands(decoded: DecodedProgram, code: CoreCode) -> None:
    checks = {
        Load.opcode: _check_transfer,
        Store.opcode: _check_transfer,
        LoadMapped.opcode: _check_receivers,
        Gather.opcode: _check_indexed,
        Scatter.opcode: _check_indexed,
        Copy.opcode: _check_copy,
        Fill.opcode: _check_fill,
        Mma.opcode: _check_mma,
        Vexec.opcode: _check_vexec,
        VexecPart.opcode: _check_vpart,
        Scan.opcode: _check_scan,
        TopK.opcode: _check_selection,
        Sort.opcode: _check_selection,
        StoreWord.opcode: _check_store_word,
    }
    for at in np.flatnonzero(code.opcode == LoadMap.opcode).tolist():
        _check_map_index(_Spot(decoded, code, at))
    for at in np.flatnonzero(code.is_command).tolist():
        check = checks.get(int(code.opcode[at]))
        if check is not None:
            check(_Spot(decoded, code, at))


def map_range(tensor_map: TensorMap) -> tuple[int, int]:
    """First byte and byte after the last of a tensor in its segment; 0, 0 where it is empty."""
    if 0 in tensor_map.extents:
        return 0, 0
    spans = [(e - 1) * s for e, s in zip(tensor_map.extents, tensor_map.dram_strides, strict=True)]
    low = tensor_map.base + sum(s for s in spans if s < 0)
    return low, tensor_map.base + sum(s for s in spans if s > 0) + tensor_map.dtype.bytes


def _check_map(program: Program, index: int, tensor_map: TensorMap) -> None:
    if points_of(tensor_map.box) > MAX_POINTS:
        raise CapacityError(
            "a box of a tensor map has too many elements",
            f"map {index}",
            str(tensor_map.box),
            f"at most {MAX_POINTS}",
            "compile the model again, or mend the assembly text",
        )
    low, high = map_range(tensor_map)
    size = program.segment_bytes(tensor_map.segment)
    if low < 0 or high > size:
        raise BoundsError(
            "a tensor map leaves its segment",
            f"map {index}",
            f"bytes {low} to {high}",
            f"0 to {size} of {tensor_map.segment.name}",
            "compile the model again, or mend the assembly text",
        )


def _check_transfer(spot: _Spot) -> None:
    _check_map_index(spot)
    _check_receivers(spot)
    segment = spot.decoded.program.maps[spot.column("map")].segment
    if spot.code.opcode[spot.at] in (Store.opcode, Scatter.opcode) and segment is Segment.constant:
        raise spot.refuse(
            "a store writes to the constants", segment.name, "output, scratch, state, input"
        )


def _check_map_index(spot: _Spot) -> None:
    index, maps = spot.column("map"), spot.decoded.program.maps
    if index >= len(maps):
        raise spot.refuse("a command names no map", index, f"less than {len(maps)}")


def _check_receivers(spot: _Spot) -> None:
    is_load = spot.code.opcode[spot.at] in (Load.opcode, LoadMapped.opcode)
    if is_load and spot.column("cores") >> len(spot.decoded.cores):
        raise spot.refuse(
            "a load goes to a core that the program does not use",
            f"mask {spot.column('cores'):#x}",
            f"cores 0 to {len(spot.decoded.cores) - 1}",
        )


def _check_indexed(spot: _Spot) -> None:
    _check_transfer(spot)
    view = _spm_view(spot, "index")
    if len(view.extents) != 1 or view.dtype is not DType.i32:
        raise spot.refuse("the index list is no vector of i32", view, "rank 1, i32")


def _check_copy(spot: _Spot) -> None:
    to, source = _spm_view(spot, "to"), _spm_view(spot, "source")
    if to.dtype is not source.dtype or len(to.extents) != len(source.extents):
        raise spot.refuse(
            "a copy's views differ in element type or rank", f"{to}, {source}", "equal ones"
        )


def _check_fill(spot: _Spot) -> None:
    _spm_view(spot, "to")


def _spm_view(spot: _Spot, name: str) -> View:
    """Operand ``name``, which must be a view in SPM."""
    view = _operand_view(spot, name)
    if view is None or view.space is not Space.spm:
        raise spot.refuse(f"operand {name} is no view in SPM", view, "a view in spm")
    return view


def _check_store_word(spot: _Spot) -> None:
    memory = MEMORIES[spot.column("memory")]
    if memory in READ_ONLY:
        raise spot.refuse("a word store writes to what is only read", memory, "spm, other segments")


def _operand_view(spot: _Spot, name: str) -> View | None:
    """The view that operand ``name`` names, checked; None for NO_INDEX."""
    index, views = spot.column(name), spot.decoded.program.views
    if index == NO_INDEX:
        return None
    if index >= len(views):
        raise spot.refuse(f"operand {name} names no view", index, f"less than {len(views)}")
    _check_view(spot, views[index])
    return views[index]


def _check_view(spot: _Spot, view: View) -> None:
    if view.space is Space.acc:
        if view.dtype not in (DType.i32, DType.f32):
            raise spot.refuse("ACC holds 32-bit words", view.dtype.name, "i32, f32")
        if any(s % 4 for s in view.strides) or (view.base % 4 and view.base_reg == 0):
            raise spot.refuse(
                "an ACC view is not aligned to its words",
                f"base {view.base}, strides {view.strides}",
                "multiples of 4",
            )
    has_registers = bool(view.registers) or bool(view.windows)
    if has_registers or 0 in view.extents:
        return
    low, high = static_range(view)
    size = space_bytes(spot.decoded.target, view.space)
    if low < 0 or high > size:
        raise spot.outside(
            f"a view leaves {view.space.name}", f"bytes {low} to {high}", f"0 to {size}"
        )


def space_bytes(target: Target, space: Space) -> int:
    """Capacity of a memory that views lie in."""
    return target.acc.capacity_bytes if space is Space.acc else target.spm.capacity_bytes


def _check_mma(spot: _Spot) -> None:
    views = {}
    for name in MMA_OPERANDS:
        view = _operand_view(spot, name)
        space = Space.acc if name == "acc" else Space.spm
        if view is None or len(view.extents) != _MMA_RANKS[name] or view.space is not space:
            raise spot.refuse(
                f"operand {name} is of the wrong rank or space",
                view,
                f"rank {_MMA_RANKS[name]} in {space.name}",
            )
        views[name] = view
    a, w, acc = views["a"].dtype, views["w"].dtype, views["acc"].dtype
    wanted = DType.f32 if a.is_float else DType.i32
    if a is not w or acc is not wanted or not (a is DType.i8 or a.is_float):
        raise spot.unsupported(
            "element types that mma does not know",
            f"a {a.name}, w {w.name}, acc {acc.name}",
            "i8, i8, i32; or equal floats and f32",
        )


def _check_vexec(spot: _Spot) -> None:
    kernel = _check_kernel(spot)
    _check_streams(spot, VEXEC_INPUTS[: len(kernel.inputs)], VEXEC_INPUTS)
    _check_streams(spot, VEXEC_OUTPUTS[: len(kernel.outputs)], VEXEC_OUTPUTS)
    _check_epilogue_outputs(spot, kernel)


def _check_kernel(spot: _Spot) -> Kernel:
    """The kernel of a vector command, its parameters checked."""
    program = spot.decoded.program
    index, params = spot.column("kernel"), spot.column("params")
    if index >= len(program.kernels):
        raise spot.refuse("a command names no kernel", index, f"less than {len(program.kernels)}")
    if params != NO_INDEX and params >= len(program.params):
        raise spot.refuse(
            "a command names no parameter record", params, f"less than {len(program.params)}"
        )
    kernel = program.kernels[index]
    used = [v for op in kernel.ops for v in op.operands] + [o.value for o in kernel.outputs]
    if params == NO_INDEX and any(FIRST_PARAM <= v < FIRST_RESULT for v in used):
        raise spot.refuse("the kernel reads parameters and the command has none")
    return kernel


def _check_vpart(spot: _Spot) -> None:
    kernel = _check_kernel(spot)
    if len(kernel.inputs) > len(PART_INPUTS) or len(kernel.outputs) > 1:
        raise spot.refuse(
            "a kernel has more streams than vpart",
            f"{len(kernel.inputs)} inputs, {len(kernel.outputs)} outputs",
            f"{len(PART_INPUTS)} and 1",
        )
    names = [kernel.ops[i].name for i in kernel.reductions]
    for name in names or ["none"]:
        if name not in RESUMABLE:
            raise spot.refuse("a reduction cannot be cut", name, ", ".join(RESUMABLE))
    _check_streams(spot, PART_INPUTS[: len(kernel.inputs)], PART_INPUTS)
    _check_streams(spot, VEXEC_OUTPUTS[:1], VEXEC_OUTPUTS[:1])
    _check_epilogue_outputs(spot, kernel)
    state = _operand_view(spot, "state")
    if state is None or len(state.extents) != _STATE_RANK or state.dtype not in _STATE_TYPES:
        raise spot.refuse(
            "operand state is no view of words", state, f"rank {_STATE_RANK}, f32 or i32"
        )


def _check_epilogue_outputs(spot: _Spot, kernel: Kernel) -> None:
    for name, output in zip(VEXEC_OUTPUTS, kernel.outputs, strict=False):
        view = _operand_view(spot, name)
        if view is not None and output.epilogue and any(e > 1 for e in view.extents[_PARALLEL:]):
            raise spot.refuse(
                "an epilogue output has reduction extents",
                view.extents,
                "1 in the last three dimensions",
            )


def _check_scan(spot: _Spot) -> None:
    _ordered_views(spot, ("source", "out"), ("first",))


def _check_selection(spot: _Spot) -> None:
    _ordered_views(spot, ("source",), SELECTION_OUTPUTS)
    if all(spot.column(name) == NO_INDEX for name in SELECTION_OUTPUTS):
        raise spot.refuse("the command writes nothing", allowed="values, indices or both")


def _ordered_views(spot: _Spot, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    for name in (*needed, *optional):
        view = _operand_view(spot, name)
        if view is None and name in needed:
            raise spot.refuse(f"operand {name} is missing")
        if view is not None and len(view.extents) != _ORDERED_RANK:
            raise spot.refuse(
                f"operand {name} is of the wrong rank", len(view.extents), _ORDERED_RANK
            )


def _check_streams(spot: _Spot, wanted: tuple[str, ...], family: tuple[str, ...]) -> None:
    for name in family:
        view = _operand_view(spot, name)
        if (view is not None) != (name in wanted):
            raise spot.refuse(
                "streams and kernel differ in number",
                f"{name} is {'absent' if view is None else 'present'}",
                ", ".join(wanted) or "none",
            )
        if view is not None and len(view.extents) != _VEXEC_RANK:
            raise spot.refuse(
                f"operand {name} is of the wrong rank", len(view.extents), _VEXEC_RANK
            )


def execution_error(
    decoded: DecodedProgram, core: int, at: int, what: str, **parts: str
) -> ExecutionError:
    """A run-time error at an instruction, with its site in words."""
    return ExecutionError(what, str(decoded.site(core, at)), **parts)
