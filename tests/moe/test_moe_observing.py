"""What single experts do with data: against sums made by hand, in batches of any size, with one layer in memory."""

from __future__ import annotations

import pytest
import torch
from tests.moe.conftest import EXPERTS, KINDS, batches, live, logits_of

from solera.errors import PlanError
from solera.learn.statistics import Batch, collect
from solera.learn.statistics.experts import one_output
from solera.learn.statistics.streaming import load_streamed, load_within
from solera.testing.models import build
from solera.types import ModelRef

NAMES = ("mixtral", "qwen3_moe", "qwen2_moe")


@pytest.mark.parametrize("name", NAMES)
def test_sums_are_those_made_by_hand(model_of, name: str) -> None:
    model = live(model_of(name))
    found = collect(model, batches(), KINDS)
    block = model.model.layers[1].mlp
    inputs: list[torch.Tensor] = []
    hook = block.register_forward_pre_hook(lambda _m, args: inputs.append(args[0].detach()))
    with torch.no_grad():
        for batch in batches():
            model(**batch.inputs)
        hook.remove()
        rows = torch.cat([x[b.inputs["attention_mask"].bool()] for x, b in zip(inputs, batches(), strict=True)])
        scores, weights, index = block.gate(rows)
        outputs = torch.stack([one_output(block.experts, e, rows) for e in range(EXPERTS)])
    leaf = next(leaf for leaf in found["router_gram"].tensors if ".1." in leaf)
    torch.testing.assert_close(found["expert_output"].tensors[leaf], outputs.mean(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["router_gram"].tensors[leaf], scores.T @ scores / len(rows), rtol=1e-4, atol=1e-6)
    want = torch.zeros(4, EXPERTS)
    for token in range(len(rows)):
        for place, expert in enumerate(index[token].tolist()):
            gate, norm = weights[token, place], outputs[expert, token].norm()
            want[:, expert] += torch.stack([torch.tensor(1.0), gate, norm, gate * norm])
    torch.testing.assert_close(found["expert_activation"].tensors[leaf], want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["router_frequency"].tensors[leaf], want[0] / len(rows), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_over_experts_gives_what_the_model_gives(model_of, name: str) -> None:
    model = live(model_of(name))
    want, seen = logits_of(model), []
    hook = model.register_forward_hook(lambda _m, _a, out: seen.append(out.logits))
    ids = batches(seed=5)[0].inputs["input_ids"]
    for kinds in (["expert_activation"], ["expert_output", "expert_activation"]):
        collect(model, [Batch({"input_ids": ids})], kinds)
    hook.remove()
    for got in seen:
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    assert torch.equal(logits_of(model), want)
    assert all("forward" not in vars(module) for module in model.modules())


def test_batches_do_not_matter_nor_do_padded_tokens(model_of) -> None:
    model = live(model_of("mixtral"))
    one, two = (collect(model, batches(batch=size), KINDS) for size in (12, 5))
    for kind in KINDS:
        for leaf, want in one[kind].tensors.items():
            torch.testing.assert_close(two[kind].tensors[leaf], want, rtol=1e-5, atol=1e-6)
    short = [Batch({"input_ids": b.inputs["input_ids"][:, :4]}) for b in batches()]
    padded = []
    for batch in short:
        ids = batch.inputs["input_ids"]
        mask = torch.cat([torch.ones_like(ids), torch.zeros(len(ids), 3, dtype=torch.int64)], 1)
        padded.append(Batch({"input_ids": torch.cat([ids, torch.full((len(ids), 3), 9)], 1), "attention_mask": mask}))
    first, second = (collect(model, each, KINDS) for each in (short, padded))
    for kind in KINDS:
        for leaf, want in first[kind].tensors.items():
            torch.testing.assert_close(second[kind].tensors[leaf], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "deepseek_v3"])
def test_one_layer_at_a_time_measures_the_same(model_of, tmp_path, name: str) -> None:
    folder = build(name, tmp_path / "m", layers=3) if name == "deepseek_v3" else model_of(name, fused=True)
    ref = ModelRef(str(folder))
    whole, streamed = live(folder), load_streamed(ref)
    layers, most = streamed.model.layers, []

    def resident() -> int:
        return sum(any(not p.is_meta for p in layer.parameters()) for layer in layers)

    for layer in layers:
        layer.mlp.register_forward_hook(lambda *_a: most.append(resident()))
    one, two = (collect(model, batches(), KINDS) for model in (whole, streamed))
    assert max(most) == 1
    assert resident() == 0
    for kind in KINDS:
        for leaf, want in one[kind].tensors.items():
            assert torch.equal(two[kind].tensors[leaf], want)
    assert torch.equal(logits_of(streamed), logits_of(whole))


def test_memory_decides_how_a_model_is_loaded(model_of) -> None:
    ref = ModelRef(str(model_of("mixtral")))
    assert not any(p.is_meta for p in load_within(1 << 30)(ref).parameters())
    assert any(p.is_meta for p in load_within(1000)(ref).parameters())


def test_tied_and_dense_models_come_from_the_disk_too(tmp_path) -> None:
    folder = build("llama", tmp_path / "m", layers=2, tied=True)
    streamed = load_streamed(ModelRef(str(folder)))
    assert torch.equal(logits_of(streamed), logits_of(live(folder)))
    assert streamed.lm_head.weight.data_ptr() == streamed.model.embed_tokens.weight.data_ptr()


def test_models_without_experts_are_refused(tmp_path) -> None:
    model = live(build("llama", tmp_path / "m", layers=1))
    for kind in KINDS:
        with pytest.raises(PlanError, match="no routers"):
            collect(model, batches(), [kind])
