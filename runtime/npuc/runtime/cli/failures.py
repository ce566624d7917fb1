"""What the user sees, and the exit code, when a command does not succeed.

0 fine, 1 a check failed, 2 input or usage wrong, 70 a defect of npuc, 130 interrupted.
"""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

from npuc.isa.errors import (
    AssemblyError,
    BinaryError,
    CompileError,
    EncodingError,
    ExecutionError,
    InputError,
    ModelError,
    NpucError,
    TargetError,
    UsageError,
)

FINE, CHECK_FAILED, WRONG_INPUT, DEFECT, INTERRUPTED = 0, 1, 2, 70, 130
DEBUG_VARIABLE = "NPUC_DEBUG"
# What to do next where the message itself does not say it.
NEXT_STEPS: dict[type[NpucError], str] = {
    TargetError: "mend the target file; npuc targets --show NAME prints one that works",
    EncodingError: "mend what is named above",
    AssemblyError: "mend the line; npuc disasm shows the form of a program that works",
    BinaryError: "compile the model again: npuc compile MODEL.onnx -o P.npu",
    ModelError: "export the model again without what is named above, or mend that node",
    CompileError: "change the option that is named above; npuc compile --explain shows decisions",
    ExecutionError: "npuc run --strict looks for the cause; npuc disasm shows the instruction",
    InputError: "npuc objdump P.npu shows names, types and shapes of the inputs",
    UsageError: "add --help to the command for its options and an example",
}


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
        if not told.next_step:
            say(f"     next: {next_step(told)}")
        return WRONG_INPUT
    say(f"npuc failed for a reason of its own: {type(error).__name__}: {_first_line(error)}")
    say(
        "This is a defect of npuc, not of your input; please report it with the command, "
        f"and with the traceback that {DEBUG_VARIABLE}=1 shows."
    )
    return DEFECT


def next_step(error: NpucError) -> str:
    """What to do about ``error``: its own next step, else the one of its kind."""
    kinds = (NEXT_STEPS.get(kind) for kind in type(error).__mro__)
    return error.next_step or next((text for text in kinds if text), NEXT_STEPS[UsageError])


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
