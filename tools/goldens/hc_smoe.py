"""Store the clusters of experts by their mean outputs.

python tools/goldens/hc_smoe.py --checkout PATH
"""

from __future__ import annotations

import foreign
import moe_inputs as given
import torch

REPOSITORY = "wazenmai/HC-SMoE"
COMMIT = "bd77eba1b55ca58606a47e2d0807a24218da73c3"


def main() -> None:
    """Run the clustering on the shared inputs."""
    path = foreign.checkout(COMMIT, __doc__ or "")
    code = foreign.module("clustering", path / "hcsmoe" / "merging" / "clustering.py")
    found = {}
    for linkage in ("average", "single"):
        for case in range(4):
            for wanted in (6, 4, 2):
                labels, nearest = code.hierarchical_clustering(given.points(case), wanted, linkage)
                found[f"{linkage}/{case}/{wanted}/labels"] = labels.clone()
                found[f"{linkage}/{case}/{wanted}/nearest"] = torch.tensor(nearest)
    foreign.store("hc_smoe", found, REPOSITORY, COMMIT, foreign.EXPERTS)


if __name__ == "__main__":
    main()
