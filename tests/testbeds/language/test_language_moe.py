"""moe-8: two mixtures of experts with routers that can be watched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from solera import testbeds
from solera.testbeds.language import moe_stages
from solera.testbeds.language.lm_stages import encoded_items


def test_both_kinds_are_read_by_transformers(moe) -> None:
    for folder, kind in ((moe.base, "mixtral"), (moe.extras["qwen3"], "qwen3_moe")):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        assert model.config.model_type == kind
        assert model.config.num_local_experts == 8
        assert model.config.num_experts_per_tok == 2


def test_tasks_are_those_of_lm_6_without_experts(moe, lm) -> None:
    ours, theirs = testbeds.tasks(moe), testbeds.tasks(lm)
    assert [(t.name, t.data, t.group) for t in ours] == [(t.name, t.data, t.group) for t in theirs]
    assert {task.expert for task in ours} == {None}
    for folder in (moe.base, moe.extras["qwen3"]):
        assert set(ours[0].measure(testbeds.load(moe, folder))) == {"exact", "loss"}
    written = testbeds.tasks(moe, written=True)
    assert [(t.name, t.group) for t in written] == [(f"{t.name}/generated", t.group) for t in ours]


@pytest.mark.parametrize("kind", ["mixtral", "qwen3"])
def test_loads_are_counted_without_padding(moe, kind: str) -> None:
    model = testbeds.load(moe, moe.folder / kind)
    rows = encoded_items(moe.folder / "data", "test")["recall"]
    counts = torch.zeros(2, 8)
    model(torch.tensor([[1, 2]]))  # transformers puts hooks of its own in place when a model first runs
    hooks = [len(module._forward_hooks) for module in model.modules()]
    with moe_stages.watched(model) as chosen:
        for given, wanted in rows:
            chosen.clear()
            model(torch.tensor([given + wanted]))
            counts += torch.stack([torch.bincount(c.flatten(), minlength=8) for c in chosen])
    want = counts / counts.sum(1, keepdim=True)
    torch.testing.assert_close(torch.tensor(moe_stages.loads(model, rows)), want, atol=1e-3, rtol=0)
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert 0 < moe.facts[kind]["load"][0][0] < 1


def test_builds_of_one_seed_are_equal(moe, tmp_path: Path) -> None:
    assert testbeds.build("moe-8", size="tiny", cache=tmp_path).digest == moe.digest
