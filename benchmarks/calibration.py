"""Times of collecting statistics beside the passes that they need, on one thread.

python benchmarks/calibration.py [--repeat 5] [--only gram,fisher]

Writes results/calibration.json and the table of docs/statistics.md. One row per model and kind: processor seconds of
the collector and of what it is compared with (the best of all repeats, taken in turn), and their ratio. Norms, squares
and routers are compared with forward passes; outer products with forward passes and the products alone; Fisher
information with forward and their backward passes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import beside
import torch
from torch import nn

from solera.learn.statistics import Batch, collect
from solera.learn.statistics.inputs import tasks_of
from solera.learn.statistics.sites import anatomy_of

BOUNDS = {"activation_norm": 1.3, "activation_square": 1.3, "router_frequency": 1.3, "gram": 1.2}
FISHERS = ("fisher", "sampled_fisher", "empirical_fisher")
BOUNDS |= dict.fromkeys(FISHERS, 1.3)
WIDTH, ROWS, BATCHES = 384, 16, 4
FIGURES = Path(__file__).parent / "results" / "calibration.json"
WORDS = {"gram": "forward, and its own products", **dict.fromkeys(FISHERS, "forward and the backward passes it needs")}
TITLES = {"vit": "ViT", "llama": "Llama", "mixtral": "Mixtral"}


def vision() -> tuple[nn.Module, list[Batch]]:
    """A vision transformer: 6 layers of 384 channels, 65 tokens, 10 answers."""
    from transformers import ViTConfig, ViTForImageClassification

    shape = {"image_size": 32, "patch_size": 4, "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH}
    config = ViTConfig(**shape, num_hidden_layers=6, num_attention_heads=6, num_labels=10)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randn(BATCHES, ROWS, 3, 32, 32, generator=draw)
    batches = [Batch({"pixel_values": part}, torch.arange(ROWS) % 10) for part in pixels]
    return ViTForImageClassification(config).eval(), batches


def language(kind: str = "LlamaForCausalLM", **own: Any) -> tuple[nn.Module, list[Batch]]:
    """A decoder: 6 layers of 384 channels, 64 tokens, 2,000 words."""
    import transformers

    config_kind = getattr(transformers, kind.replace("ForCausalLM", "Config"))
    shape = {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": 6, "num_attention_heads": 6}
    config = config_kind(vocab_size=2000, num_key_value_heads=2, max_position_embeddings=128, **shape, **own)
    ids = torch.randint(0, 2000, (BATCHES, ROWS, 64), generator=torch.Generator().manual_seed(0))
    return getattr(transformers, kind)(config).eval(), [Batch({"input_ids": part}, part) for part in ids]


MODELS: dict[str, Callable[[], tuple[nn.Module, list[Batch]]]] = {
    "vit": vision,
    "llama": language,
    "mixtral": lambda: language("MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
}


def forward(model: nn.Module, batches: Sequence[Batch]) -> None:
    """A plain pass."""
    with torch.no_grad():
        for batch in batches:
            model(**batch.inputs)


def with_products(model: nn.Module, batches: Sequence[Batch]) -> None:
    """A plain pass, and the outer products of as many numbers as enter the layers."""
    forward(model, batches)
    for task in tasks_of(["gram"], anatomy_of(model).sites):
        for batch in batches:
            tokens = batch.labels.numel() if batch.labels.dim() == 2 else batch.size * 65  # type: ignore[union-attr]
            rows = torch.ones(tokens, task.site.channels)
            rows.T @ rows


def backward(model: nn.Module, batches: Sequence[Batch], times: int) -> None:
    """A pass with gradients of all weights, as many times."""
    for batch in batches:
        logits = model(**batch.inputs).logits.log_softmax(-1)
        for k in range(times):
            model.zero_grad()
            score = logits[..., k].sum() if times > 1 else logits.gather(-1, _labels(batch, logits)).sum()
            score.backward(retain_graph=k + 1 < times)
    model.zero_grad()


def _labels(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
    assert batch.labels is not None
    return batch.labels.reshape(*logits.shape[:-1], 1)


def seconds(run: Callable[[], object]) -> float:
    """Processor time of one run."""
    began = time.process_time()
    run()
    return time.process_time() - began


def rows(name: str, repeat: int, only: Sequence[str]) -> Iterator[dict[str, Any]]:
    """All kinds of one model."""
    model, batches = MODELS[name]()
    inputs = ["activation_norm", "activation_square", "gram"]
    own = {"vit": ["fisher", "empirical_fisher"], "llama": ["sampled_fisher", "empirical_fisher"]}
    kinds = ["router_frequency"] if name == "mixtral" else [*inputs, *own[name]]
    for kind in [k for k in kinds if not only or k in only]:
        answers = 10 if kind == "fisher" else 1
        plain: Callable[[], None] = {
            "gram": lambda: with_products(model, batches),
            **dict.fromkeys(FISHERS, lambda n=answers: backward(model, batches, n)),
        }.get(kind, lambda: forward(model, batches))
        times = [(seconds(plain), seconds(lambda k=kind: collect(model, batches, [k]))) for _ in range(repeat)]
        need, took = (min(each) for each in zip(*times[1:], strict=True))
        yield {
            "model": name,
            "kind": kind,
            "seconds": round(took, 4),
            "needed": round(need, 4),
            "ratio": round(took / need, 3),
            "bound": BOUNDS[kind],
        }


def keep(row: Mapping[str, Any]) -> None:
    """Put a row into the results file, in the place of an older one."""
    old = figures()
    left = [each for each in old if (each["model"], each["kind"]) != (row["model"], row["kind"])]
    FIGURES.write_text(json.dumps({"form": 1, "rows": [*left, row]}, indent=1) + "\n", encoding="utf-8")


def figures() -> list[dict[str, Any]]:
    """All rows that were measured."""
    return json.loads(FIGURES.read_text("utf-8"))["rows"] if FIGURES.exists() else []


def page() -> str:
    """The table: ratios by kind and model; nothing where nothing was measured."""
    ratios = {(row["kind"], row["model"]): f"{row['ratio']:.2f} ×" for row in figures()}
    kinds = [kind for kind in BOUNDS if any((kind, model) in ratios for model in TITLES)]
    rows = [[f"`{k}`", WORDS.get(k, "forward"), *(ratios.get((k, m), "") for m in TITLES)] for k in kinds]
    return beside.table(("kind", "beside", *TITLES.values()), rows) if rows else ""


def main() -> None:
    """Measure, print all rows, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    only = [kind for kind in options.only.split(",") if kind]
    for name in MODELS:
        for row in rows(name, options.repeat + 1, only):
            keep(row)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
    beside.put(beside.DOCS / "statistics.md", page(), "cost")


if __name__ == "__main__":
    main()
