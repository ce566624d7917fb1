"""Hostile sizes: refused with a clear message before any memory is taken."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from npuc.emulator.limits import Limits
from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.strict import check
from npuc.emulator.validate import decode
from npuc.isa.assembler import assemble
from npuc.isa.errors import BinaryError, CapacityError
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.order import Nop
from npuc.isa.program import Program
from npuc.runtime.random_inputs import random_program_inputs
from tests.emulator.programs import build, tiled_product

MIB = 1 << 20
HOST_BYTES = 24 * MIB  # what a refused program may take
HEAD = (
    '.target "tiny"\n.input "x" i8 [8] at 0\n.output "y" i8 [{output}] at 0\n.scratch {scratch}\n'
)
ONES = "1:0, 1:0, 1:0, 1:0, 1:0, 1:0"
KERNEL = ".kernel k0 (i) {\n  store body in0\n}\n"
SUM = ".kernel k0 (i) {\n  %0 = sumi in0\n  epilogue:\n  store out %0\n}\n"


def program(tables: str, code: str, *, output: int = 8, scratch: int = 0) -> Program:
    head = HEAD.format(output=output, scratch=scratch)
    return assemble(f"{head}{tables}\n.core 0 {{\n{code}\nhalt\n}}\n", "hostile.s")


def view(name: str, dims: str, dtype: str = "i8") -> str:
    return f".view {name} = {dtype} spm 0 [{dims}]\n"


HUGE = 4294967295
HOSTILE = {
    "scratch": program("", "", scratch=1 << 40),
    "output": program("", "", output=1 << 40),
    "broadcast points": program(
        view("v0", ", ".join([f"{HUGE}:0"] * 7)) + KERNEL, "vexec k0, in0=v0, out0=v0"
    ),
    "reduction": program(
        view("v0", f"1:0, 1:0, 1:0, 1:0, 1:0, 1024:0, {1 << 20}:0") + view("v1", ONES + ", 1:0")
        + ".kernel k0 (i) {\n  %0 = sumi in0\n  epilogue:\n  store epilogue %0\n}\n",
        "vexec k0, in0=v0, out0=v1",
    ),
    "product": program(
        view("a", "1:0, 1:0, 32768:0, 1:0, 1:0, 32768:0") + view("w", "1:0, 1:0, 32768:0, 1:0")
        + ".view acc = i32 acc 0 [1:0, 1:0, 32768:0, 1:0]\n",
        "mma acc, a, w",
    ),
    "box": program(".map m0 = input i8 0 [8:1] box [1073741824:0]\n", "ld m0, ld0"),
    "boxes": program(
        f".map m0 = input i8 0 [8:1, 1:0] box [{HUGE}:0, {HUGE}:0]\n", "ld m0, ld0"
    ),
    "empty box": program(f".map m0 = input i8 0 [8:1, 1:0] box [0:0, {HUGE}:0]\n", "ld m0, ld0"),
    "empty box of a list": program(
        ".map m0 = input i8 0 [8:1, 1:0] box [0:0, 2147483647:0]\n.view list = i32 spm 0 [2:4]\n",
        "gather m0, list, ld0",
    ),
    "empty view": program(view("v0", "0:0, 2147483647:0"), "fill v0, 1, ld0"),
    "fill": program(view("v0", "1073741824:0"), "fill v0, 1, ld0"),
    "window": program(
        ".view v0 = i8 spm 65000 [4096:1, 1048576:0] window 0 < 1 (1, 0)\n", "fill v0, 1, ld0"
    ),
    "coupled window": program(
        ".view v0 = i8 spm 65000 [32768:1, 32768:0] window 0 < 1 (1, 1)\n", "fill v0, 1, ld0"
    ),
    "commands": program("", "loop 2147483647 {\nnop ld0\n}"),
    "instructions": program("", "loop 2147483647 {\nloop 2147483647 {\nadd r1, r1, 1\n}\n}"),
}  # fmt: skip
LIMITS = Limits(instructions=100_000, commands=10_000)


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", ["fast", "plain"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_size_is_refused_before_memory_is_taken(name: str, path: str) -> None:
    def refused() -> None:
        with pytest.raises(CapacityError) as caught:
            run_on_anything(HOSTILE[name], path)
        assert caught.value.given and caught.value.allowed

    assert peak_bytes(refused) < HOST_BYTES


def run_on_anything(made: Program, path: str) -> None:
    load(made, RunOptions(path, limits=LIMITS)).run(random_program_inputs(made))


@pytest.mark.parametrize("name", HOSTILE)
def test_strict_mode_takes_no_memory_for_hostile_sizes(name: str) -> None:
    def checked() -> None:
        kinds = {finding.kind for finding in check(HOSTILE[name], limits=LIMITS)}
        assert kinds <= {"capacity", "uninitialised"} and kinds

    assert peak_bytes(checked) < HOST_BYTES


def test_work_beyond_the_limit_names_the_instruction_with_most_of_it() -> None:
    made, inputs, _ = tiled_product()
    points = 12 * 20 * 16  # of the products; transfers and vectors have fewer
    with pytest.raises(CapacityError, match="more work than a run may do") as caught:
        run(made, inputs, RunOptions(limits=Limits(points=points)))
    assert "mma" in caught.value.where and "Gemm_0" in caught.value.where
    run(made, inputs, RunOptions(limits=Limits(points=3 * points)))


def test_memories_count_once_and_arguments_twice() -> None:
    made, inputs, _ = tiled_product()
    needed = (65536 + 8192) + 2 * (12 * 20 + 12 * 16)
    run(made, inputs, RunOptions(limits=Limits(memory_bytes=needed)))
    with pytest.raises(CapacityError, match="more memory than a run may use") as caught:
        run(made, inputs, RunOptions(limits=Limits(memory_bytes=needed - 1)))
    assert f"{needed:,} bytes: SPM 65,536, ACC 8,192" in caught.value.given


def test_strict_notes_count_as_memory() -> None:
    made, _, _ = tiled_product()
    (finding,) = check(made, limits=Limits(memory_bytes=75_000))
    assert finding.kind == "capacity" and "strict mode needs more memory" in finding.what


def test_loops_nested_by_the_thousand_are_refused_at_once() -> None:
    count = 20_000
    code = [Loop(count=1, body=count - at) for at in range(count)]
    with pytest.raises(BinaryError, match="loops nest too deep") as caught:
        decode(build([*code, Nop(), Halt()]))
    assert caught.value.where.startswith("core 0, instruction 8: loop 1")
