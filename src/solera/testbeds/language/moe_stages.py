"""The stages of `moe-8`: two mixtures of experts trained on the mixture of lm-6, with routers that are really used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from solera.testbeds.contract import Size
from solera.testbeds.language.lm_stages import encoded_items, points, stream, tokenizer_of
from solera.testbeds.language.models import LONGEST, load_causal, save
from solera.testbeds.language.scoring import Rows, forced
from solera.testbeds.language.sizes import sizes
from solera.testbeds.language.training import Training, train
from solera.testbeds.stages import Tell

Kind = Literal["mixtral", "qwen3"]
EXPERTS, CHOSEN = 8, 2
BALANCE = 0.02
"""Weight of the loss that spreads tokens over experts."""


@dataclass(frozen=True, slots=True)
class MoeSizes:
    """Width, width of one expert, layers, and the training."""

    hidden: int
    inner: int
    layers: int
    training: Training


SIZES: Mapping[Size, MoeSizes] = {
    "tiny": MoeSizes(16, 16, 2, Training(steps=4, rate=1e-3, batch=8, warmup=2)),
    "small": MoeSizes(96, 96, 4, Training(steps=1100, rate=2e-3, warmup=50, hold=0.6)),
    "full": MoeSizes(192, 192, 8, Training(steps=6000, rate=1e-3, batch=128, gpu=True, warmup=200, hold=0.6)),
}


def new_moe(kind: Kind, size: Size, vocabulary: int, seed: int) -> Any:
    """A mixture of experts with random weights: eight experts, two of them for each token.

    Example:
        >>> new_moe("qwen3", "tiny", 300, 0).config.num_experts_per_tok
        2
    """
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

    plan = SIZES[size]
    common: dict[str, Any] = {
        "hidden_size": plan.hidden, "num_hidden_layers": plan.layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": vocabulary, "max_position_embeddings": LONGEST,
        "num_experts_per_tok": CHOSEN, "output_router_logits": True, "router_aux_loss_coef": BALANCE,
        "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 3,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "mixtral":
            return MixtralForCausalLM(
                MixtralConfig(intermediate_size=plan.inner, num_local_experts=EXPERTS, sliding_window=None, **common)
            )
        return Qwen3MoeForCausalLM(
            Qwen3MoeConfig(
                intermediate_size=CHOSEN * plan.inner,
                moe_intermediate_size=plan.inner,
                num_experts=EXPERTS,
                head_dim=plan.hidden // 4,
                norm_topk_prob=True,
                **common,
            )
        )


def trained(folder: Path, tell: Tell, *, data: str, size: Size, seed: int, kind: Kind) -> dict[str, Any]:
    """Train on the mixture; the balance of the routers is part of the loss."""
    tokenizer = tokenizer_of(Path(data))
    mixture, training = sizes(size).mixture, SIZES[size].training
    model = new_moe(kind, size, len(tokenizer), seed)
    batches = stream(tokenizer, lambda _: mixture, training.batch, f"{seed}/{kind}")
    loss = train(model, batches, training, lambda step, _loss: tell(step + 1, training.steps))
    save(model, tokenizer, folder)
    return {"loss": loss}


def measured(folder: Path, tell: Tell, *, data: str, models: Mapping[str, str]) -> dict[str, Any]:
    """Test scores and the load of every router of both models."""
    del folder
    rows = encoded_items(Path(data), "test")
    found = {}
    for done, (name, path) in enumerate(models.items(), 1):
        model = load_causal(Path(path))
        scores = {task: round(points(forced(model, items)), 2) for task, items in rows.items()}
        every = [row for items in rows.values() for row in items]
        found[name] = {"scores": scores, "load": [[round(x, 4) for x in layer] for layer in loads(model, every)]}
        tell(done, len(models))
    return found


@contextmanager
def watched(model: Any) -> Iterator[list[Any]]:
    """Collect what the routers choose: one tensor (tokens, chosen) per layer and forward pass, in order."""
    chosen: list[Any] = []
    routers = [module for name, module in model.named_modules() if name.endswith(".gate")]
    hooks = [router.register_forward_hook(lambda _m, _i, out: chosen.append(out[2])) for router in routers]
    try:
        yield chosen
    finally:
        for hook in hooks:
            hook.remove()


def loads(model: Any, rows: Rows, batch: int = 100) -> list[list[float]]:
    """Share of the choices that fall on each expert, layer by layer; tokens of padding do not count."""
    import torch

    from solera.testbeds.language.batches import padded

    counts: list[Any] = []
    with torch.inference_mode(), watched(model) as chosen:
        for i in range(0, len(rows), batch):
            part = rows[i : i + batch]
            ids = padded(part).ids
            lengths = torch.tensor([len(given) + len(wanted) for given, wanted in part])
            real = (torch.arange(ids.shape[1]) < lengths[:, None]).flatten()
            model(input_ids=ids, use_cache=False)
            counts.append(torch.stack([torch.bincount(c[real].flatten(), minlength=EXPERTS) for c in chosen]))
            chosen.clear()
    total = torch.stack(counts).sum(0).double()
    shares: list[list[float]] = (total / total.sum(1, keepdim=True)).tolist()
    return shares


def balance(load: Sequence[Sequence[float]]) -> float:
    """Least share that an expert of any layer has; 1 / 8 where all are used alike.

    Example:
        >>> balance([[0.5, 0.5], [0.9, 0.1]])
        0.1
    """
    return min(min(layer) for layer in load)
