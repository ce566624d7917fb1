"""Pages that show code and commands, executed: what a page claims is what happens.

A page is read from the top. A block ```` ```python file=NAME ```` (or any language) is written to
that file; a block ```` ```python ```` is executed; in a block ```` ```console ```` each line
``$ npuc ...`` is run and its output compared with the lines below it. There, ``...`` alone on a
line stands for any lines, and within a line for any text. Other blocks are left alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from tests.command_line import npuc

REPOSITORY = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^```(\w*)[ ]*(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: language, the rest of the fence, its lines, the first line's number."""

    language: str
    info: str
    lines: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class Step:
    """One command of a transcript and what it should print."""

    command: str
    expected: tuple[str, ...]
    number: int


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a Markdown page, in order."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if fence := _FENCE.match(line):
            body = takewhile(lambda numbered: numbered[1] != "```", lines)
            content = tuple(text for _, text in body)
            yield Block(fence[1], fence[2], content, number + 1)


def steps_of(block: Block) -> Iterator[Step]:
    """The commands of a ``console`` block with their output."""
    starts = [i for i, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        command = block.lines[start][2:]
        expected = list(block.lines[start + 1 : end])
        while command.endswith("\\"):
            command = command[:-1] + expected.pop(0).strip().removeprefix("> ")
        while expected and not expected[-1]:
            expected.pop()
        yield Step(command, tuple(expected), block.number + start)


def execute(page: Path) -> int:
    """Execute the page in the current folder; how many things it did. Fails at the first lie."""
    names: dict[str, object] = {"__name__": page.stem}
    done = 0
    for block in blocks_of(page):
        if block.info.startswith("file="):
            Path(block.info.removeprefix("file=")).write_text("\n".join(block.lines) + "\n")
        elif block.language == "python":
            source = "\n" * (block.number - 1) + "\n".join(block.lines)
            exec(compile(source, page, "exec"), names)
        elif block.language == "console":
            for step in steps_of(block):
                check_step(page, step)
        else:
            continue
        done += 1
    return done


def check_step(page: Path, step: Step) -> None:
    """Run one command of the page and compare what it prints."""
    program, *arguments = shlex.split(step.command)
    assert program == "npuc", f"{page.name}:{step.number}: only npuc can be executed: {program}"
    outcome = npuc(*arguments)
    printed = [line.rstrip() for line in (outcome.out + outcome.err).splitlines()]
    while printed and not printed[-1]:
        printed.pop()
    if not matches([line.rstrip() for line in step.expected], printed):
        shown = "\n".join(printed)
        pytest.fail(
            f"{page.name}:{step.number}: `{step.command}` (exit code {outcome.code}) printed\n\n"
            f"{shown}\n\nwhich is not what the page shows.", pytrace=False
        )  # fmt: skip


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines agree; ``...`` is a wildcard, alone on a line for any lines."""
    parts = [
        r"(?:.*\n)*" if line.strip() == "..." else
        ".*".join(re.escape(piece) for piece in line.split("...")) + r"\n"
        for line in expected
    ]  # fmt: skip
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in printed)) is not None


def link_models(folder: Path) -> None:
    """Make the repository's models reachable from ``folder`` as they are from a checkout."""
    (folder / "models").symlink_to(REPOSITORY / "models")
