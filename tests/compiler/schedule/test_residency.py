"""What stays in SPM: it fits beside the rings of every job, and only what views can show stays."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.schedule.plan import PlanOptions, plan_program
from npuc.compiler.schedule.problem import Home
from npuc.compiler.schedule.program import (
    Job,
    StripedRun,
    TensorFacts,
    Work,
    can_stay,
    uses,
    whole_words,
)
from npuc.compiler.schedule.residency import (
    Residency,
    room_needed,
    stay_candidates,
    take_overs,
    with_homes,
)
from npuc.compiler.schedule.search import SearchOptions, choose_tiling
from npuc.compiler.schedule.tiling import spm_bytes
from tests.compiler.schedule.chains import Chain, add_conv, add_sum, chains
from tests.compiler.schedule.problems import ADD, TINY, M, form, operand
from tests.compiler.schedule.problems import elementwise as sum_of

OPTIONS = SearchOptions()
SMALL = replace(TINY, spm=replace(TINY.spm, capacity_bytes=1024))
CHAINS = chains(12, 20)  # tensors of some hundred bytes: few of them fit at once


def shared_bytes(job: Job, dying: set[int], chosen: set[int]) -> int:
    """Bytes that a sum's result takes over from an operand: both are there only as one."""
    operands = job.problem.operands
    is_sum = job.problem.vector.kernel.ops[:1] == ADD.ops
    ending = [o for o in operands[:-1] if job.tensor(o) in dying and o.dtype is operands[-1].dtype]
    is_single = any(job.tensors.count(job.tensor(o)) == 1 for o in ending)
    if not (is_sum and is_single and job.outputs[0] in chosen):
        return 0
    return whole_words(prod(operands[-1].shape) * operands[-1].dtype.bytes, SMALL)


@settings(max_examples=15)
@given(CHAINS)
def test_what_stays_leaves_every_job_its_room(chain: Chain) -> None:
    candidates = stay_candidates(chain.jobs, chain.tensors)
    chosen = Residency(chain.jobs, chain.tensors, SMALL, OPTIONS).decide()
    assert chosen <= candidates
    assert all(chain.tensors[t].is_scratch for t in chosen)
    lives = uses(chain.jobs)
    for position, job in enumerate(chain.jobs):
        live = sum(
            whole_words(chain.tensors[t].n_bytes, SMALL)
            for t in chosen
            if lives[t][0] <= position <= lives[t][1]
        )
        live -= shared_bytes(job, {t for t in chosen if lives[t][1] == position}, chosen)
        left = replace(OPTIONS, spm_bytes=SMALL.spm.capacity_bytes - live)
        problem = with_homes(job, chosen)
        tiling = choose_tiling(problem, SMALL, left).tiling
        assert live + spm_bytes(problem, tiling, SMALL) <= SMALL.spm.capacity_bytes


@settings(max_examples=40)
@given(CHAINS, st.integers(10, 14))
def test_stripes_and_what_stays_fit_together_at_every_step(chain: Chain, size: int) -> None:
    """The jobs of a segment run at the same time: what one of them uses is there for all."""
    target = replace(TINY, spm=replace(TINY.spm, capacity_bytes=1 << size))
    plan = plan_program(Work(tuple(chain.jobs), tuple(chain.tensors)), target, PlanOptions(OPTIONS))
    assert max(plan.live_bytes(target)) <= target.spm.capacity_bytes


def test_rings_make_room_where_that_pays() -> None:
    """The room of the best tilings is not there, but smaller ones lose less than DRAM takes."""
    chain = Chain()
    chain.seen.append((chain.tensor(8 * 8 * 16, "input"), (1, 8, 8, 16)))
    for _ in range(3):
        add_conv(chain, (3, 1, 1), 16)
    chain.finish()
    both = {job.outputs[0] for job in chain.jobs[:2]}

    def cycles(resident: set[int], left: list[int]) -> int:
        found = 0
        for job, n_bytes in zip(chain.jobs, left, strict=True):
            options = replace(OPTIONS, spm_bytes=n_bytes)
            choice = choose_tiling(with_homes(job, resident), target, options)
            found += choice.estimate.overlapped_cycles
        return found

    target = replace(TINY, spm=replace(TINY.spm, capacity_bytes=2624))
    left = [2624 - 1024, 2624 - 2048, 2624 - 1024]
    wanted = [room_needed(with_homes(job, both), target, OPTIONS) for job in chain.jobs]
    assert all(room > n_bytes for room, n_bytes in zip(wanted, left, strict=True))
    assert cycles(both, left) < cycles(set(), [2624] * 3)
    assert Residency(chain.jobs, chain.tensors, target, OPTIONS).decide() == both


def test_a_sum_takes_over_the_bytes_of_an_operand_that_ends() -> None:
    """All three would be 1,536 bytes: there is room for two and for weights."""
    chain = Chain()
    chain.seen.append((chain.tensor(16 * 16 * 2, "input"), (1, 16, 16, 2)))
    add_conv(chain, (1, 1, 0), 2)
    add_conv(chain, (1, 1, 0), 2)
    add_sum(chain, 1)
    add_conv(chain, (1, 1, 0), 2)
    chain.finish()
    target = replace(TINY, spm=replace(TINY.spm, capacity_bytes=1024 + 448))
    options = PlanOptions(OPTIONS, stripes=False)
    work = Work(tuple(chain.jobs), tuple(chain.tensors))
    plan = plan_program(work, target, options)
    assert plan.staying == {t for job in chain.jobs[:3] for t in job.outputs}
    buffer_of = dict(plan.steps[2].buffers)
    result = len(plan.steps[2].problem.operands) - 1
    others = [b for n, b in buffer_of.items() if n != result]
    assert sorted(buffer_of) == [0, 1, result]
    assert others.count(buffer_of[result]) == 1
    striped = plan_program(work, target, replace(options, runs=(StripedRun(1, 2, 2),)))
    assert all(len(set(dict(s.buffers).values())) == len(s.buffers) for s in striped.steps)


@pytest.mark.parametrize("spare_bytes", [0, 512])
def test_only_a_tensor_of_the_same_size_is_taken_over(spare_bytes: int) -> None:
    """Behind a part of a larger tensor the bytes of the operand end."""
    chain = Chain()
    chain.seen.append((chain.tensor(16 * 16 * 2, "input"), (1, 16, 16, 2)))
    add_conv(chain, (1, 1, 0), 2)
    add_sum(chain, 1)
    operand, result = chain.jobs[0].outputs[0], chain.jobs[1].outputs[0]
    facts = chain.tensors[result]
    chain.tensors[result] = replace(facts, n_bytes=facts.n_bytes + spare_bytes)
    found = take_overs(chain.jobs, chain.tensors, set())
    assert found == ({} if spare_bytes else {result: (operand, 1)})
    assert take_overs(chain.jobs, chain.tensors, {1}) == {}


def test_what_touches_a_segment_is_there_while_all_of_it_runs() -> None:
    """One tensor enters the segment and another leaves it: its stripes see both."""
    problem = sum_of((1, 1, 8, 64), [True] * 4)
    jobs = [Job(problem, (n, n, n + 1), (f"n{n}",)) for n in range(4)]
    tensors = [TensorFacts(f"t{n}", 512, "scratch" if 0 < n < 4 else "input") for n in range(5)]
    target = replace(TINY, spm=replace(TINY.spm, capacity_bytes=8192))

    def staying(taken: dict[tuple[int, int], int]) -> set[int]:
        return Residency(jobs, tensors, target, OPTIONS, taken, frozenset({2})).decide()

    assert staying({(1, 2): 8192 - 2 * 512}) == {1, 3}
    assert len(staying({(1, 2): 8192 - 2 * 512 + 64})) == 1
    assert staying({(1, 2): 8192 - 512 + 64}) == set()


def padded(axes: int) -> Job:
    """A sum whose first operand is padded on ``axes`` axes."""
    problem = sum_of((3, 4, 5, 6), [True] * 4)
    forms = [form(-1, **{f"m{n}" if n < 3 else "n": 1}) if n < axes else M[n] for n in range(4)]
    x = operand(0, "x", forms, (3, 4, 5, 6))
    return Job(replace(problem, operands=(x, *problem.operands[1:])), (1, 0, 2), ("pad",))


def test_tensors_padded_on_more_than_two_axes_never_stay() -> None:
    producer = Job(sum_of((3, 4, 5, 6), [True] * 4), (0, 0, 1), ("sum",))
    tensors = [
        TensorFacts(name, 360, segment)
        for name, segment in (("x", "input"), ("t", "scratch"), ("y", "output"))
    ]
    for axes in range(5):
        jobs = (producer, padded(axes))
        want = {1} if axes <= 2 else set()
        assert can_stay(jobs[1].problem, jobs[1].problem.operands[0]) == (axes <= 2)
        assert stay_candidates(jobs, tensors) == want
        assert Residency(jobs, tensors, TINY, OPTIONS).decide() == want
        plan = plan_program(Work(jobs, tuple(tensors)), TINY, PlanOptions(OPTIONS, stripes=False))
        assert (plan.steps[1].problem.operands[0].home is Home.spm) == (axes <= 2)


@settings(max_examples=15)
@given(CHAINS, st.booleans())
def test_buffers_of_a_plan_live_from_first_to_last_use(chain: Chain, has_stripes: bool) -> None:
    work = Work(tuple(chain.jobs), tuple(chain.tensors))
    plan = plan_program(work, SMALL, PlanOptions(OPTIONS, stripes=has_stripes))
    lives, live = plan.lives(), plan.live_bytes(SMALL)
    assert set(lives) == set(range(len(plan.buffers))), "a buffer that nobody uses"
    for position, step in enumerate(plan.steps):
        used = {buffer for _, buffer in step.buffers}
        alive = {b for b, (first, last) in lives.items() if first <= position <= last}
        assert used <= alive
        assert live[position] == sum(whole_words(plan.buffers[b].n_bytes, SMALL) for b in alive)
        left = replace(OPTIONS, spm_bytes=SMALL.spm.capacity_bytes - live[position])
        choose_tiling(step.problem, SMALL, left)  # raises where nothing fits
    for first, last in lives.values():
        assert {first, last} <= {
            position
            for position, step in enumerate(plan.steps)
            if any(lives[b] == (first, last) for _, b in step.buffers)
        }
