"""Merged and pruned models in transformers: what must not change, does not."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.moe.conftest import (
    EXPERTS,
    FAMILIES,
    changed,
    expert_names,
    live,
    logits,
    logits_of,
    measured,
    router_name,
)
from torch import nn

from solera.app import ExpertMerge, moe_merge, moe_prune
from solera.app.verify import verify
from solera.checkpoints import digest_checkpoint, open_checkpoint
from solera.execute.artefacts import read_artefacts
from solera.methods.moe import sharing
from solera.methods.moe.contract import Group
from solera.methods.moe.layout import experts_of
from solera.methods.moe.neurons import neuron_order
from solera.methods.moe.sharing import share_experts
from solera.methods.moe.view import reduced

METHODS = ("m_smoe", "hc_smoe")
ORDER = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])


def copied(name: str, layers: int = 2, turned: bool = False):
    """Expert 3 becomes expert 1 (its neurons in another order), and experts 2 becomes 0; the routers' rows too."""

    def change(tensors) -> None:
        for layer in range(layers):
            for source, target in ((1, 3), (0, 2)):
                gate, up, down = (tensors[n] for n in expert_names(name, layer, source))
                if turned:
                    size = torch.arange(len(gate))
                    order = torch.cat([size[:8][ORDER], size[8:]])
                    gate, up, down = gate[order], up[order], down[:, order]
                for n, tensor in zip(expert_names(name, layer, target), (gate, up, down), strict=True):
                    tensors[n] = tensor.clone()
                rows = tensors[router_name(name, layer)]
                rows[target] = rows[source]

    return change


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_merging_equal_experts_changes_nothing(model_of, measured_of, tmp_path, name: str, method: str) -> None:
    def equal(tensors) -> None:
        for layer in range(2):
            for expert in range(1, EXPERTS):
                for part in range(3):
                    target, source = (expert_names(name, layer, e)[part] for e in (expert, 0))
                    tensors[target] = tensors[source].clone()

    same = changed(model_of(name), tmp_path / "same", equal)
    statistics = measured(same, tmp_path / "statistics")
    for rows in ("every", "mean"):
        moe_merge(ExpertMerge(str(same), method, 3, statistics, rows=rows), tmp_path / rows)  # type: ignore[arg-type]
        old, new = (load_file(folder / "model.safetensors") for folder in (same, tmp_path / rows))
        assert all(torch.equal(tensor, old[key]) for key, tensor in new.items() if "gate.weight" not in key)
        torch.testing.assert_close(logits(tmp_path / rows), logits(same), rtol=1e-5, atol=1e-6)  # gates add up to 1


@pytest.mark.parametrize("name", FAMILIES)
def test_an_expert_in_another_order_merges_to_itself(model_of, tmp_path, name: str) -> None:
    twin = changed(model_of(name), tmp_path / "twin", copied(name, turned=True))
    statistics = measured(twin, tmp_path / "statistics")
    for align, same in ((False, False), (True, True)):
        wanted = ExpertMerge(str(twin), "hc_smoe", 2, statistics, {"align": align}, rows="every")
        report = moe_merge(wanted, tmp_path / "out", force=True)
        assert report.groups[0] == ((0, 2), (1, 3))
        assert (report.moved > 0) is align
        assert torch.allclose(logits(tmp_path / "out"), logits(twin), atol=1e-5) is same
    kept = read_artefacts(tmp_path / "out")
    assert [artefact.name for artefact in kept] == ["neurons"]
    assert all(sorted(order.tolist()) == list(range(len(order))) for order in kept[0].values.values())


def test_aligning_finds_the_order_back() -> None:
    draw = torch.Generator().manual_seed(0)
    gate, up, down = (torch.randn(*shape, generator=draw) for shape in ((8, 5), (8, 5), (5, 8)))
    order = neuron_order((gate, up, down), (gate[ORDER], up[ORDER], down[:, ORDER]))
    assert torch.equal(order, torch.argsort(ORDER))
    assert torch.equal(neuron_order((gate, up, down), (gate, up, down)), torch.arange(8))
    zeros = [torch.zeros_like(one) for one in (gate, up, down)]
    assert torch.equal(neuron_order((gate, up, down), zeros), torch.arange(8))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fused", [False, True])
def test_pruning_experts_that_nobody_is_sent_to_changes_no_logit(model_of, tmp_path, name: str, fused: bool) -> None:
    idle = changed(model_of(name), tmp_path / "idle", lambda t: _silence(t, name, (0, 3)))
    source = _in_memory_layout(idle, tmp_path / "fused") if fused else idle
    statistics = measured(source, tmp_path / "statistics")
    report = moe_prune(ExpertMerge(str(source), "reap", 2, statistics), tmp_path / "out")
    assert report.groups == {0: ((1,), (2,)), 1: ((1,), (2,))}
    assert report.experts == (EXPERTS, 2)
    torch.testing.assert_close(logits(tmp_path / "out"), logits(idle), rtol=1e-5, atol=1e-5)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {config.get(key, 2) for key in ("num_experts", "num_local_experts")} == {2}


def _silence(tensors, name: str, experts) -> None:
    """Channel 0 is large for every token and nothing adds to it; routers give these experts much less for it."""
    tensors["model.embed_tokens.weight"][:, 0] = 50.0
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.o_proj.weight"][0] = 0
        tensors[f"model.layers.{layer}.post_attention_layernorm.weight"][0] = 1
        rows = tensors[router_name(name, layer)]
        for expert in range(EXPERTS):
            tensors[expert_names(name, layer, expert)[2]][0] = 0
            rows[expert, 0] = -100.0 if expert in experts else 0.0


def _in_memory_layout(folder, out):
    """The same model, with fused experts in its files."""
    model = live(folder)
    model.save_pretrained(out, save_original_format=False)
    return out


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("rows", ["mean", "leader", "every"])
def test_fused_and_single_tensors_give_equal_models(model_of, measured_of, tmp_path, name: str, rows: str) -> None:
    found = []
    for fused in (False, True):
        folder = model_of(name, fused=fused)
        assert experts_of(open_checkpoint(str(folder))).fused is fused
        wanted = ExpertMerge(str(folder), "m_smoe", 2, measured_of(name, fused=fused), rows=rows)  # type: ignore[arg-type]
        report = moe_merge(wanted, tmp_path / str(fused))
        assert experts_of(open_checkpoint(str(tmp_path / str(fused)))).fused is fused
        found.append((report.groups, logits(tmp_path / str(fused))))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", FAMILIES)
def test_slots_held_once_give_the_logits_of_slots_written_out(model_of, measured_of, tmp_path, name: str) -> None:
    wanted = ExpertMerge(str(model_of(name)), "hc_smoe", 2, measured_of(name), rows="every")
    report = moe_merge(wanted, tmp_path / "out")
    model = live(tmp_path / "out")
    want, before = logits_of(model), sum(p.numel() * p.element_size() for p in model.parameters())
    freed = share_experts(model)
    torch.testing.assert_close(logits_of(model), want, rtol=1e-5, atol=1e-5)
    assert sum(p.numel() * p.element_size() for p in model.parameters()) == before - freed
    assert report.bytes - report.distinct == freed
    assert share_experts(model) == 0


def test_merged_weights_are_the_weighted_sum(model_of, measured_of, tmp_path) -> None:
    folder = model_of("mixtral")
    wanted = ExpertMerge(str(folder), "m_smoe", 2, measured_of("mixtral"), {"align": False})
    report = moe_merge(wanted, tmp_path / "out")
    old, new = load_file(folder / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    shares = load_file(measured_of("mixtral") / "router_frequency.safetensors")
    for layer, groups in report.groups.items():
        usage = shares[router_name("mixtral", layer)].double()
        for slot, members in enumerate(groups):
            weights = usage[list(members)] / usage[list(members)].sum()
            for part in range(3):
                parts = torch.stack([old[expert_names("mixtral", layer, m)[part]].double() for m in members])
                got = new[expert_names("mixtral", layer, slot)[part]]
                torch.testing.assert_close(got, (weights[:, None, None] * parts).sum(0).float(), rtol=1e-6, atol=1e-8)
            rows = torch.stack([old[router_name("mixtral", layer)][m].double() for m in members])
            got = new[router_name("mixtral", layer)][slot]
            torch.testing.assert_close(got, (weights[:, None] * rows).sum(0).float(), rtol=1e-6, atol=1e-8)


def test_as_many_groups_as_experts_leave_every_bit(model_of) -> None:
    for fused in (False, True):
        model = open_checkpoint(str(model_of("qwen3_moe", fused=fused)))
        experts = experts_of(model)
        whole = {x.router.name: tuple(Group((e,), (1.0,), e) for e in range(EXPERTS)) for x in experts.layers}
        for rows in ("mean", "leader", "every"):
            view = reduced(model, experts, whole, rows=rows)  # type: ignore[arg-type]
            assert digest_checkpoint(view).root == digest_checkpoint(model).root


def test_the_folder_can_be_verified_and_says_how_it_was_made(model_of, measured_of, tmp_path) -> None:
    folder = model_of("qwen3_moe", fused=True)
    wanted = ExpertMerge(str(folder), "hc_smoe", 0.5, measured_of("qwen3_moe", fused=True), dtype="bfloat16")
    report = moe_merge(wanted, tmp_path / "out")
    assert verify(tmp_path / "out")["ok"]
    made = json.loads((tmp_path / "out" / "solera.json").read_text())
    assert made["result"] == report.digest == digest_checkpoint(open_checkpoint(str(tmp_path / "out"))).root
    assert set(made["counts"]) == {"copied", "merged"}
    assert made["moe"]["groups"]["0"] == [list(members) for members in report.groups[0]]
    assert made["moe"]["statistics"][0]["kind"] == "router_frequency"
    assert "hc_smoe" in (tmp_path / "out" / "README.md").read_text()
    specs = open_checkpoint(str(tmp_path / "out")).specs
    assert {spec.dtype.value for spec in specs.values()} == {"BF16"}
    assert report.bytes == sum(spec.nbytes for spec in specs.values()) < 0.6 * open_checkpoint(str(folder)).nbytes
    again = moe_merge(wanted, tmp_path / "again")
    assert again.digest == report.digest


def test_biases_of_routers_go_with_their_rows(tmp_path) -> None:
    from solera.testing.models import build

    folder = build("deepseek_v3", tmp_path / "m", layers=3, n_group=1, topk_group=1, n_routed_experts=EXPERTS)
    report = moe_prune(ExpertMerge(str(folder), "reap", 3, measured(folder, tmp_path / "s")), tmp_path / "out")
    old, new = (load_file(one / "model.safetensors") for one in (folder, tmp_path / "out"))
    for layer, groups in report.groups.items():
        kept = [members[0] for members in groups]
        for key in ("weight", "e_score_correction_bias"):
            name = f"model.layers.{layer}.mlp.gate.{key}"
            assert torch.equal(new[name], old[name][kept])
    logits(tmp_path / "out")


def test_the_map_of_shared_experts_lies_where_they_do(monkeypatch) -> None:
    monkeypatch.setattr(sharing, "_firsts", lambda _weights: [0, 0])
    module = nn.Module()
    module.gate_up_proj = nn.Parameter(torch.empty(2, 4, 3, device="meta"))
    module.down_proj = nn.Parameter(torch.empty(2, 3, 2, device="meta"))
    assert sharing.share_experts(module) == 4 * (4 * 3 + 3 * 2)
    assert module.expert_map.device == module.down_proj.device
