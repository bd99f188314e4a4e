"""The words of a merge without a recipe: ``solera merge A B+lora --base X --method ties --density 0.3 -o OUT``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RECIPE_ENDINGS = (".yaml", ".yml", ".json")
VERB_OPTIONS = (
    "base", "budget", "budget-floor", "dry-run", "dtype", "force", "json", "memory", "method", "out", "plugin",
    "resume", "seed", "sketches", "threads", "tokenizer", "variant",
)  # fmt: skip
RECIPE_OPTIONS = frozenset({"chat_template", "shard", "compute", "nonfinite", "copy_code"})
"""Options that speak of the recipe, not of its method, and are too rare for the help."""
_TRUTHS = ("true", "false")


@dataclass(frozen=True, slots=True)
class Words:
    """What stood on the command line: models (or a recipe and its target), and options that no verb knows."""

    names: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


def split_words(words: Sequence[str], switches: frozenset[str] = frozenset()) -> Words:
    """Separate names from ``--option value`` pairs. A switch takes a value only where ``true`` or ``false`` follows.

    Example:
        >>> split_words(["--rescale", "A", "B", "--density", "0.3"], frozenset({"rescale"}))
        Words(names=('A', 'B'), options={'rescale': 'true', 'density': '0.3'})
    """
    names: list[str] = []
    options: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            names.append(word)
            continue
        head, equals, value = word[2:].partition("=")
        name = head.replace("-", "_")
        if not equals:
            value = queue.pop(0) if queue and (name not in switches or queue[0] in _TRUTHS) else "true"
        options[name] = value
    return Words(tuple(names), options)
