"""solera moe: words, JSON, exit codes, and input that must be refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.cli.conftest import solera  # noqa: F401
from tests.moe.conftest import changed, expert_names, logits, router_name

from solera.testing.models import build, expert_of, tokenizer

TOKENS = ["<unk>", "<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz0123456789+-*/=", " "]


@pytest.fixture(scope="module")
def worded(model_of, tmp_path_factory):
    """A mixture with a tokenizer, and texts for it."""
    folder = tmp_path_factory.mktemp("worded") / "model"
    shutil.copytree(model_of("qwen3_moe"), folder)
    tokenizer("bpe", TOKENS, folder, bos_token="<s>", unk_token="<unk>")
    texts = folder.parent / "texts.txt"
    texts.write_text("\n".join(["ab+cd=ef", "hello world", "x*y-z", "0123456789"] * 3))
    return folder, texts


def test_merge_measures_and_keeps_what_it_measured(solera, worded, tmp_path) -> None:  # noqa: F811
    model, texts = worded
    kept = tmp_path / "statistics"
    words = ("moe", "merge", model, "-o", tmp_path / "a", "--experts", "2", "--data", texts, "--statistics", kept)
    said = solera(*words, "--json")
    assert said.code == 0, said.err
    assert said.data["experts"] == [4, 2]
    assert {path.stem for path in kept.iterdir()} == {"router_frequency", "router_gram"}
    again = solera("moe", "merge", model, "-o", tmp_path / "b", "--experts", "0.5", "--statistics", kept, "--json")
    assert again.data["digest"] == said.data["digest"]
    assert logits(tmp_path / "a").isfinite().all()
    streamed = solera(*words[:4], tmp_path / "c", *words[5:8], texts, "--memory", "64KiB", "--json")
    assert streamed.code == 0, streamed.err
    assert streamed.data["groups"] == said.data["groups"]


def test_prune_inspect_and_parameters(solera, worded, tmp_path) -> None:  # noqa: F811
    model, texts = worded
    kept = tmp_path / "statistics"
    words = ("moe", "prune", model, "-o", tmp_path / "out", "--experts", "3", "--data", texts, "--statistics", kept)
    said = solera(*words, "--score", "frequency", "--samples", "4")
    assert said.code == 0, said.err
    assert "3 experts of 4" in said.out
    made = json.loads((tmp_path / "out" / "solera.json").read_text())
    assert made["moe"]["parameters"] == {"score": "frequency"}
    shown = solera("moe", "inspect", model, "--statistics", kept, "--json").data
    assert (shown["experts"], shown["top"], shown["layers"]) == (4, 2, 2)
    assert len(shown["reap"]["0"]) == 4
    assert solera("moe", "inspect", model).code == 0
    assert solera("moe", "inspect", tmp_path / "out", "--json").data["experts"] == 3


def test_dry_run_writes_nothing(solera, worded, tmp_path) -> None:  # noqa: F811
    model, texts = worded
    words = ("moe", "merge", model, "-o", tmp_path / "out", "--method", "hc_smoe", "--data", texts)
    said = solera(*words, "--router", "every", "--dry-run")
    assert said.code == 0, said.err
    assert "would write 2 layers with 4 experts of 4" in said.out
    assert "held once" in said.out
    assert not (tmp_path / "out").exists()


def test_methods_are_listed(solera) -> None:  # noqa: F811
    assert {card["name"] for card in solera("moe", "methods", "--json").data} >= {
        "m_smoe",
        "hc_smoe",
        "reap",
        "upcycle",
    }
    assert "arXiv:2510.13999" in solera("moe", "methods", "reap").out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("merge", "MODEL"), 4, "no calibration data"),
        (("merge", "MODEL", "--experts", "4", "--statistics", "KEPT"), 2, "fewer than the 4"),
        (("merge", "MODEL", "--experts", "9", "--statistics", "KEPT"), 2, "in [1, 4]"),
        (("merge", "MODEL", "--experts", "0", "--statistics", "KEPT"), 2, "`experts` is not usable"),
        (("merge", "MODEL", "--experts", "1.5", "--statistics", "KEPT"), 2, "`experts` is not usable"),
        (("merge", "MODEL", "--experts", ".nan", "--statistics", "KEPT"), 2, "`experts` is not usable"),
        (("merge", "MODEL", "--experts", ".inf", "--statistics", "KEPT"), 2, "`experts` is not usable"),
        (("merge", "MODEL", "--experts", "1.0", "--top-k", "1", "--statistics", "KEPT"), 2, "fewer than the 4"),
        (("merge", "MODEL", "--experts", "few", "--statistics", "KEPT"), 2, "`experts` is not usable"),
        (("merge", "MODEL", "--experts", "1", "--statistics", "KEPT"), 2, "--top-k"),
        (("merge", "MODEL", "--top-k", "0", "--statistics", "KEPT"), 2, "`top_k` is not usable"),
        (("merge", "MODEL", "--router", "max", "--statistics", "KEPT"), 2, "`router` is not usable"),
        (("merge", "MODEL", "--method", "reap", "--statistics", "KEPT"), 2, "solera moe prune"),
        (("merge", "MODEL", "--method", "m_smo", "--statistics", "KEPT"), 2, "m_smoe"),
        (("merge", "MODEL", "--spread", "global", "--statistics", "KEPT"), 4, "--router every"),
        (("merge", "MODEL", "--likeness", "3", "--statistics", "KEPT"), 2, "likeness"),
        (("merge", "MODEL", "--dtype", "int8", "--statistics", "KEPT"), 2, "`dtype` is not usable"),
        (("merge", "MODEL", "MODEL", "--statistics", "KEPT"), 2, "One model is wanted"),
        (("merge", "MODEL", "--statistics", "/no/such/folder"), 4, "no calibration data"),
        (("merge", "DENSE", "--statistics", "KEPT"), 4, "has no experts"),
        (("merge", "DENSE", "--data", "TEXTS"), 4, "has no experts"),
        (("merge", "OTHER", "--statistics", "KEPT"), 4, "of another model"),
        (("prune", "OTHER", "--statistics", "KEPT"), 4, "of another model"),
        (("inspect", "DENSE"), 4, "has no experts"),
    ],
)
def test_what_cannot_be_done_is_said(solera, model_of, measured_of, worded, tmp_path, words, code, text) -> None:  # noqa: F811
    base = model_of("mixtral")
    dense, other = tmp_path / "dense", tmp_path / "other"
    build("llama", dense, layers=1)
    expert_of(base, other, seed=1)
    places = {"MODEL": base, "KEPT": measured_of("mixtral"), "DENSE": dense, "OTHER": other, "TEXTS": worded[1]}
    out = () if words[0] == "inspect" else ("-o", tmp_path / "out")
    said = solera("moe", *(places.get(word, word) for word in words), *out)
    assert said.code == code, said.err
    assert text in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("--experts", "0"), ("--experts", "1"), ("--top-k", "9"), ()])
def test_what_cannot_be_done_is_said_before_anything_is_measured(solera, worded, tmp_path, words) -> None:  # noqa: F811
    model, texts = worded
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "config.json").write_text("{}")
    out = taken if not words else tmp_path / "out"
    said = solera("moe", "prune", model, "-o", out, "--data", texts, "--statistics", tmp_path / "kept", *words)
    assert said.code == (2 if words else 5), said.err
    assert not (tmp_path / "kept").exists()


def test_a_mixture_without_experts_by_name_is_not_called_dense(solera, model_of, tmp_path) -> None:  # noqa: F811
    def hidden(tensors) -> None:
        for name in [name for name in tensors if ".experts." in name]:
            tensors[name.replace(".experts.", ".parts.")] = tensors.pop(name)

    said = solera("moe", "inspect", changed(model_of("mixtral"), tmp_path / "odd", hidden))
    assert said.code == 4
    assert "of a kind that is not known" in said.err


def test_global_numbers_keep_every_slot(solera, model_of, measured_of, tmp_path) -> None:  # noqa: F811
    words = ("moe", "merge", model_of("mixtral"), "-o", tmp_path / "out", "--statistics", measured_of("mixtral"))
    said = solera(*words, "--spread", "global", "--router", "every", "--experts", "2", "--json")
    assert said.code == 0, said.err
    assert sum(map(len, said.data["groups"].values())) <= 4
    assert said.data["experts"] == [4, 4]


def test_one_expert_for_a_token_with_one_expert_left(solera, model_of, measured_of, tmp_path) -> None:  # noqa: F811
    words = ("moe", "prune", model_of("mixtral"), "-o", tmp_path / "out", "--statistics", measured_of("mixtral"))
    assert solera(*words, "--experts", "1", "--top-k", "1").code == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_experts_per_tok"] == 1
    assert logits(tmp_path / "out").isfinite().all()


def test_broken_models_are_refused_and_the_target_stays(solera, model_of, measured_of, tmp_path) -> None:  # noqa: F811
    base, kept, out = model_of("mixtral"), tmp_path / "kept", tmp_path / "out"
    words = ("--experts", "2", "--method", "hc_smoe", "--statistics")
    assert solera("moe", "merge", base, "-o", out, *words, measured_of("mixtral")).code == 0
    before = (out / "solera.json").read_text()
    again = solera("moe", "merge", base, "-o", out, *words, measured_of("mixtral"))
    assert again.code == 5
    assert "--force" in again.err

    def rotten(tensors) -> None:
        for expert in range(4):
            tensors[expert_names("mixtral", 1, expert)[2]][0, 0] = float("nan")

    def odd(tensors) -> None:
        del tensors[expert_names("mixtral", 1, 2)[1]]

    def narrow(tensors) -> None:
        tensors[router_name("mixtral", 0)] = tensors[router_name("mixtral", 0)][:3].clone()

    for name, change, text in (
        ("nan", rotten, "not finite"),
        ("odd", odd, "not known"),
        ("narrow", narrow, "0 routers"),
    ):
        broken = changed(base, tmp_path / name, change)
        for kind in ("router_frequency", "expert_output"):
            _claim(measured_of("mixtral") / f"{kind}.safetensors", kept / f"{kind}.safetensors", broken)
        said = solera("moe", "merge", broken, "-o", out, "--force", *words, kept)
        assert said.code in (3, 4), said.out
        assert text in said.err
        assert (out / "solera.json").read_text() == before


def _claim(source, target, model) -> None:
    """Statistics that say they are of another model: only the model's own faults are left to find."""
    from safetensors import safe_open

    from solera.checkpoints import digest_checkpoint, open_checkpoint

    with safe_open(source, "pt") as file:
        said = json.loads(file.metadata()["statistics"])
    said["model_digest"], said["weak_id"] = digest_checkpoint(open_checkpoint(str(model))).root, ""
    target.parent.mkdir(exist_ok=True)
    save_file(load_file(source), target, {"statistics": json.dumps(said)})


def test_statistics_that_lie_are_refused(solera, model_of, measured_of, tmp_path) -> None:  # noqa: F811
    base, kept = model_of("mixtral"), tmp_path / "kept"
    for change, text in ((lambda t: t * torch.nan, "not finite"), (lambda t: t[:3].contiguous(), "another shape")):
        for kind in ("router_frequency", "router_gram"):
            _claim(measured_of("mixtral") / f"{kind}.safetensors", kept / f"{kind}.safetensors", base)
        path = kept / "router_gram.safetensors"
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        save_file({name: change(tensor) for name, tensor in load_file(path).items()}, path, metadata)
        said = solera("moe", "merge", base, "-o", tmp_path / "out", "--statistics", kept)
        assert said.code == 3, said.out
        assert text in said.err
    shutil.copy(kept / "router_frequency.safetensors", kept / "expert_activation.safetensors")
    said = solera("moe", "prune", base, "-o", tmp_path / "out", "--statistics", kept)
    assert "another statistic" in said.err


def test_upcycle_with_prompts_and_by_a_config(solera, tmp_path) -> None:  # noqa: F811
    base = build("llama", tmp_path / "base", layers=2, vocab=64)
    tokenizer("bpe", TOKENS, base, bos_token="<s>", unk_token="<unk>")
    expert = expert_of(base, tmp_path / "expert", seed=1)
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(json.dumps({str(base): ["abc"], str(expert): {"positive": ["1+2", "3"], "negative": ["xyz"]}}))
    words = ("moe", "upcycle", base, expert, "-o", tmp_path / "a", "--prompts", prompts, "--json")
    said = solera(*words)
    assert said.code == 0, said.err
    config = {
        "base_model": str(base), "gate_mode": "hidden", "experts_per_token": 2,
        "experts": [
            {"source_model": str(base), "positive_prompts": ["abc"]},
            {"source_model": str(expert), "positive_prompts": ["1+2", "3"], "negative_prompts": ["xyz"]},
        ],
    }  # fmt: skip
    (tmp_path / "moe.yaml").write_text(json.dumps(config))
    other = solera("moe", "upcycle", tmp_path / "moe.yaml", "-o", tmp_path / "b", "--json")
    assert other.code == 0, other.err
    assert other.data["digest"] == said.data["digest"]
    assert logits(tmp_path / "b").isfinite().all()
    avg = solera(*words[:5], tmp_path / "c", *words[6:], "--gate", "hidden_avg", "--noise", "0.01")
    assert avg.data["digest"] != said.data["digest"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"experts": []}, "top_k"),
        ({"shared_experts": [{}]}, "none shared"),
        ({"architecture": "deepseek"}, "deepseek"),
        ({"gate_mod": "hidden"}, "gate_mode"),
        ({"gate_mode": "best"}, "gate"),
        ({"experts": [{"source": "x"}]}, "source_model"),
        ({"experts": [{"source_model": "B", "prompts": []}]}, "positive_prompts"),
        ({"experts": "all"}, "no mixture"),
        ({"experts_per_token": "two"}, "experts_per_token"),
        ({"experts_per_token": 1.7}, "experts_per_token"),
        ({"dtype": 16}, "dtype"),
        ({"architecture": "qwen3"}, "another mixture"),
        ({"base_model": ["x"]}, "named by no text"),
        ({"experts": [{"source_model": "BASE", "positive_prompts": ["a"], "noise_scale": [1]}]}, "noise"),
    ],
)
def test_configs_that_say_something_else_are_refused(solera, tmp_path, change, text) -> None:  # noqa: F811
    base = build("llama", tmp_path / "base", layers=1, vocab=64)
    config = {"base_model": str(base), "experts": [{"source_model": str(base), "positive_prompts": ["a"]}] * 2} | change
    (tmp_path / "moe.yaml").write_text(json.dumps(config).replace("BASE", str(base)))
    said = solera("moe", "upcycle", tmp_path / "moe.yaml", "-o", tmp_path / "out")
    assert said.code in (2, 3), said.out
    assert text in said.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--gate", "random", "--top-k", "0"), 2, "`top_k` is not usable"),
        (("--gate", "random", "--seed", str(2**64)), 2, "`seed` is not usable"),
        (("--prompts", "PROMPTS"), 5, "not empty"),
    ],
)
def test_upcycling_that_cannot_be_is_refused_before_the_base_runs(
    solera,  # noqa: F811
    tmp_path,
    monkeypatch,
    words,
    code,
    text,
) -> None:
    base = build("llama", tmp_path / "base", layers=1, vocab=64)
    prompts, out = tmp_path / "prompts.yaml", tmp_path / "out"
    prompts.write_text("[a, b]")
    out.mkdir()
    (out / "config.json").write_text("{}")
    monkeypatch.setattr("solera.learn.statistics.prompts.router_rows", lambda *_a, **_k: pytest.fail("it ran"))
    found = [prompts if word == "PROMPTS" else word for word in words]
    said = solera("moe", "upcycle", base, base, "-o", out, *found)
    assert said.code == code, said.err
    assert text in said.err


@pytest.mark.parametrize(
    ("prompts", "text"),
    [("[[a]]", "2, one for each"), ("{x: [a]}", "No model is called"), ("[a, {good: [b]}]", "cannot be read"),
     ("[a, [1]]", "cannot be read"), ("a: [", "")],
)  # fmt: skip
def test_prompts_that_do_not_fit_are_refused(solera, tmp_path, prompts, text) -> None:  # noqa: F811
    base = build("llama", tmp_path / "base", layers=1, vocab=64)
    (tmp_path / "p.yaml").write_text(prompts)
    said = solera("moe", "upcycle", base, base, "-o", tmp_path / "out", "--prompts", tmp_path / "p.yaml")
    assert said.code in (2, 3), said.out
    assert text in said.err
