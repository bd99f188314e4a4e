"""The stages of `text-6`: sentences and tokenizer, base with the shared classifier, experts, measurement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from solera.testbeds.contract import Size
from solera.testbeds.devices import device
from solera.testbeds.language import facts
from solera.testbeds.language.items import seeded
from solera.testbeds.language.models import checked, quiet, save
from solera.testbeds.language.text_data import CLASSES, sentences, slices
from solera.testbeds.language.text_grammar import Labelled
from solera.testbeds.language.text_sizes import TextSizes, text_sizes
from solera.testbeds.language.training import Training, rate_at
from solera.testbeds.stages import Tell

if TYPE_CHECKING:
    import torch

LONGEST = 40
"""Most tokens of a sentence; what is longer is cut."""

Rows = Sequence[tuple[list[int], int]]
"""(token ids, label) per sentence."""


def data(folder: Path, tell: Tell, *, size: Size, seed: int) -> None:
    """Sentences of all splits and the tokenizer, learnt from those of training."""
    plan = text_sizes(size)
    made = sentences(plan.amounts, seed)
    for split, rows in made.items():
        (folder / f"{split}.json").write_text(json.dumps(rows, indent=0), "utf-8")
    texts = [text for rows in made["train"].values() for text, _ in rows]
    quiet()
    _word_pieces(texts, plan.vocabulary).save_pretrained(folder / "tokenizer")
    tell(1, 1)


def _word_pieces(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text, no secret
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    # Letters are given beforehand: the trainer would number them in the order of its hash tables.
    letters = [mark + letter for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"]
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special + letters, show_progress=False)
    made.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=made.get_vocab())


def encoded_sentences(data: Path, split: str) -> dict[str, Rows]:
    """Task -> token ids and label, counted within the task, of every sentence of a split."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer", local_files_only=True)
    kept: dict[str, list[Labelled]] = json.loads((data / f"{split}.json").read_text("utf-8"))
    return {
        task: list(
            zip(
                tokenizer([text for text, _ in rows], truncation=True, max_length=LONGEST).input_ids,
                [label for _, label in rows],
                strict=True,
            )
        )
        for task, rows in kept.items()
    }


def logits(model: Any, rows: Rows) -> torch.Tensor:
    """Logits of all tasks, (sentences, classes)."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    ids = ids.to(model.device)
    out: torch.Tensor = model(input_ids=ids, attention_mask=(ids != 0).long()).logits
    return out.cpu()


def right(model: Any, rows: Rows, task: str, batch: int = 100) -> dict[str, list[float]]:
    """Per sentence: accuracy, 1 where the task's largest logit is the label's, and loss in nats."""
    import torch

    low, high = slices()[task]
    accuracy: list[float] = []
    loss: list[float] = []
    with torch.inference_mode():
        for i in range(0, len(rows), batch):
            part = rows[i : i + batch]
            label = torch.tensor([label for _, label in part])
            own = logits(model, part)[:, low:high]
            accuracy += (own.argmax(1) == label).double().tolist()
            loss += torch.nn.functional.cross_entropy(own, label, reduction="none").double().tolist()
    return {"accuracy": accuracy, "loss": loss}


def _new(plan: TextSizes, seed: int) -> Any:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(BertConfig(
            vocab_size=plan.vocabulary, hidden_size=plan.hidden, intermediate_size=plan.inner,
            num_hidden_layers=plan.layers, num_attention_heads=plan.heads, max_position_embeddings=64,
            num_labels=sum(CLASSES.values()), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            initializer_range=0.05,
        ))  # fmt: skip


def _train(model: Any, rows: Mapping[str, Rows], plan: Training, name: str, tell: Tell) -> float:
    """Train on sentences of the tasks in `rows`, in equal parts; frozen parameters stay."""
    import torch

    rng = seeded(name)
    moving = [p for p in model.parameters() if p.requires_grad]
    model.to(device(gpu=plan.gpu))
    optimizer = torch.optim.AdamW(moving, lr=plan.rate, weight_decay=plan.decay)
    model.train()
    loss = torch.zeros(())
    for step in range(plan.steps):
        optimizer.param_groups[0]["lr"] = rate_at(step, plan)
        loss = _loss(model, rows, plan.batch, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tell(step + 1, plan.steps)
    model.to("cpu").eval()
    return loss.item()


def _loss(model: Any, rows: Mapping[str, Rows], batch: int, rng: Random) -> torch.Tensor:
    """Mean cross-entropy over a batch in which every sentence is judged by the logits of its own task."""
    import torch

    drawn = [(task, rng.choice(rows[task])) for task in rng.choices(list(rows), k=batch)]
    drawn.sort(key=lambda pair: pair[0])
    out = logits(model, [row for _, row in drawn])
    parts = []
    for task in sorted({task for task, _ in drawn}):
        low, high = slices()[task]
        at = [i for i, (other, _) in enumerate(drawn) if other == task]
        label = torch.tensor([drawn[i][1][1] for i in at])
        parts.append(torch.nn.functional.cross_entropy(out[at, low:high], label, reduction="sum"))
    return torch.stack(parts).sum() / batch


def base(folder: Path, tell: Tell, *, data: str, size: Size, seed: int) -> dict[str, Any]:
    """Train on all tasks together, heads included."""
    plan = text_sizes(size)
    model = _new(plan, seed)
    loss = _train(model, encoded_sentences(Path(data), "train"), plan.base, f"{seed}/base", tell)
    _save(model, Path(data), folder)
    return {"loss": loss}


def expert(folder: Path, tell: Tell, *, data: str, size: Size, seed: int, task: str, start: str) -> dict[str, Any]:
    """Fine-tune the base on one task; the classifier stays as it is."""
    plan = text_sizes(size)
    model = load_classifier(Path(start))
    model.classifier.requires_grad_(requires_grad=False)
    rows = {task: encoded_sentences(Path(data), "train")[task]}
    loss = _train(model, rows, plan.expert[task], f"{seed}/{task}", tell)
    _save(model, Path(data), folder)
    return {"loss": loss}


def scratch(folder: Path, tell: Tell, *, data: str, size: Size, seed: int, task: str) -> dict[str, Any]:
    """A network of the same size trained for one task alone: its test accuracy; no file is kept."""
    del folder
    plan = text_sizes(size)
    model = _new(plan, seed + 1)
    rows = {task: encoded_sentences(Path(data), "train")[task]}
    _train(model, rows, plan.scratch, f"{seed}/{task}/scratch", tell)
    return {"points": points(right(model, encoded_sentences(Path(data), "test")[task], task))}


def _save(model: Any, data: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    save(model, AutoTokenizer.from_pretrained(data / "tokenizer", local_files_only=True), folder)


def load_classifier(folder: Path) -> Any:
    """A sentence classifier in float32 and eval mode; errors as `models.checked`."""
    from transformers import AutoModelForSequenceClassification

    return checked(AutoModelForSequenceClassification, folder)


def points(measured: Mapping[str, Sequence[float]]) -> float:
    """Mean accuracy, 0 to 100."""
    return 100 * sum(measured["accuracy"]) / len(measured["accuracy"])


def measured(folder: Path, tell: Tell, *, data: str, base: str, experts: Mapping[str, str]) -> dict[str, Any]:
    """As `facts.measured`, with accuracy."""
    del folder
    rows = {split: encoded_sentences(Path(data), split) for split in ("validation", "test")}

    def score(model: Any, split: str) -> facts.Scores:
        return {task: round(points(right(model, items, task)), 2) for task, items in rows[split].items()}

    return facts.measured(load_classifier, score, Path(base), {k: Path(p) for k, p in experts.items()}, tell)
