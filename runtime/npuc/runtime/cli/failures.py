"""What the user sees, and the exit code, when a command does not succeed.

0 fine, 1 a check failed, 2 input or usage wrong, 70 a defect of npuc, 130 interrupted.
"""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

from npuc.isa.errors import NpucError, UsageError

FINE, CHECK_FAILED, WRONG_INPUT, DEFECT, INTERRUPTED = 0, 1, 2, 70, 130
DEBUG_VARIABLE = "NPUC_DEBUG"


def report(error: BaseException, say: Callable[[str], None]) -> int:
    """Tell the user about ``error`` line by line through ``say``; the exit code that fits it."""
    if wants_traceback():
        say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    told = error if isinstance(error, NpucError) else file_error(error)
    if told is not None:
        say(f"error: {told}")
        return WRONG_INPUT
    say(f"npuc failed for a reason of its own: {type(error).__name__}: {_first_line(error)}")
    say(
        "This is a defect of npuc, not of your input; please report it with the command, "
        f"and with the traceback that {DEBUG_VARIABLE}=1 shows."
    )
    return DEFECT


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def file_error(error: BaseException) -> NpucError | None:
    """The message for a file that cannot be read or written; None for any other error."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    return UsageError(
        "cannot use the file",
        where=os.fspath(Path(os.fsdecode(error.filename))),
        given=(error.strerror or type(error).__name__).lower(),
        next_step="check the path, its folder and its permissions",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else "no message"
