"""Decide, file by file, what goes from the layout model's folder into the output."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from solera.checkpoints.selection import is_weights
from solera.methods.vocab import is_tokenizer_file

Action = Literal["copy", "write", "drop"]

LARGEST_BYTES = 64_000_000
"""Side files above this size are not copied: no tokenizer, processor or code is that large."""

_HISTORY = re.compile(
    r"^(README.*|.*\.md|trainer_state\.json|training_args.*|(all|train|eval|test|predict)_results\.json|.*\.log|.*\.ipynb"
    r"|events\.out\..*|mergekit_config\.ya?ml|solera\.json|solera_recipe\.yaml|adapter_.*|.*\.lock|.*imatrix.*)$",
    re.IGNORECASE,
)
_LICENCE = re.compile(r"^(LICEN[CS]E|NOTICE|USE_POLICY|COPYING)([._-].*)?$", re.IGNORECASE)
_PICTURES = frozenset(
    [".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".mp4", ".mov", ".wav", ".mp3", ".zip"]
)


@dataclass(frozen=True, slots=True)
class SideFile:
    """What happens to one file beside the weights: copied as it is, written anew, or dropped; and why."""

    name: str
    action: Action
    reason: str


def side_files(
    folder: Path, names: Iterable[str], *, copy_code: bool = False, new_tokenizer: bool = False
) -> list[SideFile]:
    """Decide what to do with each file of the layout model's folder.

    Tokenizer, chat template, processor, generation and licence files go along; so does any other small file, since a
    model may need it. Weights, training states, the model's own card and history do not.

    Args:
        folder: the layout model's folder (sizes are looked up there).
        names: its files besides config.json, relative.
        copy_code: whether the model's Python files go along.
        new_tokenizer: whether the tokenizer files are made anew, so that the old ones stay behind.

    Example:
        >>> [(f.name, f.action) for f in side_files(Path(), ["merges.txt", "README.md", "modeling_x.py"])]
        [('merges.txt', 'copy'), ('README.md', 'drop'), ('modeling_x.py', 'drop')]
    """
    return [SideFile(name, *_decide(folder, name, copy_code, new_tokenizer)) for name in names if name != "config.json"]


def dropped_notes(files: Iterable[SideFile]) -> Iterator[str]:
    """What a user must know about files that were left behind: code first of all."""
    dropped = [f for f in files if f.action == "drop"]
    code = [f.name for f in dropped if f.name.endswith(".py")]
    if code:
        yield (
            f"the model's own code is not copied ({', '.join(code)}); ask for it with `output: {{copy_code: true}}` "
            "if the model does not load without it"
        )
    yield from (f"{f.name} is not copied: {f.reason}" for f in dropped if f.reason == _LARGE)


_LARGE = "it is too large for a side file; copy it by hand if the model needs it"

_LEFT: tuple[tuple[Callable[[str], bool], str], ...] = (
    (is_weights, "weights or training state of the input"),
    (lambda name: bool(_HISTORY.match(PurePosixPath(name).name)), "the input's own card or history"),
    (lambda name: PurePosixPath(name).name.startswith("."), "hidden"),
    (lambda name: PurePosixPath(name).suffix.lower() in _PICTURES, "pictures and the like of the input's card"),
)
"""What is never copied, and why."""


def _decide(folder: Path, name: str, copy_code: bool, new_tokenizer: bool) -> tuple[Action, str]:
    if name.endswith(".py"):
        return ("copy", "the model's own code, as asked") if copy_code else ("drop", "code is copied only when asked")
    if is_tokenizer_file(name):
        return ("write", "made for the output's vocabulary") if new_tokenizer else ("copy", "tokenizer")
    if _LICENCE.match(PurePosixPath(name).name):
        return "copy", "licence text"
    reason = next((reason for is_left, reason in _LEFT if is_left(name)), None)
    if reason is None and (folder / name).is_file() and (folder / name).stat().st_size > LARGEST_BYTES:
        reason = _LARGE
    return ("drop", reason) if reason else ("copy", "the model may need it")
