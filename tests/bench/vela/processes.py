"""Whole processes and the CPU time of each: user and system, start and imports included."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from npuc.isa.errors import NpucError

ONE_THREAD = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"
)  # fmt: skip
SHOWN_BYTES = 2000


def cpu_seconds(
    command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
) -> float:
    """Of one run in ``folder``, with its children, on one thread and one processor.

    ``variables`` are added to the environment.

    Raises: NpucError with the end of what it said, where it fails.
    """
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), **(variables or {})}
    with TemporaryFile() as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        _pin(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - SHOWN_BYTES))
            text = said.read().decode(errors="replace")
            raise NpucError(f"exit code {process.returncode}", " ".join(command), given=text)
    return usage.ru_utime + usage.ru_stime


def _pin(pid: int) -> None:
    """To the last processor that this process may use, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
