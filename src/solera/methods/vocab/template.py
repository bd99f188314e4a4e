"""Chat templates: read from a model folder, chosen for the output, and written where every runtime looks.

A model may carry its template in three places: the file chat_template.jinja (which wins), the field `chat_template` of
tokenizer_config.json, and chat_template.json of processors. What is written is written alike in all that apply.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.checkpoints.contract import Limits
from solera.checkpoints.strict_json import read_limited, read_object
from solera.errors import BadParameter, nearest
from solera.methods.vocab.named_templates import TEMPLATES

TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_JSON = "chat_template.json"
TEMPLATE_FOLDER = "additional_chat_templates"


@dataclass(frozen=True, slots=True)
class Templates:
    """A model's chat templates: by name, ``default`` being the one used when none is named, and what was odd."""

    by_name: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def default(self) -> str | None:
        """The template used when none is named."""
        return self.by_name.get("default")


def read_templates(folder: Path, label: str = "") -> Templates:
    """Read a model's chat templates; a file wins over the field in tokenizer_config.json, as in transformers.

    Raises:
        CorruptFile, UnsafeFile: a file is not what it says, or too large.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "chat_template.jinja").write_text("{{ messages }}")
        >>> read_templates(folder).default
        '{{ messages }}'
    """
    name = label or folder.name
    field = _from_field(_json(folder / "tokenizer_config.json").get("chat_template"))
    files = _from_files(folder)
    notes = []
    if "default" in field and "default" in files and field["default"] != files["default"]:
        notes.append(f"{name}: {TEMPLATE_FILE} and tokenizer_config.json hold different templates; the file counts")
    processor = _from_field(_json(folder / TEMPLATE_JSON).get("chat_template"))
    return Templates({**processor, **field, **files}, tuple(notes))


def choose_template(setting: str | None, models: Sequence[Templates]) -> str | None:
    """The output's chat template; None leaves the files of the chosen tokenizer as they are.

    Args:
        setting: ``auto`` (the commonest among the models, the first of equally common ones), a name, or template text.
        models: the templates of the inputs, in order.

    Raises:
        BadParameter: neither a known name nor template text.

    Example:
        >>> choose_template("auto", [Templates({"default": "{{ a }}"}), Templates({})])
        '{{ a }}'
    """
    if setting is None:
        return None
    if setting == "auto":
        found = Counter(m.default for m in models if m.default and m.default.strip())
        return found.most_common(1)[0][0] if found else None
    if setting in TEMPLATES:
        return TEMPLATES[setting]
    if "{" in setting:
        return setting
    raise BadParameter(
        "`chat_template` is not usable.",
        got=repr(setting),
        want="auto, a known name, or the text of a Jinja template",
        fix=nearest(setting, ["auto", *TEMPLATES]),
    )


def with_template(files: Mapping[str, bytes], template: str) -> dict[str, bytes]:
    """Put one chat template into a set of tokenizer files, in every place where runtimes look.

    Other named templates are dropped: they spoke of the old one.

    Example:
        >>> sorted(with_template({"tokenizer_config.json": b"{}"}, "{{ x }}"))
        ['chat_template.jinja', 'tokenizer_config.json']
    """
    out = {name: data for name, data in files.items() if not name.startswith(f"{TEMPLATE_FOLDER}/")}
    out[TEMPLATE_FILE] = template.encode()
    for name in ("tokenizer_config.json", TEMPLATE_JSON):
        if name in out:
            out[name] = dump({**json.loads(out[name]), "chat_template": template})
    return out


def dump(value: Any) -> bytes:
    """JSON as tokenizer files are written: indented by two, UTF-8, with a final newline."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _from_field(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return {"default": value} if value else {}
    entries = value if isinstance(value, list) else []
    pairs = ((e.get("name"), e.get("template")) for e in entries if isinstance(e, dict))
    return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}


def _from_files(folder: Path) -> dict[str, str]:
    found = {path.stem: path for path in sorted((folder / TEMPLATE_FOLDER).glob("*.jinja"))}
    if (folder / TEMPLATE_FILE).is_file():
        found["default"] = folder / TEMPLATE_FILE
    return {name: _text(path) for name, path in found.items()}


def _text(path: Path) -> str:
    return read_limited(path, Limits().json_bytes, what="The chat template").decode("utf-8", "replace")


def _json(path: Path) -> dict[str, Any]:
    return read_object(path, Limits().json_bytes, what=f"`{path.name}`") if path.is_file() else {}
