"""Architectures as values: what a tensor is, where it sits, and which leaf tensors it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["matrix", "vector", "embedding", "convolution", "scalar", "buffer"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One unfused tensor: the unit of merging. A fused file tensor holds several, each a contiguous range.

    Attributes:
        name: canonical leaf name, equal for all models of the architecture whatever their file layout.
        tensor: the file tensor it lies in. start: first element in that tensor, flattened. shape: the leaf's own.
        role: embedding, head, norm, attention.{q,k,v,o}, mlp.{gate,up,down}, router, expert.{gate,up,down}, bias of
            any of these keeps the role, vision..., other. Rules match a role or any prefix of it ("mlp", "attention").
        stack: the layer stack ("" for the only one; "encoder", "decoder", "vision", "text" otherwise).
        layer: position in its stack, None outside. expert: number, None outside.
        kind: how the mathematics sees it. out_axis/in_axis: swapped for weights stored input-first (Conv1D).
        vocab_axis: the axis indexed by token ids, None otherwise.
        wide: must stay float32-like (router biases, state-space parameters) whatever the output type.
        place: "before" or "after" the layers of its stack, "inside", or "none".
    """

    name: str
    tensor: str
    start: int
    shape: tuple[int, ...]
    role: str = "other"
    stack: str = ""
    layer: int | None = None
    expert: int | None = None
    kind: Kind = "matrix"
    out_axis: int = 0
    in_axis: int = -1
    vocab_axis: int | None = None
    wide: bool = False
    place: Literal["before", "inside", "after", "none"] = "none"
    module: str = ""


@dataclass(frozen=True, slots=True)
class LayerStack:
    """A run of equal layers: its name, how many, and the config key that holds the count (None: unknown).

    `per_layer_keys`: config lists with one entry per layer (layer_types, ...), which must follow the layers.
    `index_keys`: config lists that hold layer numbers (mlp_only_layers). `leading_keys`: config numbers that say how
    many of the first layers are of another kind (first_k_dense_replace).
    Keys are dotted paths into config.json ("text_config.num_hidden_layers").
    """

    name: str
    count: int
    count_key: str | None
    per_layer_keys: tuple[str, ...] = ()
    index_keys: tuple[str, ...] = ()
    leading_keys: tuple[str, ...] = ()
