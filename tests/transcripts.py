"""Pages that show code and commands, executed: what a page claims is what happens.

A page is read from the top. A block ```` ```python file=NAME ```` (or any language) is written to
that file; a block ```` ```python ```` is executed; in a block ```` ```console ```` each line
``$ npuc ...`` is run and its output compared with the lines below it. There, ``...`` alone on a
line stands for any lines, and within a line for any text. Other blocks are left alone.

``pytest --update-golden`` writes what is printed now into the page: cycles are golden numbers.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from tests.command_line import Outcome, npuc

REPOSITORY = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^```(\w*)[ ]*(.*)$")
ANY = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block: language, the rest of the fence, its lines, the first line's number."""

    language: str
    info: str
    lines: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class Step:
    """One command of a transcript; what it should print begins in line ``number``."""

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
        yield Step(block.lines[start][2:], block.lines[start + 1 : end], block.number + start + 1)


def execute(page: Path, *, update: bool) -> int:
    """Execute the page in the current folder; how many things it did. Fails at the first lie.

    With ``update``, transcripts get what is printed now.
    """
    names: dict[str, object] = {"__name__": page.stem}
    new_outputs: list[tuple[Step, list[str]]] = []
    done = 0
    for block in blocks_of(page):
        if block.info.startswith("file="):
            Path(block.info.removeprefix("file=")).write_text("\n".join(block.lines) + "\n")
        elif block.language == "python":
            source = "\n" * (block.number - 1) + "\n".join(block.lines)
            exec(compile(source, page, "exec"), names)
        elif block.language == "console":
            new_outputs += [(step, check_step(page, step, update)) for step in steps_of(block)]
        else:
            continue
        done += 1
    if update:
        _rewrite(page, new_outputs)
    return done


def check_step(page: Path, step: Step, update: bool) -> list[str]:
    """Run one command of the page and compare what it prints; the lines that the page should have.

    Lines with a wildcard stay while they are true.
    """
    outcome = _run(page, step)
    printed = _stripped((outcome.out + outcome.err).splitlines())
    expected = _stripped(step.expected)
    if matches(expected, printed):
        return expected
    if update and outcome.code in (0, 2):
        return merged(expected, printed)
    shown = "\n".join(printed)
    return pytest.fail(
        f"{page.name}:{step.number}: `{step.command}` (exit code {outcome.code}) printed\n\n"
        f"{shown}\n\nwhich is not what the page shows. If it is meant: make golden.",
        pytrace=False,
    )


def _run(page: Path, step: Step) -> Outcome:
    program, *arguments = shlex.split(step.command)
    assert program == "npuc", f"{page.name}:{step.number}: only npuc can be executed: {program}"
    return npuc(*arguments)


def _stripped(lines: tuple[str, ...] | list[str]) -> list[str]:
    stripped = [line.rstrip() for line in lines]
    while stripped and not stripped[-1]:
        stripped.pop()
    return stripped


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines agree; ``...`` is a wildcard, alone on a line for any lines."""
    pattern = "".join(_pattern(line) for line in expected)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def _pattern(line: str) -> str:
    """What ``line`` stands for; where text is left out, the width of columns is free too."""
    if line.strip() == ANY:
        return r"(?:.*\n)*"
    if ANY not in line:
        return re.escape(line) + r"\n"
    pieces = (r"\s+".join(map(re.escape, piece.split())) for piece in line.split(ANY))
    return r"\s*.*\s*".join(pieces) + r"\n"


def merged(expected: list[str], printed: list[str]) -> list[str]:
    """``printed`` cut down to what ``expected`` shows of it, where that differs in numbers alone.

    Where no line can be recognised again, all of ``printed``.
    """
    if ANY not in (line.strip() for line in expected):
        return printed
    result, position = [], 0
    for line in expected:
        if line.strip() == ANY:
            result.append(line)
            continue
        found = _recognised(line, printed, position)
        if found is None:
            return printed
        result.append(line if ANY in line else printed[found])
        position = found + 1
    return result if matches(result, printed) else printed


def _recognised(line: str, printed: list[str], start: int) -> int | None:
    """Where ``line`` is in ``printed``: the same but for numbers, else with the same first word."""
    if ANY in line:
        found = [i for i in range(start, len(printed)) if matches([line], [printed[i]])]
        return found[0] if found else None
    for same in (_loose, _first_word):
        found = [i for i in range(start, len(printed)) if same(line) == same(printed[i])]
        if found:
            return found[0]
    return None


def _first_word(line: str) -> str:
    return _loose(line).partition(" ")[0]


def _loose(line: str) -> str:
    """``line`` without what a change of numbers changes: digits, and the width of columns."""
    return re.sub(r"-+", "-", " ".join(re.sub(r"\d[\d,.]*", "0", line).split()))


def _rewrite(page: Path, outputs: list[tuple[Step, list[str]]]) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    for step, output in reversed(outputs):
        start = step.number - 1
        is_last = lines[start + len(step.expected)] == "```"
        blank = [] if is_last or not step.expected or step.expected[-1] else [""]
        lines[start : start + len(step.expected)] = [*output, *blank]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def use_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in ``folder`` as a reader does: with the models, and able to import from there."""
    (folder / "models").symlink_to(REPOSITORY / "models")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name == "fold_gain"]:
        monkeypatch.delitem(sys.modules, name)
