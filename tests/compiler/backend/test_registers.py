"""Registers: reserved ones are never given out, scopes return theirs, exhaustion is told."""

import pytest

from npuc.compiler.backend.registers import (
    COUNT_REGISTERS,
    FIRST_FREE_REGISTER,
    SCRATCH_REGISTER,
    RegisterFile,
)
from npuc.isa.errors import CompileError


def test_reserved_registers_are_not_given_out() -> None:
    registers = RegisterFile("group g")
    taken = {registers.take() for _ in range(SCRATCH_REGISTER - FIRST_FREE_REGISTER)}
    assert taken == set(range(FIRST_FREE_REGISTER, SCRATCH_REGISTER))
    assert not taken & {0, SCRATCH_REGISTER, *COUNT_REGISTERS.values()}
    with pytest.raises(CompileError, match="more scalar registers") as error:
        registers.take()
    assert error.value.where == "group g"


def test_scope_returns_its_registers() -> None:
    registers = RegisterFile("group g")
    kept = registers.take()
    with registers.scope():
        inside = registers.take()
        assert inside != kept
    assert registers.take() == inside


def test_register_given_back_early_is_free_once() -> None:
    registers = RegisterFile("group g")
    with registers.scope():
        early = registers.take()
        registers.give_back(early)
        assert registers.take() == early
    assert registers.take() == early
    assert registers.take() != early
