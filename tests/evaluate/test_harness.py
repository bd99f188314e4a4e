"""Scores by lm-eval, on a task of our own that needs no network."""

from __future__ import annotations

import json

import pytest
import torch

from solera.errors import NotFound, UnknownName
from solera.evaluate import ScoreCache

pytest.importorskip("lm_eval")

YAML = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""
WORDS = ["<unk>", "<s>", "a", "b", "c", *map(str, range(8))]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="<s>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    LlamaForCausalLM(LlamaConfig(vocab_size=16, num_key_value_heads=1, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": f"a {i}", "choices": ["b", "c"], "answer": i % 2} for i in range(6)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "sums.yaml").write_text(YAML.format(name="tiny_sums", file=folder / "sums.jsonl"))
    return folder


def test_a_local_task_is_scored_once(model, tasks, tmp_path, monkeypatch):
    from solera.evaluate import harness

    cache = ScoreCache(tmp_path / "scores.sqlite")
    (row,) = harness.score_with_harness(model, ["tiny_sums"], include=tasks, cache=cache)
    assert (row.task, row.metric, row.items, row.higher, row.dtype) == ("tiny_sums", "acc", 6, True, "float32")
    assert len(row.each) == 6
    assert row.seconds > 0
    assert row.value == pytest.approx(sum(row.each) / 6)
    monkeypatch.setattr(harness, "_run", None)
    assert harness.score_with_harness(model, ["tiny_sums"], include=tasks, cache=cache) == (row,)


def test_the_command_scores_a_local_task(model, tasks, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from solera.cli.commands import app

    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))
    words = ["evaluate", str(model), "--tasks", "tiny_sums", "--include", str(tasks), "--limit", "4"]
    said = CliRunner().invoke(app, [*words, "--json"])
    assert said.exit_code == 0
    (row,) = json.loads(said.stdout)
    assert (row["task"], row["metric"], row["items"]) == ("tiny_sums", "acc", 4)
    assert row["seconds"] > 0
    assert "tiny_sums (acc)" in CliRunner().invoke(app, words).stdout
    refused = CliRunner().invoke(app, [*words, "--written"])
    assert (refused.exit_code, "of testbeds" in refused.stderr) == (2, True)


def test_limits_are_other_data(model, tasks):
    from solera.evaluate.harness import Asked, score_with_harness

    whole = score_with_harness(model, ["tiny_sums"], include=tasks)
    few = score_with_harness(model, ["tiny_sums"], include=tasks, asked=Asked(limit=2, fewshot=0))
    assert (whole[0].items, few[0].items) == (6, 2)
    assert whole[0].data != few[0].data


def test_unknown_tasks_and_folders_are_named(model, tasks):
    from solera.evaluate.harness import check_names, score_with_harness

    with pytest.raises(UnknownName, match="did you mean `tiny_sums`"):
        check_names(["arc_easy", "tiny_sum"], ["arc_easy", "tiny_sums"])
    with pytest.raises(UnknownName, match="list them"):
        check_names(["xyz"], [f"task_{i}" for i in range(1000)])
    with pytest.raises(NotFound, match="folder of tasks"):
        score_with_harness(model, ["tiny_sums"], include=tasks / "none")
