"""Store the scores of pruned experts.

python tools/goldens/reap.py --checkout PATH
"""

from __future__ import annotations

import foreign
import moe_inputs as given

REPOSITORY = "CerebrasResearch/reap"
COMMIT = "1970473c51ca3caeb98c10392f15b3a08a672974"


def main() -> None:
    """Run the observer's update on the shared inputs, in two batches."""
    path = foreign.checkout(COMMIT, __doc__ or "")
    foreign.stand_in("reap")
    foreign.module("reap.metrics", path / "src" / "reap" / "metrics.py")
    code = foreign.module("reap.pruning_metrics", path / "src" / "reap" / "pruning_metrics.py")
    state = code.initialize_pruning_state(given.EXPERTS)
    for rows in (slice(0, 17), slice(17, None)):
        code.update_pruning_state(
            state,
            activations=given.outputs()[:, rows],
            selected_experts=given.logits()[rows].topk(given.TOP, dim=1).indices,
            router_logits=given.logits()[rows],
            num_experts=given.EXPERTS,
            renormalize_router_weights=True,
        )
    names = {"frequency": "expert_frequency", "gate_sum": "weighted_expert_frequency_sum"}
    found = {ours: state[theirs] for ours, theirs in names.items()}
    found |= {name: state[name] for name in ("ean_sum", "weighted_ean_sum")}
    found |= {name: state[name].mean for name in ("reap", "ean_mean")}
    foreign.store("reap", {name: value.double() for name, value in found.items()}, REPOSITORY, COMMIT, foreign.EXPERTS)


if __name__ == "__main__":
    main()
