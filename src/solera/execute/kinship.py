"""Are the models really children of the base? A cheap look at the deltas that pass by anyway.

A fine-tune stays near its base; a model with another parent differs from it by more than the base's own length.
The start of every matrix is looked at, and the median over them decides, so single rewritten tensors do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

SAMPLE = 4096
"""Elements looked at, from the start of a tensor."""
FAR = 0.7
"""Length of the delta over the base's, above which a model is called far."""


@dataclass(eq=False)
class Kinship:
    """Relative lengths of deltas, by model."""

    ratios: dict[str, list[float]] = field(default_factory=dict)

    def look(self, models: Sequence[str], values: Sequence[NDArray[np.floating]], base: NDArray[np.floating]) -> None:
        """Note how long each model's delta is beside the base, on the first elements of a tensor.

        Shape: every array (elements,); `values` are the models' own weights.
        """
        length = float(np.linalg.norm(base[:SAMPLE]))
        if length == 0 or base.size < SAMPLE:
            return
        for model, value in zip(models, values, strict=True):
            self.ratios.setdefault(model, []).append(float(np.linalg.norm(value[:SAMPLE] - base[:SAMPLE])) / length)

    def warnings(self) -> Iterator[str]:
        """A sentence for each model that is far from the base.

        Example:
            >>> list(Kinship({"a#0": [0.1, 0.2, 9.0]}).warnings())
            []
        """
        for model, ratios in sorted(self.ratios.items()):
            if (typical := median(ratios)) > FAR:
                yield (
                    f"{model.rpartition('#')[0]} is far from the base (its task vector is {typical:.1f} times as long "
                    "as the base's weights): was it fine-tuned from another model?"
                )
