"""Vocabularies as values: tokens and their ids, and the map from output rows to the rows of the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["bpe", "unigram", "wordpiece", "wordlevel"]
Dialect = Literal["solera", "mergekit"]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Added:
    """How an added token is matched: the flags of `tokenizer.json`."""

    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = False

    def entry(self, content: str) -> dict[str, Any]:
        """The token as `added_tokens_decoder` of tokenizer_config.json writes it.

        Example:
            >>> Added(special=True).entry("<s>")["content"]
            '<s>'
        """
        return {
            "content": content,
            "lstrip": self.lstrip,
            "normalized": self.normalized,
            "rstrip": self.rstrip,
            "single_word": self.single_word,
            "special": self.special,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """A tokenizer's tokens and the number of embedding rows that go with them.

    Attributes:
        tokens: token -> id, added tokens included.
        kind: the tokenizer's model. rows: embedding rows; more than `size` when the embedding is padded.
        added: flags of the added tokens, a part of `tokens`.
        label: the model's name in messages. folder: where its tokenizer files are; None if it was made here.
        notes: what was met on reading or joining.
    """

    tokens: Mapping[str, int]
    kind: Kind = "bpe"
    rows: int = 0
    added: Mapping[str, Added] = field(default_factory=dict)
    label: str = ""
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """One more than the largest id.

        Example:
            >>> Vocabulary({"a": 0, "b": 5}).size
            6
        """
        return 1 + max(self.tokens.values(), default=-1)


@dataclass(frozen=True, slots=True)
class RowSource:
    """Where the row of one token comes from for the models that lack it (`force`: for all models).

    Attributes:
        kind: ``model``: that model's row of the same token. ``model_token``: its row of `token` or `token_id`.
            ``zero``: zeros. ``default``: the usual rule (useful with `force`).
        model: position among the models of the plan.
    """

    kind: Literal["model", "model_token", "zero", "default"] = "default"
    model: int | None = None
    token: str | None = None
    token_id: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RowMap:
    """Sparse rows of one model's new embedding: output row r is the mean of entries offsets[r]:offsets[r + 1].

    Attributes:
        offsets: (rows + 1,). which: per entry, a model of the plan; as many as there are models means the plan's
            mean row. row: per entry, the row there. No entry means a row of zeros.
        own: rows that are the model's own for the same token or place. identity: nothing moves at all.
    """

    offsets: Ints
    which: Ints
    row: Ints
    own: int = 0
    identity: bool = False

    @property
    def rows(self) -> int:
        """Output rows."""
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True, eq=False)
class VocabularyPlan:
    """How the embedding rows of every model are brought to the output's vocabulary.

    Attributes:
        rows: rows of the new embeddings, padding included; this is the config's new `vocab_size`.
        maps: one row map per model, in the order given.
        mean_of: the model whose mean row stands where nothing better is known; None: each map's own mean.
        mean_rows: how many leading rows (of that model, or of each new embedding) are averaged for it.
        notes: what a user must know: rows filled, padding kept or added.
    """

    rows: int
    maps: tuple[RowMap, ...]
    mean_of: int | None = None
    mean_rows: int = 0
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> bool:
        """Whether every model keeps its rows as they are."""
        return all(m.identity for m in self.maps)
