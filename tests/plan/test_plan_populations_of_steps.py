"""A chain's population is held together by what its summaries depend on, not by what comes after them."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from solera.app.live import merge_tensors
from solera.plan.build import make_plan
from solera.recipe import parse


def test_weights_by_rule_leave_the_whole_model_threshold_alone(tmp_path):
    draw = torch.Generator().manual_seed(0)
    for name in "xab":
        (tmp_path / name).mkdir()
        tensors = {key: torch.randn(40, generator=draw) * scale for key, scale in (("small", 0.1), ("large", 1.0))}
        save_file(tensors, tmp_path / name / "model.safetensors")

    def recipe(rules: str) -> str:
        return f"""
base: {tmp_path}/x
models: [{tmp_path}/a, {tmp_path}/b]
steps: [{{trim: {{density: 0.3}}}}, {{elect_sign: {{zero: majority}}}}, weigh, add_models]
parameters: {{weight: 0.5}}
{rules}
"""

    plain = merge_tensors(parse(recipe("")), threads=1)
    ruled = parse(recipe("rules: [{match: {name: small}, models: [{weight: 0.5}, {weight: 0.25}]}]"))
    assert len(make_plan(ruled).stages) == 2
    found = merge_tensors(ruled, threads=1)
    torch.testing.assert_close(found["large"], plain["large"], rtol=0, atol=0)
