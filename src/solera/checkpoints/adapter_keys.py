"""From the names in an adapter file to the tensors of the base that they change."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from solera.checkpoints.contract import Source
from solera.errors import CheckpointError, MissingTensor

_FACTOR = re.compile(
    r"(?P<module>.+?)(?:\.base_layer)?\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)"
    r"(?:\.default)?(?:\.(?P<leaf>weight|bias))?"
)
_TOKENS = re.compile(r"(?P<module>.+?)(?:\.token_adapter)?\.trainable_tokens_delta(?:\.default)?")
_WRAPPING = re.compile(r"\.(modules_to_save(\.default)?|base_layer)(?=\.)")
_FOREIGN = re.compile(r"(^|\.)(lora_|ia3_|vera_|hada_|lokr_|oft_|boft_|fourierft_|vblora_|bone_|prompt_)")

# Modules of transformers whose tensors keep an older name in files (ViT, Mixtral, GPT-NeoX).
_OLDER_NAMES = [
    (re.compile(module), file)
    for module, file in [
        (r"\blayers\.(\d+)\.attention\.q_proj\b", r"encoder.layer.\1.attention.attention.query"),
        (r"\blayers\.(\d+)\.attention\.k_proj\b", r"encoder.layer.\1.attention.attention.key"),
        (r"\blayers\.(\d+)\.attention\.v_proj\b", r"encoder.layer.\1.attention.attention.value"),
        (r"\blayers\.(\d+)\.attention\.o_proj\b", r"encoder.layer.\1.attention.output.dense"),
        (r"\blayers\.(\d+)\.mlp\.fc1\b", r"encoder.layer.\1.intermediate.dense"),
        (r"\blayers\.(\d+)\.mlp\.fc2\b", r"encoder.layer.\1.output.dense"),
        (r"\blayers\.(\d+)\.(layernorm_\w+)\b", r"encoder.layer.\1.\2"),
        (r"\.mlp\.gate\b", r".block_sparse_moe.gate"),
        (r"\blm_head\b", r"embed_out"),
    ]
]


@dataclass(frozen=True, slots=True)
class AdapterParts:
    """An adapter's tensors, sorted by what they do.

    `factors`: module -> part (A, B, embedding_A, embedding_B, magnitude_vector, bias) -> source.
    `tokens`: module -> trained rows. `whole`: tensor name -> source that replaces it.
    """

    factors: Mapping[str, Mapping[str, Source]]
    tokens: Mapping[str, Source]
    whole: Mapping[str, Source]


def sort_parts(table: Mapping[str, Source], where: str) -> AdapterParts:
    """Sort an adapter's tensors; names lose PEFT's own wrapping.

    Raises:
        CheckpointError: a tensor of another kind of adapter.
    """
    factors: dict[str, dict[str, Source]] = defaultdict(dict)
    tokens: dict[str, Source] = {}
    whole: dict[str, Source] = {}
    for key, source in table.items():
        name = key.removeprefix("base_model.model.")
        if factor := _FACTOR.fullmatch(name):
            part = "bias" if factor["leaf"] == "bias" else factor["part"]
            factors[factor["module"]][part] = source
        elif trained := _TOKENS.fullmatch(name):
            tokens[trained["module"]] = source
        elif _FOREIGN.search(name):
            raise CheckpointError("A tensor of the adapter is of an unknown kind.", where=where, got=key[:200])
        elif ".original_module." not in name:
            whole[_WRAPPING.sub("", name)] = source
    return AdapterParts(factors, tokens, whole)


@dataclass(frozen=True)
class Targets:
    """Finds the base's tensor that a module name means, where the two differ in their leading parts.

    Example:
        >>> Targets(["h.0.attn.c_attn.weight", "wte.weight"]).find("transformer.h.0.attn.c_attn.weight")
        'h.0.attn.c_attn.weight'
    """

    names: Collection[str]
    where: str = field(default="", compare=False)

    def find(self, wanted: str) -> str | None:
        """The tensor's own name; None if there is none.

        Raises:
            CheckpointError: several tensors answer equally well.
        """
        older = (pattern.sub(file, wanted) for pattern, file in _OLDER_NAMES if pattern.search(wanted))
        return next(filter(None, map(self._find, (wanted, *older))), None)

    def _find(self, wanted: str) -> str | None:
        if wanted in self.names:
            return wanted
        parts = wanted.split(".")
        for dropped in range(_droppable(parts) + 1):
            found = self._by_ending.get(".".join(parts[dropped:]))
            if found:
                return self._best(found, set(parts[:dropped]), wanted)
        return None

    def must_find(self, wanted: str) -> str:
        """The tensor's own name.

        Raises:
            MissingTensor: there is none.
        """
        found = self.find(wanted)
        if found is None:
            raise MissingTensor(
                "The adapter changes a tensor that the model does not have.",
                where=self.where,
                got=wanted[:200],
                fix="check that the adapter was made for this model",
            )
        return found

    @cached_property
    def _by_ending(self) -> Mapping[str, list[str]]:
        endings: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            for ending in _endings(name.split(".")):
                endings[ending].append(name)
        return endings

    def _best(self, found: list[str], dropped: set[str], wanted: str) -> str:
        """Among tensors with the same ending, the one that shares most of the leading parts."""
        scores = {name: len(dropped.intersection(name.split("."))) for name in found}
        best = [name for name, score in scores.items() if score == max(scores.values())]
        if len(best) > 1:
            got = f"{wanted[:200]} could be {best[0]} or {best[1]}"
            raise CheckpointError("It is not clear which tensor the adapter changes.", where=self.where, got=got)
        return best[0]


def _endings(parts: list[str]) -> Iterable[str]:
    return (".".join(parts[dropped:]) for dropped in range(_droppable(parts) + 1))


def _droppable(parts: list[str]) -> int:
    """How many leading parts may differ: all before the layer's stack and number, and at most all but two."""
    first_number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    kept_from = first_number - 1 if first_number else len(parts) - 2
    return max(0, kept_from)
