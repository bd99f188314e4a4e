"""A pack as a model: what each input gets is what its own model gives."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoConfig

from solera.app import PackMake, merge_live, pack_make
from solera.app.swapping import load_into
from solera.errors import BadParameter, CheckpointError, ShapeMismatch, UnknownName
from solera.inference.routed import load_pack
from solera.learn.statistics.loading import load_model
from solera.recipe.values import Merge, Operand, Recipe
from solera.types import ModelRef

from .inputs import NAMES, Lesson, images, texts

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LOGITS = {"vit": {"pixel_values": torch.cat([images(k, 2) for k in range(3)])}, "llama": {"input_ids": texts(1, 6)}}


def static(models, method, task):
    """The model that a static method rebuilds for one task."""
    operands = tuple(Operand(ModelRef(str(models[name]))) for name in NAMES)
    merged = merge_live(Recipe(Merge(method, operands, base=ModelRef(str(models["base"])), parameters={"task": task})))
    module = load_model(ModelRef(str(models["base"])))
    load_into(module, merged.tensors)
    return module


@pytest.mark.parametrize("method", ["tall_mask", "emr"])
@pytest.mark.parametrize("architecture", ["vit", "llama"])
def test_a_task_is_the_model_that_the_static_method_rebuilds(packed, family, architecture, method):
    model, inputs = load_pack(packed(architecture, method)), LOGITS[architecture]
    for place, name in enumerate(NAMES):
        want = static(family(architecture), method, place)(**inputs).logits
        assert torch.equal(model(**inputs, task=name).logits, want)


@pytest.mark.parametrize("architecture", ["vit", "llama", "mixtral", "gpt2"])
def test_exclusive_parts_of_full_rank_give_the_experts(packed, family, architecture):
    model = load_pack(packed(architecture, "twin", rank="full"))
    inputs = LOGITS["vit" if architecture == "vit" else "llama"]
    for name in NAMES:
        want = load_model(ModelRef(str(family(architecture)[name])))(**inputs).logits
        assert_close(model(**inputs, task=name).logits, want, **CLOSE)


@pytest.mark.parametrize(("method", "parameters"), [("tall_mask", {}), ("emr", {}), ("twin", {"rank": 2})])
@pytest.mark.parametrize("architecture", ["vit", "llama"])
def test_a_mixed_batch_is_one_by_one(packed, architecture, method, parameters):
    model, inputs = load_pack(packed(architecture, method, **parameters)), LOGITS[architecture]
    tasks = ["two", "one", "two", "three", "one", "three"]
    whole = model(**inputs, task=tasks).logits
    for row, name in enumerate(tasks):
        alone = model(**{k: v[row : row + 1] for k, v in inputs.items()}, task=name).logits
        assert_close(whole[row : row + 1], alone, **CLOSE)
    assert not torch.allclose(whole, model(**inputs, task="one").logits)


@pytest.mark.parametrize(("method", "parameters"), [("tall_mask", {}), ("twin", {"rank": 2})])
@pytest.mark.parametrize("architecture", ["vit", "llama"])
def test_a_routed_batch_is_one_by_one(packed, architecture, method, parameters):
    model, inputs = load_pack(packed(architecture, method, router=True, **parameters)), LOGITS[architecture]
    whole = model(**inputs).logits
    alone = [model(**{k: v[row : row + 1] for k, v in inputs.items()}).logits for row in range(len(whole))]
    assert_close(whole, torch.cat(alone), **CLOSE)
    weights = model.route(**inputs)
    assert_close(weights.sum(-1), torch.ones(len(whole)))
    assert bool((weights >= 0).all())


@pytest.mark.parametrize("architecture", ["vit", "llama", "gpt2"])
def test_mixtures_in_one_pass_are_those_of_rebuilt_models(packed, architecture):
    model = load_pack(packed(architecture, "twin", router=True, rank=2))
    inputs = LOGITS["vit" if architecture == "vit" else "llama"]
    assert model.pack.router.mixes
    draw = torch.rand(6, 3, generator=torch.Generator().manual_seed(3))
    whole = model(**inputs, weights=draw).logits
    for row in range(6):
        model.set_weights(tuple(draw[row].tolist()))
        rebuilt = model.inner(**{k: v[row : row + 1] for k, v in inputs.items()}).logits
        assert_close(whole[row : row + 1], rebuilt, **CLOSE)


def test_a_copy_mixes_like_the_model_it_was_made_of(packed):
    model = load_pack(packed("gpt2", "twin", router=True, rank=2))
    draw = torch.rand(6, 3, generator=torch.Generator().manual_seed(3))
    want = model(**LOGITS["llama"], weights=draw).logits
    again = copy.deepcopy(model)
    assert_close(again(**LOGITS["llama"], weights=draw).logits, want, **CLOSE)
    assert_close(again(**LOGITS["llama"], task="two").logits, model(**LOGITS["llama"], task="two").logits, **CLOSE)
    assert_close(model(**LOGITS["llama"], weights=draw).logits, want, **CLOSE)


def test_weights_are_those_of_a_sum(packed, family):
    model = load_pack(packed("vit", "twin", rank="full", **{"lambda": 0.0}))
    model.set_weights((0.5, 0.25, 0.0))
    states = {name: load_model(ModelRef(str(family("vit")[name]))).state_dict() for name in ("base", "one", "two")}
    for name, value in model.inner.state_dict().items():
        base, one, two = (states[k][name] for k in ("base", "one", "two"))
        assert_close(value, base + 0.5 * (one - base) + 0.25 * (two - base), **CLOSE)


def test_the_router_sends_inputs_to_their_task(packed):
    model = load_pack(packed("vit", "tall_mask", router=True))
    assert model.pack.router.accuracy == 1.0
    inputs = torch.cat([images(2, 3), images(0, 2)])
    assert model.route(pixel_values=inputs).argmax(-1).tolist() == [2, 2, 2, 0, 0]
    given = model(pixel_values=inputs, task=["three"] * 3 + ["one"] * 2).logits
    assert_close(model(pixel_values=inputs).logits, given, **CLOSE)


def test_tasks_that_look_alike_are_warned_of(family, tmp_path):
    models, said = family("vit"), []
    wanted = PackMake(tuple(str(models[name]) for name in NAMES), str(models["base"]))
    lessons = [[Lesson(pixel_values=images(0))]] * 3
    pack_make(wanted, tmp_path / "pack", lessons=lessons, on_event=said.append)
    assert any("some look alike" in event.message for event in said if event.kind == "warning")
    weights = load_pack(tmp_path / "pack").route(pixel_values=images(0, 2))
    assert_close(weights, torch.full((2, 3), 1 / 3), rtol=0, atol=0.1)


def test_a_loss_is_the_mean_over_all_inputs(packed):
    model = load_pack(packed("vit", "tall_mask"))
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    tasks = ["one"] * 4 + ["two"] * 2
    out = model(**LOGITS["vit"], labels=labels, task=tasks)
    assert_close(out.loss, torch.nn.functional.cross_entropy(out.logits, labels))


def test_a_loss_of_tokens_is_the_mean_over_all_labels(packed):
    model, ids = load_pack(packed("llama", "tall_mask")), texts(0, 3)
    labels = ids.clone()
    labels[0, :4] = -100
    tasks = ["one", "two", "two"]
    out = model(input_ids=ids, labels=labels, task=tasks)
    logits, wanted = out.logits[:, :-1].reshape(-1, out.logits.shape[-1]), labels[:, 1:].reshape(-1)
    assert_close(out.loss, torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100), **CLOSE)


@pytest.mark.parametrize(("method", "router", "parameters"), [("emr", False, {}), ("twin", True, {"rank": 2})])
def test_generation_of_a_mixed_batch_is_one_by_one(packed, method, router, parameters):
    model = load_pack(packed("llama", method, router=router, **parameters))
    ids, tasks = texts(1, 4), ["three", "one", "three", "two"]
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": 63}
    whole = model.generate(ids, attention_mask=torch.ones_like(ids), task=tasks, **options)
    for row, name in enumerate(tasks):
        one = ids[row : row + 1]
        alone = model.generate(one, attention_mask=torch.ones_like(one), task=name, **options)[0]
        assert whole[row, : len(alone)].tolist() == alone.tolist()
        assert whole[row, len(alone) :].eq(0).all()


def test_beams_have_the_weights_of_their_prompt(packed):
    model, ids = load_pack(packed("llama", "twin", router=True, rank=2)), texts(1, 2)
    options = {"max_new_tokens": 4, "num_beams": 2, "num_return_sequences": 2, "do_sample": False, "pad_token_id": 0}
    weights = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8]])
    mask = torch.ones_like(ids)
    whole = model.generate(ids, attention_mask=mask, weights=weights, **options)
    for row in range(2):
        alone = model.generate(ids[row : row + 1], attention_mask=mask[:1], weights=weights[row], **options)
        assert whole[2 * row : 2 * row + 2].tolist() == alone.tolist()


def test_a_continued_text_must_be_told_its_task(packed):
    model, ids = load_pack(packed("llama", "tall_mask")), texts(0, 2)
    first = model(input_ids=ids, task="one", use_cache=True)
    again = model(input_ids=ids[:, -1:], past_key_values=first.past_key_values, task="one")
    assert again.logits.shape[:2] == (2, 1)
    with pytest.raises(BadParameter, match="must be told its task"):
        model(input_ids=ids[:, -1:], past_key_values=first.past_key_values)
    with pytest.raises(BadParameter, match="cache cannot be parted"):
        model(input_ids=ids[:, -1:], past_key_values=first.past_key_values, task=["one", "two"])
    with pytest.raises(BadParameter, match="cache cannot be parted"):
        model.generate(ids, past_key_values=first.past_key_values, task=["one", "two"], max_new_tokens=1)


def test_the_task_can_be_given_for_all_calls_inside(packed):
    model = load_pack(packed("vit", "tall_mask"))
    want = model(**LOGITS["vit"], task="two").logits
    with model.using("two"):
        assert torch.equal(model(**LOGITS["vit"]).logits, want)
    with pytest.raises(BadParameter, match="has no router"):
        model(**LOGITS["vit"])


def test_what_cannot_be_is_said(packed):
    model = load_pack(packed("vit", "tall_mask"))
    with pytest.raises(UnknownName, match="did you mean `three`"):
        model(**LOGITS["vit"], task="thre")
    with pytest.raises(ShapeMismatch, match="3 for each of 6 inputs"):
        model(**LOGITS["vit"], task=["one", "two"])
    with pytest.raises(ShapeMismatch):
        model(**LOGITS["vit"], weights=[0.5, 0.5])
    with pytest.raises(BadParameter, match="finite"):
        model(**LOGITS["vit"], weights=[float("nan"), 0.0, 0.0])
    for wrong in ([], [1, 2], 3):
        with pytest.raises((BadParameter, ShapeMismatch)):
            model(**LOGITS["vit"], task=wrong)
    for wrong in ("one", [[1.0, 0.0, 0.0], [1.0]], [None] * 3):
        with pytest.raises(BadParameter, match="finite"):
            model(**LOGITS["vit"], weights=wrong)
    with pytest.raises(BadParameter, match="no input"):
        model(pixel_values=LOGITS["vit"]["pixel_values"][:0], task="one")
    with pytest.raises(BadParameter, match="both given"):
        model(**LOGITS["vit"], task="one", weights=[1.0, 0.0, 0.0])
    with pytest.raises(CheckpointError, match="from a config"):
        type(model)(AutoConfig.from_pretrained(packed("vit", "tall_mask")))


def test_halves_stay_halves_and_come_back(packed):
    model = load_pack(packed("vit", "tall_mask"), dtype="bfloat16")
    assert {p.dtype for p in model.inner.parameters()} == {torch.bfloat16}
    inputs = {"pixel_values": LOGITS["vit"]["pixel_values"].bfloat16()}
    want = load_pack(packed("vit", "tall_mask"))(**LOGITS["vit"], task="one").logits
    assert_close(model(**inputs, task="one").logits.float(), want, rtol=0.1, atol=0.2)


def test_moving_to_another_type_rebuilds(packed):
    model = load_pack(packed("vit", "tall_mask"))
    want = model(**LOGITS["vit"], task="one").logits
    model.double()
    assert_close(model(pixel_values=LOGITS["vit"]["pixel_values"].double(), task="one").logits.float(), want, **CLOSE)


def test_saving_copies_the_folder(packed, tmp_path):
    model = load_pack(packed("vit", "tall_mask"))
    model(**LOGITS["vit"], task="two")
    model.save_pretrained(tmp_path / "copy")
    again = load_pack(tmp_path / "copy")
    assert torch.equal(again(**LOGITS["vit"], task="one").logits, model(**LOGITS["vit"], task="one").logits)
    again.save_pretrained(tmp_path / "copy")
    with pytest.raises(BadParameter, match="not uploaded"):
        model.save_pretrained(tmp_path / "other", push_to_hub=True)


def test_options_that_are_not_known(packed):
    with pytest.raises(BadParameter, match="did you mean"):
        load_pack(packed("vit", "tall_mask"), attn_implementatio="eager")
    with pytest.raises(BadParameter, match="device"):
        load_pack(packed("vit", "tall_mask"), device="nowhere")


def test_heads_of_the_tasks_beside_a_router(family, tmp_path):
    models = family("vit")
    experts = tuple(str(models[name]) for name in NAMES)
    wanted = PackMake(experts, str(models["base"]), "twin", {"rank": "full"}, own=("classifier",))
    pack_make(wanted, tmp_path / "pack", lessons=[[Lesson(pixel_values=images(k))] for k in range(3)])
    model = load_pack(tmp_path / "pack")
    assert not model.pack.router.mixes
    want = load_model(ModelRef(str(models["two"])))(**LOGITS["vit"]).logits
    assert_close(model(**LOGITS["vit"], task="two").logits, want, **CLOSE)
    whole = model(**LOGITS["vit"]).logits
    alone = [model(pixel_values=LOGITS["vit"]["pixel_values"][row : row + 1]).logits for row in range(6)]
    assert_close(whole, torch.cat(alone), **CLOSE)
