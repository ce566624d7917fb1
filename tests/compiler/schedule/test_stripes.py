"""Stripes by definition: every byte carries its tensor and offset through buffers and copies.

The steps are carried out on these marks: whatever a step reads must be, byte by byte, what its job
reads when it runs whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from npuc.compiler.schedule.problem import GroupProblem, Home, Operand
from npuc.compiler.schedule.program import Job, ProgramPlan, Step, Work
from npuc.compiler.schedule.search import SearchOptions
from npuc.compiler.schedule.striping.interleave import StripeOptions
from npuc.compiler.schedule.striping.rows import Division, RowJob, Striping, halo_tensor, stripe
from npuc.compiler.schedule.striping.segments import Segments
from npuc.compiler.schedule.striping.steps import StripeSteps
from tests.compiler.schedule.chains import Chain, add_concat, add_conv, add_pool, add_sum, chains
from tests.compiler.schedule.problems import TINY, elementwise, transpose

Int64s = npt.NDArray[np.int64]
TENSOR = 1 << 32  # a mark is TENSOR * tensor + offset
NOTHING = -1


def row_jobs(chain: Chain) -> list[RowJob]:
    made = {tensor for job in chain.jobs for tensor in job.outputs}
    found = [RowJob.of(job, made) for job in chain.jobs]
    return [job for job in found if job is not None]


def internal(chain: Chain) -> set[int]:
    """Scratch tensors that some job reads: nobody outside needs them."""
    read = {tensor for job in chain.jobs for tensor in job.inputs}
    return {t for t in read if chain.tensors[t].is_scratch}


def striped(chain: Chain, count: int, outside: int = 0, again: int = 0) -> Striping | None:
    """Bit n of ``outside``: tensor n is not kept in the segment's buffers, though it could be.

    Bit n of ``again``: job n computes its halo again, if it may. The jobs have their turns in some
    order or other: every one is right.
    """
    jobs, kept = row_jobs(chain), {t for t in internal(chain) if not outside >> t & 1}
    may = {n for n in range(len(jobs)) if halo_tensor(jobs, n, kept) is not None}
    division = Division(count, frozenset(n for n in may if again >> n & 1))
    found = stripe(jobs, 0, kept, division) if len(jobs) == len(chain.jobs) else None
    turns = np.random.default_rng(outside + count).permutation(len(jobs))
    return None if found is None else replace(found, turns=tuple(map(int, turns)))


def planned(chain: Chain, striping: Striping) -> ProgramPlan:
    plan = ProgramPlan()
    StripeSteps(chain.jobs, chain.tensors, plan, {}).add(striping)
    return plan


def addresses(
    problem: GroupProblem, operand: Operand, rows: tuple[int, int, int] | None = None
) -> Int64s:
    """Byte addresses of the elements that the problem touches, padding aside.

    ``rows``: only those of a range of a dimension, (dimension, low, high).
    """
    points = np.indices(problem.extents)
    inside = np.ones(problem.extents, bool)
    if rows is not None:
        inside = (points[rows[0]] >= rows[1]) & (points[rows[0]] < rows[2])
    address = np.full(problem.extents, operand.base)
    for form, size, stride in zip(operand.forms, operand.shape, operand.strides, strict=True):
        index = form.constant + sum(c * points[d] for d, c in enumerate(form.coefficients))
        inside = inside & (index >= 0) & (index < size)
        address = address + index * stride
    return np.unique(address[inside])


@dataclass
class Marks:
    """Carries out steps on marks; ``stored`` counts writes of bytes of results in DRAM."""

    chain: Chain
    plan: ProgramPlan
    buffers: list[Int64s] = field(default_factory=list)
    stored: dict[int, Int64s] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.buffers = [np.full(b.n_bytes, NOTHING) for b in self.plan.buffers]
        self.stored = {
            n: np.zeros(tensor.n_bytes, np.int64)
            for n, tensor in enumerate(self.chain.tensors)
            if any(n in job.outputs for job in self.chain.jobs)
        }

    def copy(self, step: Step) -> None:
        held = dict(step.buffers)
        source, target = step.problem.operands
        size = source.dtype.bytes * source.shape[0]
        moved = self.buffers[held[0]][source.base : source.base + size]
        assert moved.size == size
        assert (moved != NOTHING).all(), "rows are copied before they are complete"
        room = self.buffers[held[1]][target.base : target.base + size]
        assert room.size == size
        assert (room == NOTHING).all(), "rows are copied over others"
        room[:] = moved

    def work(self, step: Step, rows: tuple[int, int, int]) -> None:
        job, held = self.chain.jobs[step.job], dict(step.buffers)
        for n, operand in enumerate(step.problem.operands):
            original = job.problem.operands[n]
            marks = addresses(job.problem, original, rows) + TENSOR * job.tensor(original)
            found = addresses(step.problem, operand)
            is_result = n in step.problem.vector.outputs
            if n not in held:
                assert operand.home is Home.dram
                np.testing.assert_array_equal(found, marks % TENSOR)
                stored = self.stored.get(job.tensor(original))
                if is_result:
                    assert stored is not None
                    stored[found] += 1
                elif stored is not None:
                    assert stored[found].all(), "rows are read before they are computed"
                continue
            buffer = self.buffers[held[n]]
            assert found.size == 0 or (found[0] >= 0 and found[-1] < buffer.size)
            if operand.home is Home.fetched:
                buffer[:] = TENSOR * job.tensor(original) + np.arange(buffer.size)
            if is_result:
                assert (buffer[found] == NOTHING).all(), "rows are computed twice"
                buffer[found] = marks
            else:
                np.testing.assert_array_equal(buffer[found], marks)


def carry_out(chain: Chain, striping: Striping) -> Marks:
    marks = Marks(chain, planned(chain, striping))
    jobs, order = row_jobs(chain), iter(striping.order)
    for step in marks.plan.steps:
        if step.is_copy:
            marks.copy(step)
            continue
        index, s = next(order)
        assert step.job == index
        marks.work(step, (jobs[index].dim, *striping.rows[index][s]))
    assert next(order, None) is None
    return marks


CASES = st.tuples(chains(), st.integers(2, 6), st.integers(0, 255))


@given(CASES)
def test_steps_read_what_the_whole_jobs_read(case: tuple[Chain, int, int]) -> None:
    """And compute every byte of the result once."""
    chain = case[0]
    striping = striped(*case)
    if striping is None:
        reject()
    marks = carry_out(chain, striping)
    stored = {t: writes for t, writes in marks.stored.items() if t not in striping.held}
    assert all((writes == 1).all() for writes in stored.values())


@given(CASES, st.integers(0, 255))
def test_halos_computed_again_are_what_readers_need(
    case: tuple[Chain, int, int], again: int
) -> None:
    chain = case[0]
    striping = striped(*case, again)
    if striping is None or not striping.recomputes:
        reject()
    marks = carry_out(chain, striping)
    jobs = row_jobs(chain)
    for number in striping.recomputes:
        tensor = halo_tensor(jobs, number, striping.internal)
        assert tensor is not None
        assert all(low == high for low, high in striping.kept[tensor])
    stored = {t: writes for t, writes in marks.stored.items() if t not in striping.held}
    assert all((writes == 1).all() for writes in stored.values())
    segments = Segments(Work(tuple(chain.jobs), tuple(chain.tensors)), TINY, SearchOptions(), set())
    assert max(segments.alive_bytes(striping)) >= max(planned(chain, striping).live_bytes(TINY))


@given(CASES)
def test_rows_are_computed_once_and_in_order(case: tuple[Chain, int, int]) -> None:
    chain = case[0]
    striping = striped(*case)
    if striping is None:
        reject()
    for job, ranges in zip(row_jobs(chain), striping.rows, strict=True):
        ends = [0, *(high for _, high in ranges)]
        assert [low for low, _ in ranges] == ends[:-1]
        assert ends == sorted(ends)
        assert ends[-1] <= job.extent
        if any(chain.tensors[t].segment == "output" for t, _ in job.writes):
            assert ends[-1] == job.extent


@given(CASES)
def test_kept_bytes_were_held_by_the_stripe_before(case: tuple[Chain, int, int]) -> None:
    striping = striped(*case)
    if striping is None:
        reject()
    for tensor, kept in striping.kept.items():
        held = striping.held[tensor]
        assert kept[0][1] == kept[0][0], "before the first stripe there is nothing"
        for s, (low, high) in enumerate(kept[1:], start=1):
            assert held[s][0] == low
            assert high <= held[s][1]
            if high > low:
                assert held[s - 1][0] <= low
                assert high == held[s - 1][1]


@given(CASES)
def test_the_peak_covers_the_buffers_of_the_steps(case: tuple[Chain, int, int]) -> None:
    chain = case[0]
    striping = striped(*case)
    if striping is None:
        reject()
    segments = Segments(Work(tuple(chain.jobs), tuple(chain.tensors)), TINY, SearchOptions(), set())
    assert max(segments.alive_bytes(striping)) >= max(planned(chain, striping).live_bytes(TINY))


def test_a_policy_computes_the_halos_of_chosen_runs_again() -> None:
    """Of results that stay in SPM and that windows read in part again, where there is room."""
    chain = Chain()
    chain.seen.append((chain.tensor(48 * 48 * 24, "input"), (1, 48, 48, 24)))
    add_conv(chain, (1, 1, 0), 24)
    add_conv(chain, (3, 1, 1), 24)
    add_pool(chain, (2, 2, 0))
    chain.finish()
    work = Work(tuple(chain.jobs), tuple(chain.tensors))

    def segments(options: StripeOptions) -> Segments:
        return Segments(work, TINY, SearchOptions(), set(), options)

    (copied,) = segments(StripeOptions()).choose()
    (again,) = segments(StripeOptions(recompute=True)).choose()
    assert not copied.striping.recomputes
    assert again.striping.recomputes == {0}
    assert replace(again.striping, recomputes=frozenset()).turns == copied.striping.turns
    kept = [ranges for each in again.striping.kept.values() for ranges in each]
    assert all(low == high for low, high in kept)
    crowded = segments(StripeOptions(recompute=True))
    fits = crowded.alive_bytes

    def too_many(striping: Striping) -> list[int]:
        return [n + (1 << 40) * bool(striping.recomputes) for n in fits(striping)]

    crowded.alive_bytes = too_many  # type: ignore[method-assign]  # no room
    (unchanged,) = crowded.choose()
    assert not unchanged.striping.recomputes


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("is_residual", [False, True])
def test_plain_chains_do_go_in_stripes(count: int, is_residual: bool) -> None:
    chain = Chain()
    chain.seen.append((chain.tensor(10 * 6 * 2, "input"), (1, 10, 6, 2)))
    add_conv(chain, (3, 1, 1), 3)
    add_conv(chain, (3, 1, 1), 3)
    if is_residual:
        add_sum(chain, 1)
    add_pool(chain, (2, 2, 0))
    striping = striped(chain.finish(), count)
    assert striping is not None
    assert len({job for job, _ in striping.order}) == len(chain.jobs)
    # the second convolution needs one row more than it computes
    assert striping.rows[0][0][1] == 2 * striping.rows[-1][0][1] + 1
    carry_out(chain, striping)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_windows_over_results_side_by_side_go_in_stripes(count: int) -> None:
    chain = Chain()
    chain.seen.append((chain.tensor(10 * 6 * 2, "input"), (1, 10, 6, 2)))
    add_conv(chain, (1, 1, 0), 3)
    add_concat(chain, (1, 1, 0))
    add_conv(chain, (3, 1, 1), 3)
    striping = striped(chain.finish(), count)
    assert striping is not None
    shared = chain.jobs[1].outputs[0]
    assert chain.jobs[2].outputs == (shared,)
    assert any(high > low for low, high in striping.kept[shared])
    carry_out(chain, striping)


def test_results_of_one_element_have_no_rows() -> None:
    problem = elementwise((1, 1, 1, 1), [True] * 4)
    assert RowJob.of(Job(problem, (0, 0, 1), ("sum",)), {1}) is None


def test_a_transpose_reads_from_one_end_to_the_other_for_each_row() -> None:
    problem = transpose((1, 4, 5, 3), (0, 3, 2, 1))
    job = RowJob.of(Job(problem, (0, 1), ("transpose",)), {0, 1})
    assert job is not None
    assert (job.dim, job.extent) == (1, 4)
    assert [job.reads[0][1].span((r, r + 1)) for r in range(4)] == [(r, 57 + r) for r in range(4)]
