"""One layer of a cache: logical length apart from physical, reduced to its budget after a prompt and before a token.

A layer is *whole* until it was reduced for the first time: until then it holds and answers what a layer of transformers
would. Positions are never counted anew: keys were rotated when they came, and the logical length goes on counting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

from solera.errors import CheckpointError, RunError
from solera.inference.kv.budget import SLACK, Budget, room
from solera.inference.kv.contract import EMPTY, CacheMethod, Entries, Goal
from solera.inference.kv.shelf import Shelf


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """The tokens of one forward pass.

    Attributes:
        places: position of each, padding not counted, `EMPTY` for padding; (rows, tokens), int32.
        counts: how many of each row are no padding. holes: whether there is padding.
    """

    places: Tensor
    counts: tuple[int, ...]
    holes: bool


@dataclass(slots=True, eq=False)
class Working:
    """What the layers of one cache share while they work.

    Attributes:
        method, observe, slack: see `solera_cache`. arrival: tokens of the running forward pass; None outside.
        seconds: spent by the room's own work, by kind. timer: what is read for it.
    """

    method: CacheMethod
    observe: int | None = None
    slack: float = SLACK
    arrival: Arrival | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"reduce": 0.0, "score": 0.0, "mask": 0.0})
    timer: Callable[[], float] = perf_counter

    @contextmanager
    def clock(self, kind: str) -> Iterator[None]:
        """Add the time of a block to `seconds`."""
        began = self.timer()
        try:
            yield
        finally:
            self.seconds[kind] += self.timer() - began


class KVLayer(CacheLayerMixin):  # type: ignore[misc]
    """A layer of any transformers cache that holds no more than its budget.

    Attributes:
        index: which layer. window: tokens that a query sees, itself included; None: all.
        columns: logical length, padding included. seen: tokens of each row, without padding.
        whole: nothing was dropped yet, but for what lies outside the window.
    """

    is_croppable = False
    is_compileable = False
    supports_early_init = False

    def __init__(self, working: Working, index: int, budget: Budget | None, window: int | None = None) -> None:
        """Make an empty layer; without a budget it holds everything."""
        super().__init__()
        self.working, self.index, self.budget, self.window = working, index, budget, window
        self.is_sliding = window is not None
        self._clear()

    def _clear(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.is_initialized = False
        self.shelf: Shelf | None = None
        self.columns, self.oldest = 0, 0
        self.seen: list[int] = []
        self.counts: list[int] = []
        self.whole, self.holes, self.pending = True, False, False

    @property
    def physical_length(self) -> int:
        """Slots in use."""
        return self.shelf.filled if self.shelf else 0

    @property
    def nbytes(self) -> int:
        """Bytes held, bookkeeping and free slots included."""
        return self.shelf.nbytes if self.shelf else 0

    def capacity(self, row: int, more: int = 0) -> int:
        """Most entries of a row, now or when so many more tokens have come."""
        held = self._held(self.seen[row] + more)
        return held if self.budget is None else min(held, self.budget.capacity(held))

    def _held(self, tokens: int) -> int:
        """Tokens that a plain cache would hold of so many."""
        return tokens if self.window is None else min(tokens, max(1, self.window - 1))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take type and place of the first tensors."""
        self.dtype, self.device = key_states.dtype, key_states.device
        none = self._entries(key_states[:, :, :0], value_states[:, :, :0], key_states.new_zeros(1, 0).int())
        self.shelf = Shelf.of(none, 0)
        self.seen, self.counts = [0] * len(key_states), [0] * len(key_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add the tokens of this forward pass; give all entries, the new ones last.

        Raises:
            RunError: the cache belongs to another model, or to a batch of another size.
        """
        arrival = self.working.arrival
        if arrival is None:
            what = "This cache is used by a model that it was not made for."
            raise RunError(what, fix="solera_cache(model, ...) for every model")
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.shelf is not None, "made above"
        if len(key_states) != len(self.seen):
            got, want = f"{len(key_states)} rows", f"{len(self.seen)}, as before"
            raise RunError("This cache is of a batch of another size.", got=got, want=want, fix="begin a new cache")
        if key_states.shape[2] == 1:
            self.reduce(1)
        slots = max(self.capacity(row, 1) for row in range(len(self.seen))) if not self.whole else 0
        self.shelf.append(self._entries(key_states, value_states, arrival.places), slots)
        self.columns += key_states.shape[2]
        self.holes = self.holes or arrival.holes
        self.seen = [seen + new for seen, new in zip(self.seen, arrival.counts, strict=True)]
        self.counts = [count + new for count, new in zip(self.counts, arrival.counts, strict=True)]
        self.pending = True
        return self._shown()

    def note(self, scores: Tensor | None) -> None:
        """Add the attention that every entry got in a forward pass, (rows, heads, slots).

        Raises:
            CheckpointError: attention has other heads than the cache: it holds no keys, but what they are made of.
        """
        if scores is not None and self.shelf is not None:
            if scores.shape[1] != (heads := self.shelf.parts["scores"].shape[1]):
                what = "This architecture's cache does not hold the keys of its attention."
                got, want = f"{heads} heads in the cache, {scores.shape[1]} in the attention", "a plain cache"
                raise CheckpointError(what, got=got, want=want, fix="a method that asks for no scores: window")
            self.shelf.parts["scores"][:, :, : self.shelf.filled] += scores

    def settle(self) -> None:
        """After the attention of a forward pass: come back to the budget."""
        assert self.shelf is not None, "filled before"
        self.pending = False
        self.reduce(0)
        if self.whole and self.window is not None and self.shelf.filled > max(1, self.window - 1):
            self.shelf.last(max(1, self.window - 1))
            self.counts = [min(count, self.shelf.filled) for count in self.counts]
        self._shown()

    def reduce(self, arriving: int) -> None:
        """Come back to the budget in all rows that are above it, or would be with so many more tokens."""
        rows = range(len(self.seen))
        limits = [self.capacity(row, arriving) - arriving for row in rows]
        if all(count <= limit for count, limit in zip(self.counts, limits, strict=True)):
            return
        if self._fits(arriving):
            return
        keep = [
            c if c <= most else max(1, most - room(most, self.working.slack))
            for c, most in zip(self.counts, limits, strict=True)
        ]
        goal = Goal(tuple(keep), tuple(self._held(seen) for seen in self.seen), self.index)
        with self.working.clock("reduce"):
            reduced = self.working.method.reduce(self._in_window(keep), goal)
            self._replace(reduced, max(self.capacity(row, 1) for row in rows))

    def _fits(self, arriving: int) -> bool:
        """A whole layer with a window is above its limit only by what has left the window."""
        rows = enumerate(self.seen)
        plain = all(self.capacity(row, arriving) == self._held(seen + arriving) for row, seen in rows)
        return self.whole and self.window is not None and plain

    def _in_window(self, keep: Sequence[int]) -> Entries:
        """The entries that a later query can still see, in rows that are to be reduced; others stay as they are."""
        assert self.shelf is not None, "filled before"
        entries = self.shelf.entries
        if self.window is None:
            return entries
        after = [seen if most < c else 0 for seen, most, c in zip(self.seen, keep, self.counts, strict=True)]
        first = torch.tensor(after, device=entries.places.device)[:, None, None] - self.window + 1
        return entries.but(places=entries.places.masked_fill(entries.places < first, EMPTY))

    def _replace(self, entries: Entries, slots: int) -> None:
        self.shelf = Shelf.of(entries, slots)
        self.whole = False
        valid = entries.valid
        self.counts = valid.sum(-1).amax(1).tolist()
        self.holes = not bool(valid.all())
        self.oldest = int(entries.places.masked_fill(~valid, 2**31 - 1).min()) if self.window else 0
        self._shown()

    def _entries(self, keys: Tensor, values: Tensor, places: Tensor) -> Entries:
        shape = keys.shape[:3]
        method = self.working.method
        scores = torch.zeros(shape, device=keys.device) if method.scores and self.budget else None
        votes = torch.ones(shape, device=keys.device) if method.votes and self.budget else None
        return Entries(keys, values, places[:, None].expand(shape), scores, votes)

    def _shown(self) -> tuple[Tensor, Tensor]:
        """Keys and values where transformers looks for them."""
        assert self.shelf is not None, "filled before"
        entries = self.shelf.entries
        self.keys, self.values = entries.keys, entries.values
        return entries.keys, entries.values

    def get_seq_length(self) -> int:
        """Logical length: positions go on from here."""
        return self.columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Physical length with the new tokens, and how far it lies behind the logical one."""
        return self.physical_length + query_length, self.columns - self.physical_length

    def get_max_length(self) -> int:
        """No end."""
        return -1

    def reset(self) -> None:
        """Forget everything."""
        self._clear()

    def crop(self, tokens_to_remove: int) -> None:
        """Tokens cannot be taken back.

        Raises:
            RunError: always, but for 0.
        """
        if tokens_to_remove:
            what = "A cache with a budget cannot be cut back: what was dropped or merged is gone."
            raise RunError(what, got=f"crop({tokens_to_remove})", fix="generate without an assistant model")

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rows in another order, as beam search asks."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Only some rows."""
        if self.shelf is not None:
            self.shelf.rows(lambda part: part[indices.to(part.device)])
            chosen = torch.arange(len(self.seen))[indices.cpu()].tolist()
            self.seen, self.counts = [self.seen[i] for i in chosen], [self.counts[i] for i in chosen]
            self._shown()

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row several times."""
        self.batch_select_indices(torch.arange(len(self.seen)).repeat_interleave(repeats))
