"""The memories that a run works on: SPM and ACC of each core, DRAM segments of the chip.

All are byte arrays. Inputs are checked and copied in, constants are used where they lie, states
persist from run to run when the caller hands them on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.isa.descriptors import Segment, Space
from npuc.isa.errors import InputError
from npuc.isa.program import Argument, Program
from npuc.isa.target import Target

Bytes = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Memory:
    """``spm`` and ``acc`` per core, ``segments`` of DRAM; all bytes start as 0."""

    spm: tuple[Bytes, ...]
    acc: tuple[Bytes, ...]
    segments: Mapping[Segment, Bytes]

    def space(self, core: int, space: Space) -> Bytes:
        """The memory of a core that a view lies in."""
        return self.acc[core] if space is Space.acc else self.spm[core]

    def bytes_of(self, core: int, memory: Space | Segment) -> Bytes:
        """The memory that a word load or store of a core names."""
        return self.segments[memory] if isinstance(memory, Segment) else self.space(core, memory)

    def read(self, argument: Argument) -> Tensor:
        """A copy of an argument's tensor."""
        segment = self.segments[argument.segment]
        raw = segment[argument.offset : argument.offset + argument.n_bytes].copy()
        return raw.view(argument.dtype.numpy).reshape(argument.shape)


def allocate(program: Program, target: Target) -> Memory:
    """Fresh memories of ``target`` for a program; the constant segment is not copied."""
    segments: dict[Segment, Bytes] = {
        segment: np.zeros(program.segment_bytes(segment), np.uint8)
        for segment in Segment
        if segment is not Segment.constant
    }
    cores = range(len(program.code))
    return Memory(
        spm=tuple(np.zeros(target.spm.capacity_bytes, np.uint8) for _ in cores),
        acc=tuple(np.zeros(target.acc.capacity_bytes, np.uint8) for _ in cores),
        segments={Segment.constant: program.constants, **segments},
    )


def bind_inputs(program: Program, memory: Memory, inputs: Mapping[str, Tensor]) -> None:
    """Copy the inputs into their segment; bools count as int8.

    Raises: InputError for a missing or unknown name, a wrong shape or element type.
    """
    _bind(program.inputs, memory, inputs, "input")


def bind_states(program: Program, memory: Memory, states: Mapping[str, Tensor] | None) -> None:
    """Copy persisted states in; without any they start as zeros.

    Raises: InputError for a missing or unknown name, a wrong shape or element type.
    """
    if states is not None:
        _bind(program.states, memory, states, "state")


def _bind(
    arguments: Sequence[Argument], memory: Memory, tensors: Mapping[str, Tensor], kind: str
) -> None:
    names = [a.name for a in arguments]
    for name in tensors:
        if name not in names:
            raise InputError(
                f"the program has no such {kind}",
                given=name,
                allowed=", ".join(names) or f"no {kind} at all",
                next_step=f"rename the {kind} or leave it out",
            )
    for argument in arguments:
        if argument.name not in tensors:
            raise InputError(
                f"an {kind} is missing" if kind == "input" else f"a {kind} is missing",
                argument.name,
                "nothing",
                _expected(argument),
                f"pass the {kind}",
            )
        raw = _checked(argument, tensors[argument.name], kind)
        segment = memory.segments[argument.segment]
        segment[argument.offset : argument.offset + argument.n_bytes] = raw


def _checked(argument: Argument, tensor: Tensor, kind: str) -> Bytes:
    array = np.asarray(tensor)
    if array.dtype == np.bool_:  # bytes of 0 and 1
        array = array.view(np.int8)
    if array.dtype != argument.dtype.numpy:
        raise InputError(
            f"{kind} {argument.name} has the wrong element type",
            argument.name,
            str(array.dtype),
            _expected(argument),
            "convert it with astype",
        )
    if array.shape != argument.shape:
        raise InputError(
            f"{kind} {argument.name} has the wrong shape",
            argument.name,
            str(array.shape),
            _expected(argument),
            "reshape it, or compile for it",
        )
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _expected(argument: Argument) -> str:
    return f"{argument.dtype.numpy} of shape {argument.shape}"
