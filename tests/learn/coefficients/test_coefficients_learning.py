"""Learning as a whole: less loss, resuming, stopping, experts that are asked; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from solera.errors import (
    BadParameter,
    CorruptFile,
    Interrupted,
    NonFinite,
    NotFound,
    PlanError,
    SoleraError,
    TargetInUse,
    UnknownName,
)
from solera.learn.coefficients import LEARNERS, Settings, TaskData, learn, learner, read
from solera.learn.coefficients.experts import answered
from solera.learn.coefficients.feeding import pools_of
from solera.learn.coefficients.learning import WORK
from solera.learn.coefficients.result import changed
from solera.learn.coefficients.training import bounded, rate_at
from solera.learn.statistics import Batch
from solera.recipe import parse
from solera.recipe.values import Match, Merge, Operand, Recipe, Rule

from .conftest import pictures, texts

Stopped = Interrupted


def stopping_at(step: int):
    def listen(event) -> None:
        if event.stage == "coefficients" and event.done == step:
            raise KeyboardInterrupt

    return listen


def test_entropy_falls(job_of):
    learnt = learn(job_of("vit", granularity="layer", steps=6)).learnt
    assert learnt.losses[-1] < learnt.losses[0]
    assert learnt.memory["held"] > 0
    assert not learnt.stopped
    assert learnt.chosen == 6


def test_the_merged_model_comes_nearer_to_its_experts(job_of):
    said = {"steps": 6, "rate": 0.3, "anchor": 0.0, "hidden": 1.0, "batches": 2, "granularity": "layer"}
    job = job_of("llama", "expert_merging", **said)
    learnt = learn(replace(job, frozen=())).learnt
    assert learnt.losses[-1] < learnt.losses[0]


def test_the_anchor_holds_coefficients_where_they_start(job_of):
    free = learn(job_of("llama", "expert_merging", rate=0.3, steps=3, anchor=0.0, granularity="layer")).learnt
    held = learn(
        job_of("llama", "expert_merging", out="other", rate=0.3, steps=3, anchor=1e4, granularity="layer")
    ).learnt
    away = lambda one: sum(abs(v - 0.1) for row in one.coefficients.values() for v in row)  # noqa: E731
    assert away(held) < away(free)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(job_of):
    whole = learn(job_of("vit", granularity="layer", steps=5, every=2)).learnt
    job = job_of("vit", granularity="layer", out="stopped", steps=5, every=2)
    with pytest.raises(Stopped):
        learn(job, on_event=stopping_at(3))
    assert (job.out / WORK / "state.safetensors").exists()
    again = learn(job).learnt
    assert again.coefficients == whole.coefficients
    assert (again.losses, again.checks) == (whole.losses, whole.checks)
    assert not (job.out / WORK).exists()


def test_what_was_stopped_is_not_taken_for_another(job_of):
    job = job_of("vit", granularity="task", steps=4, every=1)
    with pytest.raises(Stopped):
        learn(job, on_event=stopping_at(2))
    other = replace(job, data=[TaskData(f"task {k}", (pictures(k + 7),), k) for k in range(2)])
    with pytest.raises(TargetInUse, match="other data"):
        learn(other)
    expert = job.recipe.merge.models[0].model.path
    moved = {name: value * 1.01 for name, value in load_file(f"{expert}/model.safetensors").items()}
    import shutil

    place = job.out.parent / "moved"
    shutil.copytree(expert, place)
    save_file(moved, place / "model.safetensors", {"format": "pt"})
    models = (Operand(replace(job.recipe.merge.models[0].model, path=str(place))), job.recipe.merge.models[1])
    with pytest.raises(TargetInUse, match="other merge, models"):
        learn(replace(job, recipe=replace(job.recipe, merge=replace(job.recipe.merge, models=models))))
    assert learn(other, force=True).learnt.chosen == 4


def test_a_model_that_changed_under_the_same_name_is_noticed(job_of):
    job = job_of("vit", steps=1)
    learnt = learn(job).learnt
    now = [learnt.base, *learnt.models]
    assert changed(learnt, now) == []
    assert changed(learnt, [now[0], replace(now[1], digest="other"), now[2]]) == [now[1].model]


def test_learning_stops_when_nothing_gets_better_and_keeps_the_best(job_of):
    job = job_of(
        "vit", granularity="task", steps=30, rate=1.0, every=1, patience=2, keep="best", held_out=0.34, tolerance=0.05
    )
    learnt = learn(job).learnt
    assert learnt.stopped == "no better loss in 2 checks"
    assert len(learnt.losses) == learnt.checks[-1][0] == learnt.chosen + 2 < 30
    assert learnt.settings["keep"] == "best"


def test_each_task_may_have_its_expert_s_own_head(job_of):
    job = job_of("vit", heads="own", steps=2)
    found = learn(job)
    assert not any("classifier" in name for name in found.learnt.coefficients)
    assert "copy" in {rule.method for rule in found.recipe.merge.rules}


def test_experts_are_asked_once(job_of, tmp_path, model_of):
    job = job_of("llama", "expert_merging")
    pools, asked = pools_of(job.data, 2), []

    def load(ref):
        asked.append(ref.path)
        return model_of("llama", 1 if ref.path.endswith("1") else 2)

    for _ in range(2):
        experts = answered(tmp_path / "answers", pools, job.recipe.merge.models, hidden=True, load=load)
    assert asked == [o.model.path for o in job.recipe.merge.models]
    found = experts.answer(pools[1], [2, 0])
    with torch.no_grad():
        want = model_of("llama", 2)(input_ids=texts(1).inputs["input_ids"][[2, 0]]).logits
    torch.testing.assert_close(found.logits, want)
    assert len(found.hidden) == 2


def test_the_artefact_says_what_was_done(job_of):
    job = job_of("vit", steps=2)
    learnt = learn(job).learnt
    assert read(job.out) == learnt
    assert [one.samples for one in learnt.data] == [6, 6]
    assert len({one.digest for one in (learnt.base, *learnt.models)}) == 3
    assert learnt.settings["seed"] == 0
    (job.out / "coefficients.json").write_text(json.dumps({"form": 99}))
    with pytest.raises(CorruptFile, match="another form"):
        read(job.out)
    with pytest.raises(NotFound):
        read(job.out / "nowhere.json")


def test_rates_and_bounds() -> None:
    said = Settings(rate=0.5, restarts=50, bounds="sigmoid", init=0.1)
    assert [rate_at(said, step) for step in (0, 50, 150)] == [0.5, 0.5, 0.5]
    assert rate_at(said, 49) < 0.06
    torch.testing.assert_close(bounded(torch.tensor(0.1).logit(), said), torch.tensor(0.1))
    raw = torch.tensor([1.5, 0.5], requires_grad=True)
    bounded(raw, Settings()).sum().backward()
    assert raw.grad.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "want"),
    [({"init": 1.5}, "init"), ({"rate": 0.0}, "rate"), ({"steps": 0}, "steps"), ({"granularity": "row"}, "granularity"),
     ({"held_out": 1.0}, "held_out"), ({"bounds": "sigmoid", "init": 0.0}, "init"), ({"temprature": 1.0}, "temprature")],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(changes, want) -> None:
    with pytest.raises(BadParameter, match=want):
        learner("expert_merging").defaults.but(**changes)


def test_an_unknown_learner_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="adamerging"):
        learner("adamergin")
    assert all(card.name == name for name, card in LEARNERS.items())


def refused(job, error=PlanError, match="") -> None:
    with pytest.raises(error, match=match):
        learn(job)
    assert not (job.out / "recipe.yaml").exists()


def test_data_that_cannot_be_used_is_refused(job_of):
    refused(job_of("vit", data=[]), BadParameter, "no calibration data")
    refused(job_of("vit", data=[TaskData("a", (), 0)]), BadParameter, "no calibration data")
    refused(job_of("vit", data=[TaskData("a", (pictures(0),), 7)]), BadParameter, "no expert")
    odd = Batch({"input_ids": torch.ones(2, 3, dtype=torch.int64), "attention_mask": torch.ones(3, 3)})
    refused(job_of("llama", data=[TaskData("a", (odd,), 0)]), BadParameter, "unequal lengths")
    ids = [Batch({"input_ids": torch.ones(1, n, dtype=torch.int64)}) for n in (3, 4)]
    refused(job_of("llama", data=[TaskData("a", tuple(ids), 0)], batch=2), BadParameter, "unequal lengths")
    refused(job_of("vit", data=[TaskData("a", (pictures(0, 1),), 0)], held_out=0.5), BadParameter, "held_out")


def test_merges_that_cannot_be_learnt_are_refused(job_of):
    job = job_of("vit")
    node = job.recipe.merge
    for merge, match in (
        (replace(node, method="ties"), "not linear"),
        (replace(node, base=None), "need a base"),
        (replace(node, parameters={"normalize": True}), "divided by their sum"),
        (replace(node, rules=(Rule(Match(role=("norm",)), method="linear"),)), "beside what is learnt"),
    ):
        refused(replace(job, recipe=Recipe(merge)), PlanError, match)
    steps = parse("{base: x, models: [a], steps: [{trim: {density: 0.5}}, weigh, add_models]}").merge.steps
    both = replace(node, method="steps", steps=steps)
    refused(replace(job, card=learner("adamerging_plus_plus"), recipe=Recipe(both)), PlanError, "given twice")
    nested = Operand(Merge("linear", node.models))
    job = job_of("vit", "expert_merging")
    refused(replace(job, recipe=Recipe(replace(node, models=(nested, node.models[0])))), PlanError, "merge inside")


def test_models_of_another_family_are_refused(job_of, folder_of):
    job = job_of("vit")
    other = Operand(replace(job.recipe.merge.models[0].model, path=str(folder_of("llama", 1))))
    models = (job.recipe.merge.models[0], other)
    refused(
        replace(job, recipe=Recipe(replace(job.recipe.merge, models=models))),
        SoleraError,
        "architecture|family|vit|not",
    )


def test_a_model_without_a_head_is_refused(job_of, model_of):
    job = job_of("vit")
    body = model_of("vit").vit
    refused(replace(job, said=replace(job.said, heads="own"), load=lambda _: body), PlanError, "heads are missing")


def test_a_live_model_that_holds_other_leaves_is_refused(job_of, model_of):
    job = job_of("vit")
    refused(replace(job, load=lambda _: torch.nn.Linear(2, 2)), PlanError, "architecture is not supported")


def test_a_loss_that_is_no_number_is_an_error(job_of):
    bad = Batch({"pixel_values": torch.full((4, 3, 8, 8), float("inf"))})
    refused(job_of("vit", data=[TaskData("a", (bad,), 0)]), NonFinite, "step 1, a")


def test_a_target_that_holds_something_else_is_left_alone(job_of):
    job = job_of("vit")
    job.out.mkdir()
    (job.out / "mine.txt").write_text("mine")
    refused(job, TargetInUse, "not empty")
    assert (job.out / "mine.txt").read_text() == "mine"
