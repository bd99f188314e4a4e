"""lm-6: ordinary folders, tasks that score what they say, equal bytes from equal seeds, builds that go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from solera import testbeds
from solera.errors import CheckpointError, MissingTensor, UnknownName
from solera.evaluate.contract import mean_and_error
from solera.testbeds.language import lm as module
from solera.testbeds.language import lm_stages
from solera.testbeds.language.scoring import forced
from solera.testbeds.language.training import Training, sequence_loss, train

TASKS = ["arithmetic", "sorting", "recall", "brackets", "instruction", "language"]


def test_it_holds_a_base_six_experts_and_what_other_methods_need(lm) -> None:
    assert list(lm.experts) == TASKS
    assert sum(name.startswith("step-") for name in lm.extras) >= 10
    assert {"narrow", "short", "continued"} <= set(lm.extras)
    config = transformers.AutoConfig.from_pretrained(lm.base)
    assert config.num_hidden_layers >= 4
    assert config.num_key_value_heads < config.num_attention_heads
    assert transformers.AutoConfig.from_pretrained(lm.extras["narrow"]).num_hidden_layers >= 8
    assert "gate" not in lm.facts


def test_folders_are_read_by_transformers_and_differ(lm) -> None:
    base = load_file(lm.base / "model.safetensors")
    tokenizer = transformers.AutoTokenizer.from_pretrained(lm.base)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "sort b a"}], tokenize=False)
    assert asked == "<|user|> sort b a<|end|>"
    for folder in (*lm.experts.values(), *lm.extras.values()):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        assert model.config.vocab_size == len(tokenizer)
        if folder not in (lm.base, lm.extras["narrow"]):
            assert not load_file(folder / "model.safetensors")["model.norm.weight"].equal(base["model.norm.weight"])


def test_tasks_are_named_grouped_and_disjoint_between_splits(lm) -> None:
    both = {split: testbeds.tasks(lm, split) for split in ("validation", "test")}
    for tasks in both.values():
        assert [task.name for task in tasks] == [*TASKS, "arithmetic-b"]
        assert [task.group for task in tasks] == ["held-in"] * 6 + ["unseen"]
        assert [task.expert for task in tasks] == [*TASKS, None]
    assert not {t.data for t in both["test"]} & {t.data for t in both["validation"]}
    kept = {split: json.loads((lm.folder / "data" / f"{split}.json").read_text()) for split in both}
    for name in TASKS:
        assert not {a for a, _ in kept["test"][name]} & {a for a, _ in kept["validation"][name]}


def test_exact_match_and_loss_are_those_of_a_plain_loop(lm) -> None:
    model = testbeds.load(lm, lm.base)
    task = testbeds.tasks(lm)[1]
    ours = task.measure(model)
    rows = lm_stages.encoded_items(lm.folder / "data", "test")["sorting"]
    for (given, wanted), exact, loss in zip(rows, ours["exact"], ours["loss"], strict=True):
        logits = model(torch.tensor([given + wanted])).logits[0].detach().double()
        places = range(len(given) - 1, len(given) + len(wanted) - 1)
        chosen = [int(logits[i].argmax()) for i in places]
        plain = -sum(float(logits[i].log_softmax(0)[w]) for i, w in zip(places, wanted, strict=True)) / len(wanted)
        assert exact == float(chosen == wanted)
        assert loss == pytest.approx(plain, abs=1e-4)
    assert task.items == len(rows) == len(ours["exact"])


def test_a_trained_model_scores_full_marks_with_both_metrics(lm, tmp_path: Path) -> None:
    """Overfit one item set: teacher-forced and generated answers then agree, and lengths are those of the answers."""
    tokenizer = lm_stages.tokenizer_of(lm.folder / "data")
    rows = lm_stages.encoded_items(lm.folder / "data", "test")["brackets"][:4]
    from solera.testbeds.language.batches import padded

    model = testbeds.load(lm, lm.base)
    train(model, lambda _step: [padded(rows)], Training(steps=40, rate=1e-2, warmup=5))
    from solera.testbeds.language.generation import generated

    written = generated(tokenizer, rows, 20, model)
    assert mean_and_error(forced(model, rows)["exact"])[0] == mean_and_error(written["whole"])[0] == 1.0
    assert written["length"] == [float(len(wanted)) for _, wanted in rows]
    assert written["answer"] == written["whole"]


def test_generating_tasks_measure_answers_and_lengths(lm) -> None:
    task = module.generating_tasks(lm, "test", longest=4)[0]
    got = task.measure(testbeds.load(lm, lm.base))
    assert (task.name, task.metric) == ("arithmetic/generated", "answer")
    assert set(got) == {"answer", "whole", "length"}
    assert max(got["length"]) <= 4


def test_written_tasks_are_asked_for_by_name_and_their_records_have_lengths(lm, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from solera.cli.commands import app

    words = ["evaluate", str(lm.base), "--testbed", "lm-6", "--size", "tiny", "--cache", str(lm.folder.parent)]
    said = CliRunner().invoke(app, [*words, "--written", "--only", "brackets", "--no-memory", "--json"])
    assert said.exit_code == 0
    rows = json.loads(said.stdout)
    assert [(row["task"], row["metric"]) for row in rows] == [
        ("brackets/generated", metric) for metric in ("answer", "length", "whole")
    ]
    assert testbeds.tasks(lm, written=True, only=["sorting/generated"])[0].name == "sorting/generated"
    with pytest.raises(UnknownName, match="did you mean `sorting`"):
        testbeds.tasks(lm, written=True, only=["sortin"])


def test_first_places_write_once_and_are_filed_beside_the_leaderboard(lm, tmp_path: Path, monkeypatch) -> None:
    from solera.bench.arena import TestbedSource
    from solera.bench.entries import field_of
    from solera.bench.leaderboard import board
    from solera.bench.records import read
    from solera.bench.running import run
    from solera.bench.written import LENGTHS, writing

    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import beside
    import written

    monkeypatch.setattr(beside, "FOLDER", tmp_path / "beside")
    monkeypatch.setattr(written, "RECORDS", tmp_path)
    kept, source = lm.folder.parent, TestbedSource("lm-6", "tiny", folder=lm.folder.parent)
    run([source], field_of(6, based=True, methods=["linear", "median"]).entries, tmp_path / "lm-6.jsonl", workers=1)
    written.run("lm-6", "tiny", 0, 1, kept)
    file = tmp_path / "beside" / "lm-6-written.jsonl"
    before = file.read_bytes()
    written.run("lm-6", "tiny", 0, 1, kept)
    assert file.read_bytes() == before
    every = read(tmp_path / "lm-6.jsonl", file)
    of = board(every, "lm-6", "tiny")
    found = writing(every, of)
    assert {("base", "default"), ("experts", "default"), ("linear", "default")} < set(found.lengths)
    _, tokens = found.of(of.line("linear", "tuned"), of.line("linear", "default"))
    model = testbeds.load(lm, lm.base)
    by_hand = [mean_and_error(task.measure(model)["length"])[0] for task in testbeds.tasks(lm, written=True)[:6]]
    assert board(every, "lm-6", "tiny", LENGTHS).line("base", "default").held_in == pytest.approx(sum(by_hand) / 6)
    assert tokens > 0


def test_scores_of_written_answers_are_kept_apart_from_forced_ones_and_by_length(lm) -> None:
    forced_, short, long = (
        tasks[0].data
        for tasks in (
            testbeds.tasks(lm),
            module.generating_tasks(lm, "test", longest=4),
            module.generating_tasks(lm, "test"),
        )
    )
    assert len({forced_, short, long}) == 3


def test_loss_gives_every_sequence_the_same_weight() -> None:
    logits = torch.zeros(2, 4, 5)
    logits[0, :, 0] = 3.0
    labels = torch.tensor([[-100, 0, 0, 0], [-100, 1, -100, -100]])
    per = torch.nn.functional.cross_entropy(torch.stack([logits[0, 0], logits[1, 0]]), torch.tensor([0, 1]))
    torch.testing.assert_close(sequence_loss(logits, labels), per)


def test_two_builds_of_one_seed_are_equal_and_other_seeds_are_not(lm, tmp_path: Path) -> None:
    again = testbeds.build("lm-6", size="tiny", cache=tmp_path)
    other = testbeds.build("lm-6", size="tiny", seed=1, cache=tmp_path)
    assert again.digest == lm.digest != other.digest


def test_a_build_goes_on_where_it_was_interrupted(lm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(lm_stages, "expert", stopped)
    with pytest.raises(KeyboardInterrupt):
        module.make(tmp_path, "tiny", 0, lambda _event: None)
    monkeypatch.undo()
    module.make(tmp_path, "tiny", 0, lambda event: calls.append(event.message) if event.kind == "started" else None)
    assert not any("trajectory" in call for call in calls)
    assert any("experts/arithmetic" in call for call in calls)
    for name in (lm.base.relative_to(lm.folder), "experts/arithmetic"):
        ours, theirs = (load_file(folder / name / "model.safetensors") for folder in (tmp_path, lm.folder))
        assert all(ours[key].equal(theirs[key]) for key in theirs)


def test_a_model_that_lacks_a_tensor_is_refused(lm, tmp_path: Path) -> None:
    folder = shutil.copytree(lm.base, tmp_path / "lacking")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingTensor, match=r"up_proj"):
        testbeds.load(lm, folder)
    with pytest.raises(CheckpointError, match="transformers cannot read"):
        testbeds.load(lm, tmp_path / "nowhere")


def test_measuring_leaves_the_model_as_it_was(lm) -> None:
    model = testbeds.load(lm, lm.base)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (testbeds.tasks(lm)[0].measure(model) for _ in range(2))
    assert first == second
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
