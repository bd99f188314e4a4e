"""The output's config.json: the layout model's, with what the merge changed and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from solera.errors import PlanError
from solera.methods.vocab.read import TEXT_CONFIGS
from solera.reconcile.paths import copied, get, join, put, sections
from solera.types import DType

_DTYPE_KEYS = ("dtype", "torch_dtype")
_INDEX_LISTS = frozenset(
    ["mlp_only_layers", "cross_attention_layers", "fullatt_block_indexes", "deepstack_visual_indexes"]
)
"""Lists that name layers by number, where others have one entry per layer."""
_LAYER_RULES = (
    "max_window_layers",
    "first_k_dense_replace",
    "moe_layer_freq",
    "decoder_sparse_step",
    "sliding_window_pattern",
    "full_attention_interval",
    "num_kv_shared_layers",
    "global_attn_every_n_layers",
    "attn_layer_period",
    "expert_layer_period",
)
"""Numbers that say by position what a layer is; they do not follow layers that are moved."""


def reconcile_config(
    config: Mapping[str, Any],
    *,
    dtype: DType | None = None,
    vocab_size: int | None = None,
    layer_counts: Mapping[str, int] | None = None,
    per_layer: Mapping[str, Sequence[int]] | None = None,
    leading: Mapping[str, Sequence[int]] | None = None,
    tied: bool | None = None,
    tie_key: str | None = None,
    patch: Mapping[str, Any] | None = None,
    keep_code: bool = False,
) -> dict[str, Any]:
    """Bring a config in line with the tensors that are written; everything else stays as it was.

    Args:
        config: config.json of the layout model, in the spelling of any version of transformers.
        dtype: type of the written weights; None where they keep their own types.
        vocab_size: embedding rows written; None where they did not change.
        layer_counts: config key of a layer stack -> layers written.
        per_layer: config key of a per-layer list, or of a list of layer numbers (`mlp_only_layers`) -> for each written
            layer, the old layer it came from.
        leading: config key of a number of leading layers of another kind (`first_k_dense_replace`) -> the same.
        tied: whether head and embedding are one tensor; None leaves the flag alone.
        tie_key: where the flag stands, if not in the usual places.
        patch: what the views changed, by dotted key; None removes (a consumed `quantization_config`).
        keep_code: whether the custom code that `auto_map` names is copied.

    Raises:
        PlanError: a per-layer list is shorter than the layers taken from it; or layers of the leading kind no longer
            lead, so that no config can describe the model.

    Example:
        >>> reconcile_config({"torch_dtype": "float32", "num_hidden_layers": 2, "layer_types": ["a", "b"]},
        ...     dtype=DType.BF16, layer_counts={"num_hidden_layers": 3}, per_layer={"layer_types": [0, 1, 1]})
        {'torch_dtype': 'bfloat16', 'num_hidden_layers': 3, 'layer_types': ['a', 'b', 'b']}
    """
    out = copied(config)
    for path, value in (patch or {}).items():
        put(out, path, value)
    for path, count in (layer_counts or {}).items():
        put(out, path, count)
    for path, layers in (per_layer or {}).items():
        _follow_layers(out, path, layers)
    for path, layers in (leading or {}).items():
        _lead(out, path, layers)
    for path, value in _changes(out, dtype, vocab_size, tied, tie_key):
        put(out, path, value)
    _drop_places(out)
    return out if keep_code else without_code(out)


def layer_warnings(config: Mapping[str, Any], layer_counts: Mapping[str, int]) -> tuple[str, ...]:
    """Settings that say by position what a layer is, where the number of layers changes.

    Example:
        >>> layer_warnings({"num_hidden_layers": 2, "first_k_dense_replace": 1}, {"num_hidden_layers": 4})
        ('first_k_dense_replace: 1 counts layers of the original; check it against the new order of layers',)
    """
    changed = [path.rpartition(".")[0] for path, count in layer_counts.items() if get(config, path) != count]
    found = ((join(prefix, key), key) for prefix in dict.fromkeys(changed) for key in _LAYER_RULES)
    return tuple(
        f"{path}: {get(config, path)} counts layers of the original; check it against the new order of layers"
        for path, key in found
        if _matters(config, path, key)
    )


def _matters(config: Mapping[str, Any], path: str, key: str) -> bool:
    """Whether a positional rule is in force: not off, and not "every layer"."""
    value, prefix = get(config, path), path.rpartition(".")[0]
    if key == "max_window_layers" and get(config, join(prefix, "use_sliding_window")) is False:
        return False
    return value not in (None, 0, 1) or (value == 1 and key == "first_k_dense_replace")


def without_code(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the references of `auto_map` to local code; those to a repository of the Hub stay.

    Example:
        >>> without_code({"auto_map": {"AutoModel": "modeling_x.X", "AutoConfig": "org/repo--configuration_x.C"}})
        {'auto_map': {'AutoConfig': 'org/repo--configuration_x.C'}}
    """
    out = dict(settings)
    found = out.pop("auto_map", None)
    if isinstance(found, Mapping):
        kept = {name: place for name, place in found.items() if _is_remote(place)}
        return {**out, "auto_map": kept} if kept else out
    return {**out, "auto_map": found} if found is not None and _is_remote(found) else out


def local_code(settings: Mapping[str, Any]) -> bool:
    """Whether settings name code that lies beside the weights."""
    return settings.get("auto_map") is not None and without_code(settings) != dict(settings)


def _is_remote(place: Any) -> bool:
    names = [name for name in (place if isinstance(place, (list, tuple)) else [place]) if name is not None]
    return bool(names) and all("--" in str(name) for name in names)


def _changes(
    config: Mapping[str, Any], dtype: DType | None, rows: int | None, tied: bool | None, tie_key: str | None
) -> Iterator[tuple[str, Any]]:
    if dtype is not None:
        yield from ((path, dtype.torch_name) for path in _dtype_paths(config))
    if rows is not None:
        yield from ((path, rows) for path in _rows_paths(config))
    if tied is not None:
        yield from ((path, tied) for path in _tie_paths(config, tie_key))


def _dtype_paths(config: Mapping[str, Any]) -> list[str]:
    """Wherever a type stands; and at the top, in the config's own spelling, if it does not stand there."""
    found = [join(path, key) for path, part in sections(config) for key in _DTYPE_KEYS if key in part]
    if any("." not in path for path in found):
        return found
    new = _is_new(config) or any(path.endswith(".dtype") for path in found)
    return [*found, "dtype" if new else "torch_dtype"]


def _is_new(config: Mapping[str, Any]) -> bool:
    """Whether the config was written by a version that spells it `dtype` (4.56 and later)."""
    version = re.match(r"(\d+)\.(\d+)", str(config.get("transformers_version", "")))
    return version is not None and (int(version[1]), int(version[2])) >= (4, 56)


def _rows_paths(config: Mapping[str, Any]) -> list[str]:
    places = [""] + [key for key in TEXT_CONFIGS if isinstance(config.get(key), Mapping)]
    found = [join(place, "vocab_size") for place in places if get(config, join(place, "vocab_size")) is not None]
    return found or [join(places[min(1, len(places) - 1)], "vocab_size")]


def _tie_paths(config: Mapping[str, Any], tie_key: str | None) -> list[str]:
    found = [join(path, "tie_word_embeddings") for path, part in sections(config) if "tie_word_embeddings" in part]
    return list(dict.fromkeys([tie_key or "tie_word_embeddings", *found]))


def _follow_layers(config: dict[str, Any], path: str, layers: Sequence[int]) -> None:
    values = get(config, path)
    if not isinstance(values, list):
        return
    if path.rpartition(".")[2] in _INDEX_LISTS:
        put(config, path, [new for new, old in enumerate(layers) if old in values])
        return
    if max(layers, default=-1) >= len(values):
        raise PlanError(
            "A per-layer list of the config is too short.",
            where=f"config.json, {path}",
            got=f"{len(values)} entries",
            want=f"one for each layer, {max(layers) + 1} at least",
        )
    put(config, path, [values[i] for i in layers])


def _lead(config: dict[str, Any], path: str, layers: Sequence[int]) -> None:
    """Recount the leading layers of another kind."""
    value = get(config, path)
    if not isinstance(value, int) or isinstance(value, bool):
        return
    kinds = [old < value for old in layers]
    count = kinds.index(False) if False in kinds else len(kinds)
    if any(kinds[count:]):
        raise PlanError(
            "The new order of layers cannot be written into the config.",
            where=f"config.json, {path}",
            got=f"layer {kinds.index(True, count)} of the output is of the kind of the first {value} layers",
            want="layers of that kind first, then the others",
            fix=f"take the first {value} layers only at the start of the output",
        )
    put(config, path, count)


def _drop_places(config: dict[str, Any]) -> None:
    """Remove the name of a folder on the machine where the input was saved."""
    name = config.get("_name_or_path")
    if isinstance(name, str) and (not name or name[0] in "/.~\\" or name.count("/") > 1 or name[1:2] == ":"):
        del config["_name_or_path"]
