"""Packs of language models: prompts are continued, each with the weights that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from solera.errors import BadParameter
from solera.inference.routed.grouping import Group, groups_of, rows_of
from solera.inference.routed.model import PackModel, Tasks, check_no_cache, is_one_task


class GeneratingPack(PackModel):
    """A pack of language models."""

    auto_class = "AutoModelForCausalLM"

    @classmethod
    def can_generate(cls) -> bool:
        """It can."""
        return True

    def generate(self, inputs: Any = None, *, task: Tasks | None = None, weights: Any = None, **options: Any) -> Any:
        """Continue prompts, each with the weights that its prompt asks for; as `generate` of the model inside.

        Prompts of a batch that want other weights are continued one group after another, and filled up with padding.

        Raises:
            UnknownName, BadParameter, ShapeMismatch: as `forward`. BadParameter: more than token ids are asked for, of
                prompts that want different weights.
        """
        given = {**({} if inputs is None else {self._main: inputs}), **options}
        size = self._size(given)
        chosen = self.weights_for(_prompt(given), task, weights)
        groups = groups_of(chosen)
        if self._mixes and not is_one_task(groups):
            return self.mixed(chosen, lambda: self.inner.generate(**given))
        if len(groups) == 1:
            return self._generated(groups[0], given)
        check_no_cache(given)
        if options.get("return_dict_in_generate") or options.get("streamer") is not None:
            fix = "generate for one task at a time"
            raise BadParameter("Prompts of several tasks give token ids only.", got="return_dict or streamer", fix=fix)
        made = [self._generated(group, rows_of(given, size, group.rows)) for group in groups]
        return _stacked(made, groups, self._padding(options))

    def prepare_inputs_for_generation(self, *args: Any, **options: Any) -> Any:
        """As the model inside does."""
        return self.inner.prepare_inputs_for_generation(*args, **options)

    def _generated(self, group: Group, given: Mapping[str, Any]) -> Any:
        self.set_weights(group.weights)
        return self.inner.generate(**given)

    def _padding(self, options: Mapping[str, Any]) -> int:
        known = (options.get("generation_config"), self.generation_config, self.inner.config)
        said = [options.get("pad_token_id"), *(getattr(one, "pad_token_id", None) for one in known)]
        ends = [getattr(one, "eos_token_id", None) for one in known]
        found = next((one for one in [*said, *ends] if one is not None), 0)
        return int(found[0] if isinstance(found, (list, tuple)) else found)


def _prompt(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a call of `generate` is an input."""
    return {name: value for name, value in given.items() if isinstance(value, Tensor)}


def _stacked(made: Sequence[Tensor], groups: Sequence[Group], padding: int) -> Tensor:
    """Token ids of all groups in the order of the prompts; several sequences of a prompt stay together."""
    longest = max(ids.shape[1] for ids in made)
    rows: dict[int, Tensor] = {}
    for ids, group in zip(made, groups, strict=True):
        wide = torch.nn.functional.pad(ids, (0, longest - ids.shape[1]), value=padding)
        rows |= dict(zip(group.rows, wide.reshape(len(group.rows), -1, longest), strict=True))
    return torch.cat([rows[row] for row in sorted(rows)])
