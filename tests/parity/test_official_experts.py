"""Experts beside official code: scores, clusters, groups, merged weights, rows made of prompts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

import moe_inputs as given

from solera.learn.statistics.experts import GATE, GATED, NORM, TOKENS
from solera.methods.moe.contract import Group
from solera.methods.moe.gates import embedded, from_states
from solera.methods.moe.hc_smoe import clusters, nearest
from solera.methods.moe.m_smoe import m_smoe
from solera.methods.moe.reap import SCORES
from solera.methods.moe.view import Mixed

pytestmark = pytest.mark.parity
STORED = Path(__file__).parent / "goldens" / "experts"


def test_scores_of_experts() -> None:
    want = load_file(STORED / "reap.safetensors")
    top = given.logits().softmax(-1).topk(given.TOP, dim=1)
    gates = torch.zeros(given.TOKENS, given.EXPERTS).scatter(
        1, top.indices, top.values / top.values.sum(1, keepdim=True)
    )
    norms, came = given.outputs().norm(dim=-1).T, torch.zeros_like(gates).scatter(1, top.indices, 1.0)
    sums = torch.zeros(4, given.EXPERTS)
    for row, each in ((TOKENS, came), (GATE, gates), (NORM, came * norms), (GATED, gates * norms)):
        sums[row] = each.sum(0)
    for name, scores in want.items():
        torch.testing.assert_close(SCORES[name](sums).double(), scores, rtol=1e-6, atol=1e-7)


def test_clusters_of_experts() -> None:
    for name, labels in load_file(STORED / "hc_smoe.safetensors").items():
        linkage, case, wanted, what = name.split("/")
        if what != "labels":
            continue
        found = clusters(given.points(int(case)), int(wanted), linkage)
        theirs = sorted([int(e) for e in torch.where(labels == k)[0]] for k in labels.unique())
        assert found == theirs, name
        middle = load_file(STORED / "hc_smoe.safetensors")[f"{linkage}/{case}/{wanted}/nearest"]
        many = [members for members in found if len(members) != 2]  # of two, rounding decides
        assert {nearest(given.points(int(case)), members) for members in many} <= set(middle.tolist())


@pytest.mark.parametrize("mean", [2, 3, 5])
def test_groups_by_routing_and_merged_weights(mean: int) -> None:
    from solera.checkpoints import MemorySource

    want = load_file(STORED / "mc_smoe.safetensors")
    gram = {str(k): (x := given.logits(k).double()).T @ x for k in range(given.LAYERS)}
    usage = {str(k): given.usage(k) for k in range(given.LAYERS)}
    found = m_smoe(spread="global").group({"router_frequency": usage, "router_gram": gram}, mean)
    for layer in range(given.LAYERS):
        labels = want[f"{mean}/{layer}"]
        theirs = sorted(tuple(int(e) for e in torch.where(labels == k)[0]) for k in labels.unique())
        assert sorted(group.members for group in found[str(layer)]) == theirs
    for group in found["0"]:
        _check_weights(group, want, mean, MemorySource)


def _check_weights(group: Group, want, mean: int, source) -> None:
    for part, name in enumerate(("w1", "w3", "w2")):
        parts = tuple(source(given.matrices(0, member)[part]) for member in group.members)
        whole = Mixed("w", parts, group.weights)
        ours = whole.read(None, 0, whole.spec.numel).reshape(whole.spec.shape)  # type: ignore[arg-type]
        # theirs adds an epsilon to the sum of the weights
        first = group.members[0]
        torch.testing.assert_close(ours, want[f"{mean}/merged/{first}/{name}"], rtol=1e-5, atol=1e-6)


def test_rows_made_of_prompts() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from solera.learn.statistics.prompts import _states

    want = load_file(STORED / "mergekit_moe.safetensors")
    model = LlamaForCausalLM(LlamaConfig(**given.LLAMA)).eval()
    model.load_state_dict(given.weights({k: tuple(v.shape) for k, v in model.state_dict().items()}))
    table = model.get_input_embeddings().weight.detach()
    for expert, prompts in enumerate(given.PROMPTS):
        for gate in ("hidden", "hidden_avg"):
            found = _states(model, gate)(prompts)  # type: ignore[arg-type]
            torch.testing.assert_close(found.float(), want[f"{gate}/{expert}"], rtol=1e-5, atol=1e-6)
        row = from_states(embedded(table, prompts)[None, None])[0]
        torch.testing.assert_close(row.expand(given.LLAMA["num_hidden_layers"], -1), want[f"cheap_embed/{expert}"])
