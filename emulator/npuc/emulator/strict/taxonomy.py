"""The kinds of faults that strict mode knows, and which error of the passes before is which kind.

Strict mode holds a run against the machine's definition; whatever that leaves without a meaning has
one of these kinds.
"""

from npuc.emulator.strict.finding import Finding
from npuc.isa.errors import (
    BinaryError,
    BoundsError,
    CapacityError,
    DeadlockError,
    ExecutionError,
    NpucError,
    TrapError,
    UnsupportedError,
)

UNDEFINED, UNINITIALISED, BOUNDS = "undefined", "uninitialised", "out of bounds"
RACE, DEADLOCK, CAPACITY = "race", "deadlock", "capacity"
UNSUPPORTED, UNPREDICTABLE = "unsupported", "unpredictable"
KINDS = {
    UNDEFINED: "bits, descriptors or register values to which the manual gives no meaning",
    UNINITIALISED: "a read of bytes that nobody wrote, or an output that is not written completely",
    BOUNDS: "a command that reaches outside SPM, ACC, a segment or a tensor map",
    RACE: "two engines touch a byte, one of them writes, and nothing orders them",
    DEADLOCK: "commands of one core or several wait for values that will never come",
    CAPACITY: "more cores, memory, instructions or points than the machine or the run has",
    UNSUPPORTED: "an extension or element types that the machine does not have",
    UNPREDICTABLE: "a command writes a byte through two different elements: which one stays?",
}
# The first class that fits decides. A trap is a defined end, so it is no fault.
_BY_ERROR: tuple[tuple[type[NpucError], str], ...] = (
    (CapacityError, CAPACITY),
    (BoundsError, BOUNDS),
    (UnsupportedError, UNSUPPORTED),
    (DeadlockError, DEADLOCK),
    (BinaryError, UNDEFINED),
    (ExecutionError, UNDEFINED),
)


def is_fault(error: NpucError) -> bool:
    """Whether an error of decoding, control or execution is a fault of the program."""
    return isinstance(error, BinaryError | ExecutionError) and not isinstance(error, TrapError)


def finding_of(error: NpucError) -> Finding:
    """The fault that an error tells; ``is_fault`` must hold."""
    kind = next(kind for cls, kind in _BY_ERROR if isinstance(error, cls))
    told = f"{error.what}: {error.given}" if error.given else error.what
    missing = f"allowed: {error.allowed}" if error.allowed else error.next_step
    return Finding(kind, told, site=error.where, missing=missing)
