"""How the operands of an instruction class stand in assembly: derived from its fields."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from npuc.isa.instructions import INSTRUCTIONS, Field, Instruction, Kind

TABLES = {Kind.view: "views", Kind.map: "maps", Kind.kernel: "kernels", Kind.params: "params"}
PREFIXES = {"views": "v", "maps": "m", "kernels": "k", "params": "p", "tables": "t"}
NONE = "none"


@dataclass(frozen=True)
class Slot:
    """One operand: a field, or a register field and the immediate field that is added to it."""

    name: str
    spec: Field
    register: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the operand sets."""
        return (self.register, self.name) if self.register else (self.name,)

    @property
    def is_word(self) -> bool:
        """Whether the operand is one bare word, in any place: a flag or a choice."""
        return self.spec.kind in (Kind.flag, Kind.choice)


@dataclass(frozen=True)
class Form:
    """How the instructions of one class are written.

    ``body`` is the field that counts the instructions of a body, ``offset`` the one that holds a
    distance to a label; empty where there is none.
    """

    slots: tuple[Slot, ...]
    defaults: Mapping[str, int]
    body: str
    offset: str


@cache
def _forms() -> dict[str, Form]:
    return {cls.mnemonic: _form(cls) for cls in INSTRUCTIONS}


def form(cls: type[Instruction]) -> Form:
    """The form of ``cls``."""
    return _forms()[cls.mnemonic]


def _form(cls: type[Instruction]) -> Form:
    found: list[Slot] = []
    for name, spec, _ in cls.layout():
        is_sum = bool(found) and spec.kind is Kind.imm and found[-1].spec.kind is Kind.reg
        if is_sum:
            found[-1] = Slot(name, spec, found[-1].name)
        elif spec.kind is not Kind.body:
            found.append(Slot(name, spec))
    kinds = {spec.kind: name for name, spec, _ in cls.layout()}
    defaults = {f.name: int(f.default) for f in fields(cls) if isinstance(f.default, int)}
    return Form(tuple(found), defaults, kinds.get(Kind.body, ""), kinds.get(Kind.offset, ""))
