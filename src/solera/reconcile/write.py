"""Write everything beside the weights into the staging folder: config, tokenizer, side files, texts."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.checkpoints.contract import Checkpoint, Limits
from solera.checkpoints.folder import path_inside
from solera.checkpoints.strict_json import read_object
from solera.errors import NoSpace, RunError
from solera.methods.vocab import BuiltTokenizer, Vocabulary, is_tokenizer_file, tokenizer_files, with_template
from solera.reconcile.choosing import SideFile, dropped_notes, side_files
from solera.reconcile.config import local_code, without_code
from solera.reconcile.tokens import moved_token_ids

RECIPE_FILE = "solera_recipe.yaml"
MERGEKIT_FILE = "mergekit_config.yml"
CARD_FILE = "README.md"

_REWRITTEN = ("generation_config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written beside the weights: names, what was decided on the layout model's files, and notes."""

    names: tuple[str, ...]
    decisions: tuple[SideFile, ...]
    notes: tuple[str, ...]


def write_side_files(
    staging: Path,
    layout: Checkpoint,
    config: Mapping[str, Any],
    *,
    tokenizer: BuiltTokenizer | None = None,
    template: str | None = None,
    vocabularies: tuple[Vocabulary, Vocabulary] | None = None,
    copy_code: bool = False,
    texts: Mapping[str, str] | None = None,
) -> Written:
    """Write config.json, the tokenizer, every side file that goes along, and `texts`.

    Args:
        staging: the folder that becomes the output.
        layout: the model whose side files are the starting point.
        config: the reconciled config; {} writes none.
        tokenizer: files made for another vocabulary; None copies the layout model's.
        template: chat template to put into the copied tokenizer files; None copies.
        vocabularies: (layout model's, output's), for token ids in generation_config.json; None leaves them.
        copy_code: whether the layout model's Python files go along.
        texts: further files by name (recipe, card).

    Raises:
        NoSpace, RunError: a file cannot be written. UnsafeFile: a side file leads out of the layout model's folder.
    """
    files = _tokenizer(layout, tokenizer, template)
    folder = layout.folder or Path()
    decisions = side_files(folder, layout.side_files, copy_code=copy_code, new_tokenizer=bool(files))
    notes = [*dropped_notes(decisions), *(tokenizer.notes if tokenizer else ())]
    names = [f.name for f in decisions if f.action == "copy"]
    for name in names:
        notes += _carry(staging, folder, name, vocabularies, copy_code=copy_code)
    made: dict[str, bytes] = {**files, **{name: text.encode() for name, text in (texts or {}).items()}}
    if config:
        made["config.json"] = dumped(config)
    for name, data in made.items():
        put_file(staging, name, data)
    return Written(tuple(sorted({*names, *made})), tuple(decisions), tuple(dict.fromkeys(notes)))


def put_file(staging: Path, name: str, data: bytes) -> None:
    """Write one file below the staging folder.

    Raises:
        UnsafeFile: the name leads out of it. NoSpace, RunError: it cannot be written.
    """
    target = path_inside(staging, name)
    _attempt(target, lambda: target.write_bytes(data))


def dumped(value: Mapping[str, Any]) -> bytes:
    r"""JSON as transformers writes it: indented by two, keys in the given order, a final newline.

    Example:
        >>> dumped({"a": 1})
        b'{\n  "a": 1\n}\n'
    """
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _tokenizer(layout: Checkpoint, tokenizer: BuiltTokenizer | None, template: str | None) -> Mapping[str, bytes]:
    """Tokenizer files that are written anew; {} where those of the layout model are copied as they are."""
    if tokenizer is not None:
        return tokenizer.files
    if template is None or layout.folder is None:
        return {}
    return with_template(tokenizer_files(layout.folder, filter(is_tokenizer_file, layout.side_files)), template)


def _carry(
    staging: Path, folder: Path, name: str, vocabularies: tuple[Vocabulary, Vocabulary] | None, *, copy_code: bool
) -> tuple[str, ...]:
    """Copy one file; settings that name code left behind, or token ids that moved, are adapted."""
    source = path_inside(folder, name)
    if name in _REWRITTEN:
        settings = read_object(source, Limits().json_bytes, what=f"`{name}`")
        out = settings if copy_code or not local_code(settings) else without_code(settings)
        notes: tuple[str, ...] = ()
        if vocabularies is not None and name == "generation_config.json":
            out, notes = moved_token_ids(out, *vocabularies)
        if out != settings:
            put_file(staging, name, dumped(out))
            return notes
    target = path_inside(staging, name)
    _attempt(target, lambda: shutil.copyfile(source, target))
    return ()


def _attempt(target: Path, write: Callable[[], object]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("The disk is full.", where=str(target), fix="free some space and run again") from None
        raise RunError("A file cannot be written.", where=str(target), got=error.strerror or str(error)) from None
