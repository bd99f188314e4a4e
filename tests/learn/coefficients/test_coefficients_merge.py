"""The differentiable merge: values, gradients, memory; objectives; what a step sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from solera.app.live import merge_tensors
from solera.learn.coefficients import Answer, Settings, TaskData
from solera.learn.coefficients.feeding import drawn, joined, parted, pools_of
from solera.learn.coefficients.groups import Group, with_weights
from solera.learn.coefficients.learning import _Learner
from solera.learn.coefficients.objectives import alignment, entropy
from solera.learn.statistics import Batch

from .conftest import pictures, swapped, texts


@pytest.fixture
def live(job_of):
    return _Learner.opened(job_of("vit"), force=False).live


def test_where_coefficients_start_the_merge_is_task_arithmetic(job_of):
    job = job_of("vit")
    live = _Learner.opened(job, force=False).live
    weights = live.weights(torch.full((len(live.grouping), 2), 0.3))
    recipe = with_weights(job.recipe, [Group("all")], [[0.3, 0.3]])
    state = swapped(job.recipe.merge.base, merge_tensors(recipe, threads=1)).state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


def test_gradients_are_inner_products_with_task_vectors(live):
    found = torch.full((len(live.grouping), 2), 0.3, requires_grad=True)
    loss = lambda c: sum((value.double() ** 2).sum() for value in live.weights(c).values())  # noqa: E731
    loss(found).backward()
    for row, column in ((0, 0), (3, 1), (len(found) - 1, 0)):
        step = torch.zeros_like(found)
        step[row, column] = 1e-2
        with torch.no_grad():
            slope = (loss(found + step) - loss(found - step)) / 2e-2
        torch.testing.assert_close(found.grad[row, column].double(), slope, rtol=2e-3, atol=1e-4)


def test_what_does_not_fit_is_streamed_with_the_same_bits(job_of):
    held = _Learner.opened(job_of("vit"), force=False).live
    streamed = _Learner.opened(job_of("vit", out="other", more={"memory": 0}), force=False).live
    results = []
    for live in (held, streamed):
        c = torch.full((len(live.grouping), 2), 0.3, requires_grad=True)
        weights = live.weights(c)
        sum((value**2).sum() for value in weights.values()).backward()
        results.append((weights, c.grad))
    assert held.vectors.streamed == 0 == streamed.vectors.nbytes
    assert held.vectors.nbytes == streamed.vectors.streamed > 0
    for name, value in results[0][0].items():
        torch.testing.assert_close(value, results[1][0][name], rtol=0, atol=0)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=0)


def test_merged_parameters_are_not_kept_twice(live):
    state = live.model.state_dict()
    assert {state[t.name].numel() for t in live.tensors if t.fixed is None} == {0}


def test_entropy_of_the_specification() -> None:
    assert entropy(Answer(torch.tensor([[2.0, 0.0, 0.0]])), None, {}).item() == pytest.approx(0.665573, abs=1e-6)
    assert entropy(Answer(torch.zeros(2, 3)), None, {}).item() == pytest.approx(1.098612, abs=1e-6)


def test_padding_has_no_say_in_objectives() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, wanted, hidden = (torch.randn(1, 3, 5, generator=draw) for _ in range(3))
    real = torch.tensor([[True, True, False]])
    said = {"temperature": 2.0, "hidden": 1.0}
    cut = Answer(logits[:, :2], None, (hidden[:, :2],))
    whole = Answer(logits, real, (hidden,))
    assert entropy(whole, None, {}) == entropy(cut, None, {})
    other = Answer(wanted, None, (hidden * 2,))
    short = Answer(wanted[:, :2], None, (hidden[:, :2] * 2,))
    torch.testing.assert_close(alignment(whole, other, said), alignment(cut, short, said))


def test_a_teacher_like_the_student_costs_its_own_entropy_alone() -> None:
    answer = Answer(torch.randn(2, 4, generator=torch.Generator().manual_seed(1)), None, (torch.ones(2, 3, 4),))
    loss = alignment(answer, answer, {"temperature": 1.0, "hidden": 1.0})
    torch.testing.assert_close(loss, entropy(answer, None, {}))


def test_every_example_is_seen_once_before_any_is_seen_again() -> None:
    pool = pools_of([TaskData("a", (pictures(0, 6),), 0)], 1)
    said = Settings(batch=2, batches=1, seed=3)
    seen = [row for step in range(3) for _, rows in drawn(pool, said, step) for row in rows]
    assert sorted(seen) == list(range(6))
    assert seen != [row for step in range(3, 6) for _, rows in drawn(pool, said, step) for row in rows]
    assert seen == [row for step in range(3) for _, rows in drawn(pool, said, step) for row in rows]


def test_examples_come_without_their_padding_and_are_padded_to_the_longest() -> None:
    ids = torch.tensor([[1, 2, 3], [4, 0, 0]])
    batch = Batch({"input_ids": ids, "attention_mask": (ids > 0).long()}, ids.clone())
    (pool,) = pools_of([TaskData("a", (batch,), 0)], 1)
    assert [row.inputs["input_ids"].shape[1] for row in pool.rows] == [3, 1]
    again = joined(pool.rows)
    assert torch.equal(again.inputs["input_ids"], ids)
    assert torch.equal(again.labels, torch.tensor([[1, 2, 3], [4, -100, -100]]))


def test_held_out_examples_are_not_learnt_from() -> None:
    pools = pools_of([TaskData("a", (pictures(0, 10),), 0)], 1)
    learnt, held = parted(pools, 0.3, 0)
    assert (len(learnt[0].rows), len(held[0].rows)) == (7, 3)
    assert not {id(row) for row in learnt[0].rows} & {id(row) for row in held[0].rows}


def test_tasks_in_one_pass_or_one_by_one_learn_the_same(job_of):
    from solera.learn.coefficients import learn

    one = learn(job_of("vit", granularity="layer", together=1)).learnt
    all_ = learn(job_of("vit", granularity="layer", out="other", together=64)).learnt
    assert one.losses == pytest.approx(all_.losses, rel=1e-5)
    for name, row in one.coefficients.items():
        assert row == pytest.approx(all_.coefficients[name], abs=1e-5)


def test_activations_can_be_computed_again(job_of):
    from solera.learn.coefficients import learn

    plain = learn(job_of("llama")).learnt
    again = learn(job_of("llama", out="other", more={"recompute": True})).learnt
    assert plain.losses == pytest.approx(again.losses, rel=1e-6)
    for name, row in plain.coefficients.items():
        assert row == pytest.approx(again.coefficients[name], abs=1e-5)


def test_batches_of_texts_of_unequal_lengths_are_learnt_from(job_of):
    from solera.learn.coefficients import learn

    data = [TaskData(f"{k}", (texts(k, 2, 4), texts(k + 5, 2, 7)), k) for k in range(2)]
    mixed = learn(job_of("llama", data=data, batch=4)).learnt
    assert all(loss > 0 for loss in mixed.losses)
    swapped = [replace(one, batches=one.batches[::-1]) for one in data]
    other = learn(job_of("llama", out="other", data=swapped, batch=4)).learnt
    assert mixed.losses == pytest.approx(other.losses, rel=1e-5)
