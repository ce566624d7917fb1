"""Every single wait of compiled programs: without it there is a race, or it is shown redundant.

Two judges that share nothing but the streams: strict mode's happens-before, and execution in random
orders that queues and counters permit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import LoadedProgram, load
from npuc.emulator.stream import CommandStream
from npuc.emulator.strict import check, redundant_waits, wait_fields, without_wait
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from tests.compiler.ops.cases import Case
from tests.e2e.random_graphs import graphs
from tests.e2e.whole_path import MNIST, Tensor, assert_same_bits

CASES = st.sampled_from(["float", "qdq", "qop"]).flatmap(graphs)
TARGETS = st.sampled_from(["tiny", "edge"])
LEVELS = st.sampled_from([0, 1, 2, 3])


@cache
def digits_program(kind: str, target: str, level: int, batch: int) -> Program:
    path = MNIST / f"mnist_cnn_{kind}.onnx"
    program = compile_model(path, CompileOptions(target, level, {"batch": batch})).program
    assert program is not None
    return program


def digits(batch: int) -> dict[str, Tensor]:
    with np.load(MNIST / "digits.npz") as arrays:
        images = arrays["images"][:batch, np.newaxis]
    return {"x": images.astype(np.float32) / np.float32(255)}


def check_every_wait(program: Program, inputs: Mapping[str, Tensor]) -> tuple[int, int]:
    """How many waits there are and how many are redundant; the mutants agree with the checker."""
    assert check(program) == ()
    redundant = set(redundant_waits(program))
    want = load(program).run(inputs).outputs
    fields = list(wait_fields(program))
    for field in fields:
        mutant = without_wait(program, field)
        findings = check(mutant)
        assert {f.kind for f in findings} <= {"race", "uninitialised"}, findings[0]
        assert bool(findings) != (field in redundant), f"{field}: {findings}"
        if field in redundant:
            got = load(mutant).run(inputs).outputs
            assert_same_bits(got, want, f"without the redundant {field}")
    return len(fields), len(redundant)


@pytest.mark.parametrize(
    ("kind", "target", "level"),
    [
        ("qdq_int8", "edge", 2),
        ("qop_s8s8", "tiny", 2),
        pytest.param("qdq_int8", "edge", 0, marks=pytest.mark.slow),
        pytest.param("qop_s8s8", "tiny", 0, marks=pytest.mark.slow),
    ],
)
def test_each_wait_of_the_classifiers(kind: str, target: str, level: int) -> None:
    waits, redundant = check_every_wait(digits_program(kind, target, level, 1), digits(1))
    assert waits > 20
    assert redundant <= waits / 10, f"{redundant} of {waits} waits are needless"


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("target", ["edge", "tiny"])
@pytest.mark.parametrize("kind", ["fp32", "qdq_int8", "qop_s8s8"])
def test_each_wait_of_the_classifiers_on_a_batch(kind: str, target: str, level: int) -> None:
    waits, redundant = check_every_wait(digits_program(kind, target, level, 8), digits(8))
    assert redundant <= waits / 5, f"{redundant} of {waits} waits are needless"


@settings(max_examples=6)
@given(case=CASES, target=TARGETS, level=LEVELS)
def test_each_wait_of_random_graphs(case: Case, target: str, level: int) -> None:
    check_every_wait(compiled(case, target, level), case.inputs)


def compiled(case: Case, target: str, level: int) -> Program:
    options = CompileOptions(target=target, level=level)
    program = compile_model(case.model.SerializeToString(), options).program
    assert program is not None
    return program


@pytest.mark.parametrize("target", ["edge", "tiny"])
def test_any_order_that_the_waits_permit_gives_the_same_bits(target: str) -> None:
    program, inputs = digits_program("qdq_int8", target, 2, 8), digits(8)
    loaded = load(program)
    want = loaded.run(inputs).outputs
    for seed in range(4):
        got = in_random_order(loaded, seed).run(inputs).outputs
        assert_same_bits(got, want, f"order {seed}")


@settings(max_examples=6)
@given(case=CASES, target=TARGETS, level=LEVELS, seed=st.integers(0, 999))
def test_any_order_of_random_graphs(case: Case, target: str, level: int, seed: int) -> None:
    loaded = load(compiled(case, target, level))
    want = loaded.run(case.inputs).outputs
    got = in_random_order(loaded, seed).run(case.inputs).outputs
    assert_same_bits(got, want, "another order")


def test_orders_without_waits_do_change_bits() -> None:
    """The judge above is no rubber stamp: most needed waits, once gone, can be seen in values."""
    program, inputs = digits_program("qop_s8s8", "edge", 2, 8), digits(8)
    want = load(program).run(inputs).outputs["logits"].tobytes()
    redundant = set(redundant_waits(program))
    needed = [field for field in wait_fields(program) if field not in redundant]
    seen = 0
    for field in needed[::8]:
        mutant = load(without_wait(program, field))
        results = (in_random_order(mutant, seed).run(inputs).outputs for seed in range(5))
        seen += any(outputs["logits"].tobytes() != want for outputs in results)
    assert seen > len(needed[::8]) / 3


def in_random_order(loaded: LoadedProgram, seed: int) -> LoadedProgram:
    """The same run, its commands in a random order that queues and counters permit."""
    (stream,) = loaded.streams
    order = random_order(stream, np.random.default_rng(seed))
    assert loaded.plan is not None
    runs = tuple((0, command, command + 1) for command in order)
    return replace(loaded, plan=replace(loaded.plan, runs=runs))


def random_order(stream: CommandStream, rng: np.random.Generator) -> list[int]:
    """Numbers of the commands; engines race each other, some far faster than others."""
    assert not (stream.engine == Engine.ctl.value).any(), "a fence would hold dispatch"
    queues = [np.flatnonzero(stream.engine == e).tolist() for e in np.unique(stream.engine)]
    speed = rng.uniform(0, 1, len(queues)) ** 4 + 1e-6
    counters: dict[int, int] = {}
    order: list[int] = []
    while any(queues):
        ready = [
            i for i, queue in enumerate(queues) if queue and is_ready(stream, queue[0], counters)
        ]
        assert ready, "every engine waits for another"
        chosen = int(rng.choice(ready, p=speed[ready] / speed[ready].sum()))
        command = queues[chosen].pop(0)
        order.append(command)
        if stream.increment[command] >= 0:
            name = int(stream.engine[command]) * 32 + int(stream.increment[command])
            counters[name] = counters.get(name, 0) + 1
    return order


def is_ready(stream: CommandStream, command: int, counters: Mapping[int, int]) -> bool:
    """Whether both waits of a command of the only core are satisfied."""
    waits = zip(stream.wait_counter[command], stream.wait_threshold[command], strict=True)
    return all(name < 0 or counters.get(int(name), 0) >= threshold for name, threshold in waits)
