"""solera search evolve and layers, with real models, tasks and files."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from solera.cli.commands import app

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny classifier, two fine-tunes of it and two tasks: is a token id below 8, is it even."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("evolve")
    words = Tokenizer(models.WordLevel({str(i): i for i in range(16)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="0", eos_token="0", pad_token="0")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(vocab_size=16, **sizes))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for k, name in enumerate(("base", "a", "b")):
        moved = {n: v + 0.2 * k * torch.randn(v.shape) if v.is_floating_point() else v for n, v in start.items()}
        model.load_state_dict(moved)
        model.save_pretrained(place / name)
        tokens.save_pretrained(place / name)
    small = [{"text": f"{i % 16}", "label": int(i % 16 < 8)} for i in range(32)]
    even = [{"text": f"{i % 16}", "label": int(i % 2 == 0)} for i in range(32)]
    for name, rows in (("small", small), ("even", even)):
        (place / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tasks = "tasks:\n- {name: small, data: small.jsonl}\n- {name: even, data: even.jsonl}\n"
    (place / "tasks.yaml").write_text(tasks)
    (place / "numbers.yaml").write_text(tasks)
    return place


@pytest.fixture
def search(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))

    def run(kind, *words, out="out"):
        asked = [
            "search",
            kind,
            *words,
            "--tasks",
            folder / "tasks.yaml",
            "-o",
            tmp_path / out,
            "--json",
            "--threads",
            "1",
        ]
        done = CliRunner().invoke(app, [str(word) for word in asked])
        return done.exit_code, json.loads(done.stdout)

    return run


def _models(folder):
    return (folder / "a", folder / "b", "--base", folder / "base")


def _score_of(folder, merged, tmp_path):
    """What `solera bench`'s tasks say of a folder: mean over tasks, by split."""
    from solera.bench.own import OwnSource
    from solera.evaluate.contract import mean_and_error

    arena = OwnSource(None, (str(merged), str(merged)), folder / "tasks.yaml", 0).open()
    with torch.no_grad():
        return {
            split: sum(mean_and_error(t.measure(arena.module)["accuracy"])[0] for t in tasks) / len(tasks)
            for split, tasks in arena.tasks.items()
        }


def test_the_best_recipe_reproduces_its_score(search, folder, tmp_path):
    code, told = search("evolve", *_models(folder), "--genes", "layer", "--evaluations", "24", "--normalize", "false")
    assert code == 0, told
    assert told["best"]["validation"]["mean"] >= told["start"]["validation"]["mean"]
    assert told["curve"][-1] == told["best"]["validation"]["mean"]
    assert (told["genes"], told["evaluations"], told["failed"]) == (6, 24, 0)
    merged = CliRunner().invoke(app, ["merge", str(tmp_path / "out" / "best.yaml"), str(tmp_path / "merged"), "--json"])
    assert merged.exit_code == 0, merged.output
    again = _score_of(folder, tmp_path / "merged", tmp_path)
    assert {split: told["best"][split]["mean"] for split in ("validation", "test")} == pytest.approx(again)


def test_resume_and_refusals(search, folder):
    asked = (*_models(folder), "--optimizer", "tpe", "--evaluations")
    code, first = search("evolve", *asked, "8")
    assert code == 0, first
    code, told = search("evolve", *asked, "8")
    assert (code, told["error"]["type"]) == (5, "TargetInUse")
    code, longer = search("evolve", *asked, "12", "--resume")
    assert code == 0
    assert longer["curve"][:8] == first["curve"]
    code, told = search("evolve", *asked, "12", "--resume", "--method", "ties")
    assert (code, told["error"]["type"]) == (5, "RunError")


def test_a_log_of_other_models_is_refused(search, folder, tmp_path):
    changed = shutil.copytree(folder / "a", tmp_path / "changed")
    words = (changed, folder / "b", "--base", folder / "base", "--evaluations", "2")
    code, told = search("evolve", *words)
    assert code == 0, told
    shutil.copy(folder / "b" / "model.safetensors", changed / "model.safetensors")
    code, told = search("evolve", *words, "--resume")
    assert code == 5
    assert "models differ" in json.dumps(told["error"])


def test_a_front_by_a_space(search, folder, tmp_path):
    space = tmp_path / "space.yaml"
    models = f"models: ['{folder / 'a'}', '{folder / 'b'}'], base: '{folder / 'base'}'"
    space.write_text(
        f"recipe: {{method: ties, {models}}}\ngenes: [weight, {{parameter: density, low: 0.2, high: 0.9}}]\nobjectives: [small, even]\n"
    )
    code, told = search("evolve", space, "--optimizer", "nsga2", "--population", "6", "--evaluations", "18")
    assert code == 0, told
    assert told["objectives"] == ["small", "even"]
    assert told["genes"] == 4
    assert len(told["front"]) == len(list((tmp_path / "out" / "front").iterdir())) >= 1
    plain = CliRunner().invoke(
        app,
        [
            "search",
            "evolve",
            str(space),
            "--optimizer",
            "nsga2",
            "--population",
            "6",
            "--evaluations",
            "18",
            "--tasks",
            str(folder / "tasks.yaml"),
            "-o",
            str(tmp_path / "out"),
            "--threads",
            "1",
            "--resume",
        ],
    )
    assert plain.exit_code == 0
    assert "front" in plain.stdout


def test_few_items_by_an_estimator(search, folder):
    words = ("--estimator", "gmp-irt", "--items", "4", "--calibration", "4", "--evaluations", "14")
    code, told = search("evolve", *_models(folder), *words)
    assert code == 0, told
    assert told["items"]["scored"] == 14 * 8
    assert told["calibration_items"] == 6 * 32
    code, raced = search("evolve", *_models(folder), "--racing", "0.5,1", "--evaluations", "14", out="race")
    assert code == 0
    assert raced["items"]["scored"] < raced["items"]["of"]


def test_layers(search, folder, tmp_path):
    code, told = search("layers", folder / "a", folder / "b", "--scales", "none", "--evaluations", "16")
    assert code == 0, told
    assert told["genes"] == 4
    assert told["best by its recipe, test"] == pytest.approx(told["best"]["test"]["tasks"])
    merged = CliRunner().invoke(app, ["merge", str(tmp_path / "out" / "best.yaml"), str(tmp_path / "merged"), "--json"])
    assert merged.exit_code == 0, merged.output
    assert _score_of(folder, tmp_path / "merged", tmp_path)["test"] == pytest.approx(told["best"]["test"]["mean"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--vary", "densty", "--method", "ties"), "did you mean `density`"),
        (("--evaluations", "0"), "--evaluations"),
        (("--optimizer", "cma"), "did you mean `cmaes`"),
        (("--genes", "layers"), "did you mean `layer`"),
        (("--objective", "smal"), "did you mean `small`"),
        (("--objective", "small,even"), "nsga2"),
        (("--racing", "half"), "--racing"),
        (("--racing", "0.5,1", "--estimator", "p-irt"), "one of them"),
        (("--estimator", "irt"), "p-irt"),
        (("--estimator", "p-irt", "--items", "99"), "--items"),
        (("--testbed", "vision-8"), "One of"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_refused_options(search, folder, words, says):
    code, told = search("evolve", *_models(folder), *words)
    assert code not in (0, 1), told
    assert says in json.dumps(told["error"])


def test_what_stands_beside_a_file(search, tmp_path):
    (tmp_path / "r.yaml").write_text("{method: linear, models: [a, b]}")
    code, told = search("evolve", tmp_path / "r.yaml", "--method", "ties")
    assert code == 2
    assert "no effect" in json.dumps(told["error"])
    code, told = search("layers")
    assert code == 2


def test_help():
    for verb in ("evolve", "layers"):
        done = CliRunner().invoke(app, ["search", verb, "--help"])
        assert done.exit_code == 0
        assert "--evaluations" in done.stdout
