"""Compare configs of models that are merged, after bringing the spellings of different versions together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from solera.reconcile.paths import copied
from solera.reconcile.tokens import ID_KEYS

_IGNORED = frozenset(
    [
        "_attn_implementation",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "auto_map",
        "dtype",
        "id2label",
        "label2id",
        "quantization_config",
        "transformers_version",
        "use_cache",
        "vocab_size",
    ]
)
_ROTARY = ("rope_theta", "partial_rotary_factor")


def config_differences(configs: Mapping[str, Mapping[str, Any]], *, token_ids: bool = True) -> tuple[str, ...]:
    """Say which settings differ between the first config and the others; what only one of them states is left out.

    The spellings of transformers 4 and 5 count as equal (`torch_dtype`, `rope_theta`, `rope_scaling`).

    Args:
        configs: config.json by the model's name; the first is the one whose settings are written.
        token_ids: whether token ids are compared; False where vocabularies were matched by token, since one token then
            has an id in each model.

    Example:
        >>> config_differences({"base": {"rope_theta": 1e4}, "a": {"rope_parameters": {"rope_theta": 5e5}}})
        ('rope_parameters.rope_theta: 10000.0 in base, 500000.0 in a; the merge keeps 10000.0',)
    """
    flat = {name: dict(_flat(normalised(config))) for name, config in configs.items()}
    if len(flat) < 2:
        return ()
    first, *others = flat
    notes = []
    for key, value in flat[first].items():
        if not token_ids and key.endswith(ID_KEYS):
            continue
        different = {n: flat[n][key] for n in others if key in flat[n] and flat[n][key] != value}
        if different:
            said = ", ".join(f"{_short(v)} in {n}" for n, v in {first: value, **different}.items())
            notes.append(f"{key}: {said}; the merge keeps {_short(value)}")
    return tuple(notes)


def normalised(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config in one spelling: `dtype`, `rope_parameters`; nested sections too.

    Example:
        >>> normalised({"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 2.0}})
        {'rope_parameters': {'rope_theta': 10000.0, 'rope_type': 'linear', 'factor': 2.0}}
    """
    out = copied(config)
    if "torch_dtype" in out:
        out["dtype"] = out.pop("torch_dtype")
    rotary = _rotary(out)
    if rotary:
        out["rope_parameters"] = rotary
    return {k: normalised(v) if k.endswith("_config") and isinstance(v, Mapping) else v for k, v in out.items()}


def _rotary(config: dict[str, Any]) -> dict[str, Any]:
    """Take the rotary settings of either version out of a config."""
    scaling = config.pop("rope_scaling", None) or {}
    old = {key: config.pop(key) for key in _ROTARY if key in config}
    local = config.pop("rope_local_base_freq", None)
    if "rope_parameters" in config:
        return dict(config.pop("rope_parameters") or {})
    if not old and not scaling:
        return {}
    made = {**old, "rope_type": "default", **scaling}
    made["rope_type"] = made.pop("type", made["rope_type"])
    if local is None:
        return made
    return {"full_attention": made, "sliding_attention": {"rope_theta": local, "rope_type": "default"}}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if key in _IGNORED or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"
