"""Reads a merged folder: the facts beside the tensors that two tools must agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIELDS = ("vocab_size", "num_hidden_layers", "tie_word_embeddings", "hidden_size", "architectures")
TALK = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Bye."},
)


def config_fields(folder: Path) -> dict[str, Any]:
    """Return the compared fields of config.json; the dtype under either of its names."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    dtype = config.get("dtype", config.get("torch_dtype"))
    fields = {key: config.get(key) for key in FIELDS}
    return fields | {"dtype": dtype and dtype.removeprefix("torch.")}


def token_ids(folder: Path) -> dict[str, int]:
    """Return token -> id, added tokens included."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    return dict(tokenizer["model"]["vocab"]) | added


def chat_template(folder: Path) -> str | None:
    """Return the chat template wherever the folder keeps it."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    return config.get("chat_template")


def render(template: str) -> dict[str, str]:
    """Return the text of a fixed talk, with and without the opening of an answer.

    A template that refuses the system turn is rendered without it, and this is recorded.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise ValueError(message)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = refuse
    compiled = env.from_string(template)
    common = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    out = {}
    for talk, messages in (("system", TALK), ("plain", TALK[1:])):
        for opening in (False, True):
            key = f"{talk}{'+opening' if opening else ''}"
            try:
                out[key] = compiled.render(messages=messages, add_generation_prompt=opening, **common)
            except ValueError:
                out[key] = "<refused>"
    return out
