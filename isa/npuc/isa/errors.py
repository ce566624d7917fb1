"""The one family of errors that npuc raises for a user's mistake.

Every message says what failed, where, the value given, the values allowed and the next step.
The command line prints it and exits with code 2; a Python caller catches ``NpucError``.
"""

from dataclasses import dataclass


@dataclass
class NpucError(Exception):
    """A mistake in the input or the usage, told so that the reader can mend it.

    ``what`` is one sentence; the other parts are left empty only where they do not exist.
    """

    what: str
    where: str = ""
    given: str = ""
    allowed: str = ""
    next_step: str = ""

    def __str__(self) -> str:
        parts = [
            ("where", self.where),
            ("given", self.given),
            ("allowed", self.allowed),
            ("next", self.next_step),
        ]
        lines = [self.what] + [f"  {label:>7}: {text}" for label, text in parts if text]
        return "\n".join(lines)


class TargetError(NpucError):
    """A target file that is unreadable, incomplete or describes an impossible machine."""


class EncodingError(NpucError):
    """An instruction or descriptor that the instruction set cannot express."""


class AssemblyError(NpucError):
    """Assembly text that does not parse or names what does not exist."""


class BinaryError(NpucError):
    """A program file that is damaged, of another version or for another machine."""


class ModelError(NpucError):
    """An ONNX model that is unreadable, contradicts itself or uses what is not supported."""


class CompileError(NpucError):
    """A valid model that cannot be compiled as asked: capacity, options, schedule."""


class ExecutionError(NpucError):
    """A program that did something the machine does not define while it ran."""


class UnsupportedError(BinaryError):
    """A program that uses what this machine does not have: an extension, an element type."""


class CapacityError(BinaryError, ExecutionError):
    """A program that needs more of something than the machine, or the run, has."""


class BoundsError(BinaryError, ExecutionError):
    """A command that reaches outside a memory, a segment or a tensor map."""


class DeadlockError(ExecutionError):
    """Commands that wait for values which nothing will produce."""


class TrapError(ExecutionError):
    """A defined stop: a ``trap``, or a value for which an operation traps."""


class InputError(NpucError):
    """Run-time data of wrong name, shape or element type."""


class UsageError(NpucError):
    """Options that contradict each other or name what does not exist."""
