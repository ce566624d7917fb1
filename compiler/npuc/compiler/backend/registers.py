"""Scalar registers of a core and their allocation by scope.

Registers 1 to 5 hold the running command counts of ld0, ld1, st, mxu and vpu; the highest one is
scratch for a few instructions in a row; the rest belong to groups, loop by loop.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from npuc.isa.errors import CompileError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.base import REGISTERS

COUNT_REGISTERS = {
    Engine.ld0: 1,
    Engine.ld1: 2,
    Engine.st: 3,
    Engine.mxu: 4,
    Engine.vpu: 5,
}
SCRATCH_REGISTER = REGISTERS - 1
FIRST_FREE_REGISTER = max(COUNT_REGISTERS.values()) + 1


class RegisterFile:
    """Hands out registers; those taken inside ``scope`` return at its end."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._free = list(range(SCRATCH_REGISTER - 1, FIRST_FREE_REGISTER - 1, -1))
        self._scopes: list[list[int]] = [[]]

    def take(self) -> int:
        """A free register. Raises: CompileError naming the group when none is left."""
        if not self._free:
            raise CompileError(
                "a group needs more scalar registers than the machine has",
                where=self._where,
                given=f"more than {SCRATCH_REGISTER - FIRST_FREE_REGISTER} live values",
                allowed=f"{SCRATCH_REGISTER - FIRST_FREE_REGISTER}",
                next_step="use fewer nested loops, rotating buffers or index expressions",
            )
        register = self._free.pop()
        self._scopes[-1].append(register)
        return register

    def give_back(self, register: int) -> None:
        """Free a register of the present scope before its end."""
        self._scopes[-1].remove(register)
        self._free.append(register)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Registers taken inside are free again afterwards."""
        self._scopes.append([])
        yield
        self._free.extend(reversed(self._scopes.pop()))
