"""Key-value caches with a budget: logical and physical length apart, entries evicted or merged while a model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.inference.kv.budget import Budget
    from solera.inference.kv.cache import SoleraCache, budgeted, nbytes, own_seconds, physical_lengths, solera_cache
    from solera.inference.kv.cards import CacheCard, cache_card, cache_cards, cache_method
    from solera.inference.kv.contract import CacheMethod, Entries, Goal

_HOMES = {
    "budget": ("Budget",),
    "cache": ("SoleraCache", "budgeted", "nbytes", "own_seconds", "physical_lengths", "solera_cache"),
    "cards": ("CacheCard", "cache_card", "cache_cards", "cache_method"),
    "contract": ("CacheMethod", "Entries", "Goal"),
}

__all__ = [
    "Budget",
    "CacheCard",
    "CacheMethod",
    "Entries",
    "Goal",
    "SoleraCache",
    "budgeted",
    "cache_card",
    "cache_cards",
    "cache_method",
    "nbytes",
    "own_seconds",
    "physical_lengths",
    "solera_cache",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch and transformers come with it, not with the room."""
    from importlib import import_module

    from solera.errors import MissingExtra

    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(name)
    try:
        return getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        raise MissingExtra("hf", needed_for="a cache with a budget") from None
