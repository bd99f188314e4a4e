"""try: what a merge answers to a prompt, beside its base and models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.checkpoints import parse_ref
from solera.errors import CheckpointError, MissingExtra, NotFound, SoleraError
from solera.reconcile import MANIFEST
from solera.types import ModelRef


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's continuation of a prompt, or why there is none."""

    model: str
    role: str
    text: str = ""
    problem: str = ""


def try_out(folder: str | Path, prompt: str, *, tokens: int = 60) -> list[Answer]:
    """Let a merge, its base and its models continue `prompt`, greedily; one model in memory at a time.

    A chat template, where a model has one, is applied. A model that cannot be loaded gives a row that says why.

    Args:
        folder: a folder made by `solera merge`; its manifest names base and models.
        prompt: the text.
        tokens: most new tokens.

    Raises:
        MissingExtra: transformers is not installed. NotFound: no manifest.
        CheckpointError: the merge itself writes no text, or cannot be loaded.
    """
    _need("transformers", "hf")
    _quieten()
    answers = [_answer(name, role, prompt, tokens) for name, role in [*_inputs(Path(folder)), (str(folder), "merge")]]
    if answers[-1].problem:
        raise CheckpointError("The merge cannot be tried.", where=folder, got=answers[-1].problem)
    return answers


def _quieten() -> None:
    """No bars of another library between the answers."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _inputs(folder: Path) -> list[tuple[str, str]]:
    """(model, role) rows of the manifest, the base first."""
    try:
        rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["inputs"]
    except FileNotFoundError:
        want = f"a folder with {MANIFEST}, as `solera merge` makes it"
        raise NotFound("The folder has no manifest.", where=folder, want=want) from None
    found = [(_name(row), str(row.get("role", "model"))) for row in rows]
    return sorted(found, key=lambda row: row[1] != "base")


def _name(row: Mapping[str, Any]) -> str:
    revision = row.get("revision")
    return f"{row['model']}@{revision}" if revision and "@" not in row["model"] else str(row["model"])


def _answer(name: str, role: str, prompt: str, tokens: int) -> Answer:
    try:
        return Answer(name, role, text=_generate(parse_ref(name), prompt, tokens))
    except (SoleraError, OSError, ValueError) as error:
        return Answer(name, role, problem=_reason(error))


def _reason(error: Exception) -> str:
    return error.fault.what if isinstance(error, SoleraError) else str(error).splitlines()[0]


def _generate(ref: ModelRef, prompt: str, tokens: int) -> str:
    import torch
    from transformers import AutoTokenizer

    model = _with_adapters(_loaded(ref), ref)
    tokenizer = AutoTokenizer.from_pretrained(ref.path, revision=ref.revision or "main")
    text = prompt
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model.generate(ids, max_new_tokens=tokens, do_sample=False)
    start = 0 if model.config.is_encoder_decoder else ids.shape[1]
    return str(tokenizer.decode(out[0, start:], skip_special_tokens=True)).strip()


def _loaded(ref: ModelRef) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.from_pretrained(ref.path, revision=ref.revision or "main")
    kind = AutoModelForSeq2SeqLM if getattr(config, "is_encoder_decoder", False) else AutoModelForCausalLM
    if not _generates(config, kind):
        raise CheckpointError(f"The model (`{config.model_type}`) writes no text.", where=ref.path)
    return kind.from_pretrained(ref.path, revision=ref.revision or "main").eval()


def _generates(config: Any, kind: Any) -> bool:
    return type(config) in kind._model_mapping  # noqa: SLF001 - the library has no public question for this


def _with_adapters(model: Any, ref: ModelRef) -> Any:
    if not ref.loras:
        return model
    _need("peft", "lora")
    from peft import PeftModel

    for lora in ref.loras:
        model = PeftModel.from_pretrained(model, lora.path, revision=lora.revision).merge_and_unload()
    return model


def _need(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingExtra(extra, needed_for="`solera try`")


def side_by_side(answers: Iterable[Answer]) -> str:
    """The answers as text, one block per model.

    Example:
        >>> print(side_by_side([Answer("org/a", "base", "Hello."), Answer("org/b", "model", problem="no tokenizer")]))
        base org/a
            Hello.
        model org/b
            (no tokenizer)
    """
    blocks = [(f"{a.role} {a.model}", a.text or f"({a.problem or 'nothing'})") for a in answers]
    return "\n".join(f"{head}\n" + "\n".join(f"    {line}" for line in body.splitlines()) for head, body in blocks)
