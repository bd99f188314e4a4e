"""What an adapter's config says that changes the arithmetic: rank, alpha, patterns, rsLoRA, DoRA, orientation."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solera.errors import CheckpointError, CorruptFile, UnsafeFile

# Settings under which the merged weights are not W + s B A of a file tensor.
_REFUSED = {
    "target_parameters": "adapters on bare parameters",
    "layer_replication": "replicated layers",
    "alora_invocation_tokens": "activated LoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "arrow_config": "Arrow routing",
    "megatron_config": "Megatron parallel layers",
}
_QUANTIFIED_GROUP = re.compile(r"\)[*+{?]|\\[1-9]|\(\?P=")
_MAX_PATTERN = 300
_MAX_NUMBER = 1e12


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """A PEFT LoRA config, checked.

    Attributes:
        base: the model that the adapter was trained on, as its author named it ("" if unknown).
        ranks, alphas: overrides by pattern over module names. tokens: trained token rows, by module name ("" for the
            input embedding).
    """

    rank: int
    alpha: float
    rslora: bool = False
    dora: bool = False
    fan_in_fan_out: bool = False
    ranks: Mapping[str, float] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    base: str = ""

    def scaling(self, module: str) -> tuple[int, float]:
        """Rank and scaling of one module: alpha / r, or alpha / sqrt(r) for rsLoRA.

        Example:
            >>> AdapterConfig(8, 16.0, alphas={"q_proj": 4.0}).scaling("model.layers.0.self_attn.q_proj")
            (8, 0.5)
        """
        rank = int(by_pattern(self.ranks, module, self.rank))
        alpha = by_pattern(self.alphas, module, self.alpha)
        return rank, alpha / (math.sqrt(rank) if self.rslora else rank)


def parse_adapter_config(config: Mapping[str, Any], where: str) -> AdapterConfig:
    """Check an adapter_config.json.

    Raises:
        CheckpointError: not LoRA, or a variant that is not read. CorruptFile: a value of the wrong type.
        UnsafeFile: a pattern that could run for ever.
    """
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise CheckpointError("This kind of adapter is not read.", where=where, got=str(kind)[:80], want="LORA")
    for key, meaning in _REFUSED.items():
        if config.get(key):
            raise CheckpointError(
                f"Adapters with {meaning} are not read.",
                where=where,
                got=f"{key}={config[key]}"[:200],
                fix="merge the adapter with peft's merge_and_unload first",
            )
    return AdapterConfig(
        rank=_positive(config, "r", 8, where),
        alpha=_number(config.get("lora_alpha", 8), "lora_alpha", where),
        rslora=bool(config.get("use_rslora")),
        dora=bool(config.get("use_dora")),
        fan_in_fan_out=bool(config.get("fan_in_fan_out")),
        ranks=_patterns(config, "rank_pattern", where),
        alphas=_patterns(config, "alpha_pattern", where),
        tokens=_tokens(config.get("trainable_token_indices"), where),
        base=str(config.get("base_model_name_or_path") or ""),
    )


def by_pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """Value of the first pattern that matches the end of a module's name, from a dot on, as peft matches.

    Example:
        >>> by_pattern({"layers.[01].q": 2.0}, "model.layers.1.q", 1.0), by_pattern({"q": 2.0}, "model.eq", 1.0)
        (2.0, 1.0)
    """
    return next((value for text, value in patterns.items() if re.match(rf"(.*\.)?({text})$", module)), default)


def _patterns(config: Mapping[str, Any], key: str, where: str) -> dict[str, float]:
    table = config.get(key) or {}
    if not isinstance(table, dict):
        raise CorruptFile(f"`{key}` is not a table.", where=where, got=type(table).__name__)
    for text in table:
        _check_pattern(text, key, where)
    found = {text: _number(value, key, where) for text, value in table.items()}
    if key == "rank_pattern" and any(value < 1 for value in found.values()):
        raise CorruptFile(f"`{key}` is not usable.", where=where, got=str(found)[:200], want="ranks of at least 1")
    return found


def _check_pattern(text: str, key: str, where: str) -> None:
    """Only patterns whose search time is bounded: no repeated groups, few repeats."""
    repeats = len(re.findall(r"[*+{]", text))
    if len(text) > _MAX_PATTERN or repeats > 3 or _QUANTIFIED_GROUP.search(text):
        raise UnsafeFile(
            f"A pattern of `{key}` is too complex.",
            where=where,
            got=text[:200],
            want="names, sets, at most three repeats",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except (FutureWarning, DeprecationWarning, re.error, RecursionError, OverflowError) as error:
        raise CorruptFile(f"A pattern of `{key}` is not usable.", where=where, got=f"{text[:200]}: {error}") from None


def _tokens(value: Any, where: str) -> dict[str, tuple[int, ...]]:
    table = {"": value} if isinstance(value, list) else value or {}
    lists = table.values() if isinstance(table, dict) else [None]
    if not all(isinstance(ids, list) and all(type(i) is int and i >= 0 for i in ids) for ids in lists):
        raise CorruptFile("`trainable_token_indices` is not usable.", where=where, want="lists of token ids")
    return {name: tuple(ids) for name, ids in table.items()}


def _positive(config: Mapping[str, Any], key: str, default: int, where: str) -> int:
    value = config.get(key, default)
    if type(value) is not int or not 1 <= value < _MAX_NUMBER:
        raise CorruptFile(f"`{key}` is not usable.", where=where, got=str(value)[:80], want="a whole number from 1")
    return value


def _number(value: Any, key: str, where: str) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
    if not usable:  # NaN compares false, too
        raise CorruptFile(f"`{key}` is not usable.", where=where, got=str(value)[:80], want="a finite number")
    return float(value)
