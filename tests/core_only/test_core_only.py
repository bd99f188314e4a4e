"""With the core dependencies alone: a plain merge works, and what is missing is named with the line that installs it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from solera.cli.commands import app


def run(*words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of one command."""
    done = CliRunner().invoke(app, [str(word) for word in words], env={"HF_HUB_OFFLINE": "1"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_no_extra_is_here() -> None:
    names = ("transformers", "tokenizers", "peft", "sklearn", "sentencepiece", "hypothesis")
    assert [name for name in names if find_spec(name)] == []


@pytest.mark.parametrize("method", ["linear", "ties", "dare_ties", "slerp"])
def test_a_plain_merge(zoo, tmp_path, method) -> None:
    made = zoo(experts=2)
    base = [] if method in ("linear", "slerp") else ["--base", made["base"]]
    extra = ["--t", "0.5"] if method == "slerp" else []
    code, _, err = run("merge", made["e0"], made["e1"], *base, "--method", method, *extra, "-o", tmp_path / "out")
    assert code == 0, err
    out = load_file(tmp_path / "out" / "model.safetensors")
    a = load_file(made["e0"] / "model.safetensors")
    assert {name: t.shape for name, t in out.items()} == {name: t.shape for name, t in a.items()}
    if method == "linear":
        b = load_file(made["e1"] / "model.safetensors")
        assert all(np.allclose(out[name], (a[name] + b[name]) / 2, rtol=1e-6, atol=1e-7) for name in out)


def test_try_names_the_extra(zoo, tmp_path) -> None:
    made = zoo(experts=2)
    assert run("merge", made["e0"], made["e1"], "-o", tmp_path / "out")[0] == 0
    code, _, err = run("try", tmp_path / "out", "--prompt", "x")
    assert code == 6
    assert 'pip install "solera[hf]"' in err


def write_bpe(folder: Path, tokens: list[str]) -> None:
    """The older files of a BPE tokenizer, without tokenizer.json."""
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def test_extending_an_old_tokenizer_names_the_extra(zoo, tmp_path) -> None:
    made = zoo(experts=2)
    letters = [chr(ord("a") + i) for i in range(20)]
    write_bpe(made["e0"], [*letters, *(letter.upper() for letter in letters)])
    write_bpe(made["e1"], [*letters, *(letter * 2 for letter in letters)])
    code, _, err = run("merge", made["e0"], made["e1"], "--tokenizer", "union", "-o", tmp_path / "out")
    assert code == 6
    assert 'pip install "solera[hf]"' in err
    assert not (tmp_path / "out").exists()


def test_reading_sentencepiece_names_the_extra(zoo, tmp_path) -> None:
    made = zoo(experts=2)
    for name in ("e0", "e1"):
        (made[name] / "tokenizer.model").write_bytes(b"\x0a\x00")
    code, _, err = run("merge", made["e0"], made["e1"], "--tokenizer", "union", "-o", tmp_path / "out")
    assert code == 6
    assert 'pip install "solera[hf]"' in err


def test_doctor_names_what_is_missing() -> None:
    code, out, _ = run("doctor", "--json")
    extras = json.loads(out)["extras"]
    assert code == 0
    assert not any(extras[name]["present"] for name in ("hf", "lora", "demo", "all", "dev"))
    assert extras["lora"]["install"] == 'pip install "solera[lora]"'
