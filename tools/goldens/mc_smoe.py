"""Store the groups of experts by their routing, and merged weights.

python tools/goldens/mc_smoe.py --checkout PATH
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import foreign
import moe_inputs as given
import torch

REPOSITORY = "UNITES-Lab/MC-SMoE"
COMMIT = "4a195b17114f3d1e5c991dfa5932f07dcffb1f63"


def main() -> None:
    """Group all layers, and merge the experts of the first."""
    path = foreign.checkout(COMMIT, __doc__ or "")
    foreign.stand_in("mcsmoe", "mcsmoe.utils", "transformers.models.mixtral.modeling_mixtral")
    foreign.module("mcsmoe.utils.constants", path / "mcsmoe" / "utils" / "constants.py")
    code = foreign.module("grouping", path / "mcsmoe" / "merging" / "grouping_mixtral.py")
    found = {}
    for mean in (2, 3, 5):
        grouper = grouped(code, mean)
        for layer in range(given.LAYERS):
            found[f"{mean}/{layer}"] = grouper.group_state_dict()[name(layer)].clone()
        merge = code._merge_mlp_experts_by_usage_frequency_weighting  # noqa: SLF001 - official code
        experts = [expert(k) for k in range(given.EXPERTS)]
        labels, usage = grouper.group_state_dict()[name(0)], grouper.usage_frequency_state_dict()[name(0)]
        merge(SimpleNamespace(experts=experts), labels, usage)
        for k, one in enumerate(experts):
            found |= {f"{mean}/merged/{k}/{w}": getattr(one, w).weight.clone() for w in ("w1", "w3", "w2")}
    foreign.store("mc_smoe", found, REPOSITORY, COMMIT, foreign.EXPERTS)


def name(layer: int) -> str:
    """As the repository names a layer."""
    return f"model.layers.{layer}.block_sparse_moe"


def grouped(code: Any, mean: int) -> Any:
    """Their grouper with usage and similarities of the shared inputs, grouped."""
    sizes = {"num_local_experts": given.EXPERTS, "hidden_size": given.WIDTH, "num_hidden_layers": given.LAYERS}
    grouper = code.ExpertsGrouperForMixtral(SimpleNamespace(**sizes))
    for layer in range(given.LAYERS):
        grouper._usage_frequency_state_dict[name(layer)] = given.usage(layer).float()  # noqa: SLF001
        columns = given.logits(layer).T
        for i in range(given.EXPERTS):
            for j in range(i + 1, given.EXPERTS):
                grouper.save_similarity(name(layer), i, j, grouper.similarity_fn(columns[i], columns[j]))
    grouper.group_experts_globally_from_dominant_experts(mean, list(range(given.LAYERS)))
    return grouper


def expert(k: int) -> Any:
    """One expert with its weights, as the repository reads them."""
    gate, up, down = (torch.nn.Parameter(m, requires_grad=False) for m in given.matrices(0, k))
    w1, w3, w2 = (SimpleNamespace(weight=m) for m in (gate, up, down))
    return SimpleNamespace(w1=w1, w3=w3, w2=w2)


if __name__ == "__main__":
    main()
