"""The taxonomy of strict mode: for each kind a program in assembly that has exactly this fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from npuc.emulator.limits import Limits
from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import KINDS, Finding, check
from npuc.isa.assembler import assemble
from npuc.isa.container import save
from npuc.isa.errors import ExecutionError
from npuc.isa.program import Program
from tests.command_line import npuc

HEAD = """
.target "{target}"
.input "x" i8 [8] at 0
.output "y" i8 [8] at 0
.view v0 = i8 spm 0 [1:0, 1:0, 1:0, 8:1, 1:0, 1:0, 1:0]
.view v1 = i8 spm 64 [1:0, 1:0, 1:0, 8:1, 1:0, 1:0, 1:0]
.view wide = i32 spm 64 [1:0, 1:0, 1:0, 8:2, 1:0, 1:0, 1:0]
.view words = i16 spm 0 [1:0, 1:0, 2:4, 1:0, 1:0, 2:2]
.view weights = i16 spm 16 [1:0, 1:0, 2:4, 2:2]
.view sums = i32 acc 0 [1:0, 1:0, 2:8, 2:4]
.map m0 = input i8 0 [8:1] box [8:1]
.map m1 = output i8 0 [8:1] box [8:1]
.kernel k0 (i) {{
  store body in0
}}
.source "layer" core 0 0 3 nodes "Conv_7"
"""


def program(*code: str, others: tuple[tuple[str, ...], ...] = (), target: str = "tiny") -> Program:
    lines = [HEAD.format(target=target)]
    for core, body in enumerate((code, *others)):
        lines += [f".core {core} {{", *body, "halt", "}"]
    return assemble("\n".join(lines) + "\n", "witness.s")


LOAD = "ld m0, ld0 inc 0"
STORED = "st m1 wait ld0[0] >= 1 inc 0"
CLEAN = (LOAD, STORED)
WITNESSES: dict[str, Program] = {
    "undefined": program(LOAD, "ldm 3, ld1", STORED),
    "uninitialised": program(LOAD, "vexec k0, in0=v1, out0=v1 inc 0", STORED),
    "out of bounds": program("ld m0, ld1, spm=65532", *CLEAN),
    "race": program(LOAD, "st m1"),
    "deadlock": program(
        "ld m0, ld0 wait core1.st[0] >= 1 inc 0",
        STORED,
        others=(("st m1 wait core0.st[0] >= 1 inc 0",),),
        target="server",
    ),
    "capacity": program("loop 2147483647 {", "add r1, r1, 1", "}", *CLEAN),
    "unsupported": program(*CLEAN, "mma sums, words, weights"),
    "unpredictable": program(
        LOAD, "vexec k0, in0=v0, out0=wide wait ld0[0] >= 1", STORED
    ),
}  # fmt: skip
LIMITS = Limits(instructions=10_000)


def findings(kind: str) -> tuple[Finding, ...]:
    return check(WITNESSES[kind], limits=LIMITS)


def test_there_is_a_witness_of_each_kind_and_a_program_without_faults() -> None:
    assert set(WITNESSES) == set(KINDS)
    assert check(program(*CLEAN)) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_witness_has_exactly_its_fault(kind: str) -> None:
    (finding,) = findings(kind)
    assert finding.kind == kind
    assert str(finding).startswith(f"{kind}: ")
    assert "core 0, instruction " in finding.site and "Conv_7" in finding.site


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("undefined", ["a map register is empty: 3", "ldm 3, ld1", "one that mld filled"]),
        ("uninitialised", ["in0 reads bytes that nobody wrote", "8 of spm of core 0, first 64"]),
        ("out of bounds", ["leaves SPM: [65532, 65540]", "allowed: bytes 0 to 65536"]),
        ("race", ["reads what another engine wrote", "instruction 1: st m1", "with core 0",
                  "instruction 0: ld m0", "8 of spm of core 0, first 0",
                  "until ld0 of core 0 has completed its 1. command"]),
        ("deadlock", ["core 0, instruction 0", "core1.st[0] >= 1 and has 0",
                      "core 1, instruction 0", "core0.st[0] >= 1 and has 0"]),
        ("capacity", ["too many instructions", "in the loop of instructions 0 to 1",
                      "loop 2147483647", "allowed: 10,000"]),
        ("unsupported", ["element types that mma does not know: a i16, w i16, acc i32"]),
        ("unpredictable", ["elements of out0 share bytes", "18 of spm of core 0, first 64"]),
    ],
)  # fmt: skip
def test_the_message_names_instructions_bytes_and_what_is_missing(
    kind: str, words: list[str]
) -> None:
    (finding,) = findings(kind)
    for word in words:
        assert word in str(finding), str(finding)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_shows_the_fault_and_exits_with_1(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "witness.npu"
    save(WITNESSES[kind], path)
    outcome = npuc("run", path, "--strict", "--instructions", LIMITS.instructions)
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out.count(f"{kind}: ") == 1, outcome.out


def test_a_strict_run_of_the_machine_is_refused() -> None:
    x = {"x": np.zeros(8, np.int8)}
    run(program(*CLEAN), x, RunOptions(strict=True))
    with pytest.raises(ExecutionError, match="strict mode found 1 faults") as caught:
        run(WITNESSES["race"], x, RunOptions(strict=True))
    assert "race: reads what another engine wrote" in caught.value.given


@pytest.mark.parametrize("page", ["guides/strict-mode.md", "isa/order.md"])
def test_guide_and_manual_describe_every_kind(page: str) -> None:
    guide = (Path(__file__).parents[3] / "docs" / page).read_text(encoding="utf-8")
    for kind, meaning in KINDS.items():
        assert f"| {kind} | {meaning} |" in guide
