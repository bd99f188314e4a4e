"""The config of a pack for transformers: the config of the model inside, and the names of the tasks."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from solera.inference.routed.index import MODEL_TYPE


class PackConfig(PretrainedConfig):  # type: ignore[misc]
    """What config.json of a pack says.

    Attributes:
        inner: config of the model inside, as its own config.json has it. tasks: names, in the order of the weights.
        index: digest of pack.json.
    """

    model_type = MODEL_TYPE

    def __init__(
        self, inner: dict[str, Any] | None = None, tasks: list[str] | None = None, index: str = "", **rest: Any
    ) -> None:
        """Keep what transformers handed over; labels are those of the model inside."""
        self.inner, self.tasks, self.index = inner or {}, tasks or [], index
        labels = self.inner.get("id2label")
        if labels:
            named = {int(key): value for key, value in labels.items()}
            rest = {"id2label": named, "label2id": {value: key for key, value in named.items()}, **rest}
        super().__init__(**rest)

    def __getattr__(self, name: str) -> Any:
        """What only the model inside knows: vocab_size, hidden_size, pad_token_id, ..."""
        inner = self.__dict__.get("inner") or {}
        if name.startswith("_") or name not in inner:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return inner[name]
