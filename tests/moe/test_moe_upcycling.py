"""Dense models made into a mixture: the base where experts are the base, prompts as directions, warnings."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.moe.conftest import logits

from solera.app import Upcycle, moe_upcycle
from solera.app.verify import verify
from solera.checkpoints.ranges import MemorySource
from solera.errors import BadParameter, MissingTensor, PlanError, ShapeMismatch
from solera.learn.statistics.prompts import Prompts, router_rows
from solera.learn.statistics.streaming import load_streamed
from solera.methods.moe import upcycle
from solera.methods.moe.gates import degenerate, from_states
from solera.testing.models import build, expert_of, tokenizer
from solera.types import ModelRef

TOKENS = ["<unk>", "<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz0123456789+-*/=", " "]
PROMPTED = ("hidden", "hidden_avg", "mlp_input", "cheap_embed")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Model type -> (base, an expert of it)."""
    root, found = tmp_path_factory.mktemp("dense"), {}
    for name in ("llama", "mistral", "qwen3"):
        base = build(name, root / name, layers=2, vocab=64)
        tokenizer("bpe", TOKENS, base, bos_token="<s>", unk_token="<unk>")
        found[name] = (base, expert_of(base, root / f"{name}-1", seed=1, scale=0.05))
    return found


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen3"])
@pytest.mark.parametrize("gate", ["random", "uniform_random"])
def test_copies_of_the_base_are_the_base_whatever_the_router_says(bases, tmp_path, name: str, gate: str) -> None:
    base = bases[name][0]
    wanted = Upcycle(str(base), (str(base),) * 4, {"gate": gate, "seed": 3})
    report = moe_upcycle(wanted, tmp_path / "out")
    torch.testing.assert_close(logits(tmp_path / "out"), logits(base), rtol=1e-5, atol=1e-5)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == ("qwen3_moe" if name == "qwen3" else "mixtral")
    assert report.experts == (0, 4)
    assert verify(tmp_path / "out")["ok"]
    assert "training" in " ".join(report.warnings)


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_each_expert_is_its_models_mlp(bases, tmp_path, name: str) -> None:
    base, expert = bases[name]
    moe_upcycle(Upcycle(str(base), (str(base), str(expert)), {"gate": "random"}), tmp_path / "out")
    made = load_file(tmp_path / "out" / "model.safetensors")
    parts = ("w1", "w3", "w2") if name == "llama" else ("gate_proj", "up_proj", "down_proj")
    block = "block_sparse_moe" if name == "llama" else "mlp"
    for e, folder in enumerate((base, expert)):
        dense = load_file(folder / "model.safetensors")
        for ours, theirs in zip(parts, ("gate_proj", "up_proj", "down_proj"), strict=True):
            got = made[f"model.layers.1.{block}.experts.{e}.{ours}.weight"]
            assert torch.equal(got, dense[f"model.layers.1.mlp.{theirs}.weight"])
    assert torch.equal(made["model.norm.weight"], load_file(base / "model.safetensors")["model.norm.weight"])


def test_one_expert_for_a_token_follows_the_router(bases, tmp_path) -> None:
    base, expert = bases["llama"]
    rows = torch.zeros(2, 2, 16)
    wanted = Upcycle(str(base), (str(base), str(base), str(expert)), {"gate": "hidden"}, 2, torch.zeros(2, 3, 16))
    moe_upcycle(wanted, tmp_path / "ties")  # of equal logits the first two are chosen: the base twice
    torch.testing.assert_close(logits(tmp_path / "ties"), logits(base), rtol=1e-5, atol=1e-5)
    moe_upcycle(Upcycle(str(base), (str(base), str(expert)), {"gate": "hidden"}, 1, rows), tmp_path / "one")
    torch.testing.assert_close(logits(tmp_path / "one"), logits(base), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gate", PROMPTED)
def test_rows_are_directions_of_what_the_base_makes_of_prompts(bases, gate: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = bases["llama"][0]
    prompts = [Prompts(("a+b", "cd")), Prompts(("xyz",), ("1=1",))]
    rows = router_rows(ModelRef(str(base)), prompts, gate)  # type: ignore[arg-type]
    model, words = AutoModelForCausalLM.from_pretrained(base).eval(), AutoTokenizer.from_pretrained(base)
    entering: dict[int, torch.Tensor] = {}
    for k, layer in enumerate(model.model.layers):
        layer.mlp.register_forward_pre_hook(lambda _m, args, k=k: entering.update({k: args[0]}))

    def of(texts) -> torch.Tensor:
        found = []
        for text in texts:
            ids = torch.tensor([words("<s>" + text, add_special_tokens=False).input_ids])
            with torch.no_grad():
                states = torch.stack(model(input_ids=ids, output_hidden_states=True).hidden_states[:-1])[:, 0]
            mlp = torch.stack([entering[k][0] for k in range(2)])
            table = model.get_input_embeddings().weight.detach()[ids[0]].sum(0).expand(2, -1)
            found.append(
                {"hidden": states[:, -1], "hidden_avg": states.mean(1), "mlp_input": mlp.mean(1), "cheap_embed": table}[
                    gate
                ]
            )
        return sum(found) / (1 if gate == "cheap_embed" else len(found))

    want = torch.stack([of(["a+b", "cd"]), of(["xyz"]) - of(["1=1"])], 1)
    torch.testing.assert_close(rows, want / want.norm(dim=-1, keepdim=True), rtol=1e-4, atol=1e-5)
    streamed = router_rows(ModelRef(str(base)), prompts, gate, load=load_streamed)  # type: ignore[arg-type]
    assert torch.equal(rows, streamed)
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(2, 2))


def test_noise_and_scale(bases, tmp_path) -> None:
    base = bases["llama"][0]
    dense = load_file(base / "model.safetensors")
    for name in ("one", "two"):
        parameters = {"gate": "random", "noise": 0.1, "residual_scale": 0.5, "seed": 7}
        moe_upcycle(Upcycle(str(base), (str(base), str(base)), parameters), tmp_path / name)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], tensor) for name, tensor in two.items())
    up = [one[f"model.layers.0.block_sparse_moe.experts.{e}.w3.weight"] for e in (0, 1)]
    assert not torch.equal(*up)
    assert 0.05 < float((up[0] - dense["model.layers.0.mlp.up_proj.weight"]).std()) < 0.15
    down = one["model.layers.0.block_sparse_moe.experts.0.w2.weight"]
    assert 0.025 < float((down - 0.5 * dense["model.layers.0.mlp.down_proj.weight"]).std()) < 0.075


def test_noise_is_drawn_in_tiles_and_the_same_for_every_slice(monkeypatch) -> None:
    monkeypatch.setattr(upcycle, "_TILE", 8)
    source = MemorySource(torch.zeros(5, 7, dtype=torch.float32))
    noisy = upcycle.Changed("w", source, 2.0, 0.5, 7)
    whole = noisy.read(None, 0, 35)
    assert len(whole.unique()) == 35
    for start, stop in ((0, 8), (3, 29), (8, 9), (31, 35), (4, 4)):
        assert torch.equal(noisy.read(None, start, stop), whole[start:stop])
    asked = []
    draw = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **rest: asked.append(size) or draw(*size, **rest))
    noisy.read(None, 20, 22)
    assert asked == [(8,)]


def test_prompts_that_are_alike_are_told(bases, tmp_path) -> None:
    base, expert = bases["llama"]
    same = ({"positive": ["ab"]}, {"positive": ["ab"]})
    rows = router_rows(ModelRef(str(base)), [Prompts(("ab",))] * 2, "hidden")
    assert degenerate(rows) == [0, 1]
    wanted = Upcycle(str(base), (str(base), str(expert), str(expert)), {"gate": "hidden"}, 2, rows[:, [0, 1, 1]], same)
    said = " ".join(moe_upcycle(wanted, tmp_path / "out", dry_run=True).warnings)
    assert "too alike" in said
    assert "same prompts" in said
    assert "power of two" in said
    assert not (tmp_path / "out").exists()
    assert torch.equal(from_states(torch.zeros(1, 1, 2)), torch.zeros(1, 1, 2))


def test_what_does_not_fit_is_refused(bases, tmp_path) -> None:
    base, expert = map(str, bases["llama"])
    out, random = tmp_path / "out", {"gate": "random"}
    wide = build("llama", tmp_path / "wide", layers=2, vocab=64, intermediate_size=32)
    long = build("llama", tmp_path / "long", layers=3, vocab=64)
    bert = build("bert", tmp_path / "bert", layers=2)
    biased = build("llama", tmp_path / "biased", layers=2, attention_bias=True)
    cases = [
        (Upcycle(base, (base, str(wide)), random), ShapeMismatch, "another shape"),
        (Upcycle(base, (base, str(long)), random), MissingTensor, "other layers"),
        (Upcycle(base, (base, str(bases["qwen3"][0])), random), PlanError, "another family"),
        (Upcycle(str(bert), (str(bert),) * 2, random), PlanError, "No mixture"),
        (Upcycle(str(biased), (str(biased),) * 2, random), PlanError, "attention_bias"),
        (Upcycle(base, (base, expert), random, 3), BadParameter, "top_k"),
        (Upcycle(base, (base, expert), {"gate": "hidden"}), BadParameter, "prompts"),
        (Upcycle(base, (base, expert), {"gate": "nearest"}), BadParameter, "gate"),
        (Upcycle(base, (base, expert), {"gate": "hidden"}, 2, torch.zeros(2, 3, 16)), ShapeMismatch, "rows"),
    ]
    for wanted, error, said in cases:
        with pytest.raises(error, match=said):
            moe_upcycle(wanted, out)
        assert not out.exists()
    with pytest.raises(BadParameter, match="no prompts"):
        router_rows(ModelRef(base), [Prompts(("a",)), Prompts(())], "hidden")
