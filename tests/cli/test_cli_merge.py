"""merge and plan: both forms, dry run, refusals, exit codes."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from solera.errors import Interrupted
from solera.types import Event


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture
def recipe(zoo, tmp_path):
    """A recipe file over two experts, and the folders."""
    made = zoo(experts=2)
    text = f"solera: 1\nmethod: linear\nmodels:\n  - model: {made['e0']}\n    weight: 3\n  - model: {made['e1']}\n    weight: 1\n"
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    return file, made


def test_merge_by_recipe_gives_the_average(solera, recipe, tmp_path) -> None:
    file, made = recipe
    said = solera("merge", file, tmp_path / "out")
    assert said.code == 0
    assert "39 merged" in said.out
    a, b, out = weights(made["e0"]), weights(made["e1"]), weights(tmp_path / "out")
    for name, value in out.items():
        np.testing.assert_allclose(value, 0.75 * a[name] + 0.25 * b[name], rtol=1e-6, atol=1e-7)


def test_merge_as_json(solera, recipe, tmp_path) -> None:
    said = solera("merge", recipe[0], tmp_path / "out", "--json", "--threads", "1", "--memory", "1GiB")
    assert said.code == 0
    assert said.err == ""
    assert said.data["tensors"] == {"merged": 39}
    assert said.data["out"] == str(tmp_path / "out")


def test_merge_without_a_recipe_equals_the_recipe(solera, recipe, tmp_path) -> None:
    file, made = recipe
    assert solera("merge", file, tmp_path / "one").code == 0
    assert solera("merge", made["e0"], made["e1"], "--weight", "3,1", "-o", tmp_path / "two").code == 0
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_options_between_the_models(solera, zoo, tmp_path) -> None:
    made = zoo(experts=2)
    words = ("--rescale", made["e0"], "--density", "0.5", made["e1"], "--lambda=0.5")
    said = solera("merge", "--base", made["base"], "--method", "ties", *words, "-o", tmp_path / "out")
    assert said.code == 0, said.err
    text = (tmp_path / "out" / "solera_recipe.yaml").read_text()
    assert all(part in text for part in ("rescale: true", "density: 0.5", "lambda: 0.5", "method: ties"))


def test_dtype_and_seed_and_variant(solera, zoo, tmp_path) -> None:
    made = zoo(experts=2)
    options = ("--method", "dare_ties", "--variant", "mergekit", "--density", "0.9", "--seed", "7", "--dtype", "bf16")
    said = solera("merge", made["e0"], made["e1"], "--base", made["base"], *options, "-o", tmp_path / "out")
    assert said.code == 0, said.err
    assert solera("inspect", tmp_path / "out", "--json").data["dtypes"] == {"BF16": 39}
    text = (tmp_path / "out" / "solera_recipe.yaml").read_text()
    assert all(part in text for part in ("variant: mergekit", "seed: 7", "bfloat16"))


def test_dry_run_writes_nothing_and_equals_plan(solera, recipe, tmp_path) -> None:
    said = solera("merge", recipe[0], tmp_path / "out", "--dry-run", "--json")
    assert said.code == 0
    assert not (tmp_path / "out").exists()
    assert said.data == solera("plan", recipe[0], "--json").data
    assert said.data["passes"] == 1
    text = solera("plan", recipe[0]).out
    assert all(word in text for word in ("passes", "reads", "memory"))


def test_dry_run_needs_no_target(solera, recipe) -> None:
    assert solera("merge", recipe[1]["e0"], recipe[1]["e1"], "--dry-run").code == 0


def test_target_in_use_without_and_with_force(solera, recipe, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    said = solera("merge", recipe[0], out)
    assert said.code == 5
    assert said.err.startswith("TargetInUse")
    assert "--force" in said.err
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    said = solera("merge", recipe[0], out, "--force")
    assert said.code == 5
    assert "not a model folder" in said.err
    (out / "config.json").write_text("{}")
    assert solera("merge", recipe[0], out, "--force").code == 0
    assert not (out / "mine.txt").exists()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("{recipe}",), 2, "one target"),
        (("{recipe}", "{out}", "-o", "{out}"), 2, "one target"),
        (("{recipe}", "{out}", "--method", "ties"), 2, "no effect beside a recipe"),
        (("{recipe}", "{out}", "--thread", "2"), 2, "did you mean `threads`?"),
        (("{recipe}", "{out}", "--memory", "much"), 2, "size"),
        (("absent.yaml", "{out}"), 2, "cannot be read"),
        (("--method", "linear", "-o", "{out}"), 2, ""),
        (("{e0}", "{e1}", "--method", "tise", "-o", "{out}"), 2, "did you mean `ties`?"),
        (("{e0}", "{e1}", "--wieght", "2", "-o", "{out}"), 2, "wieght"),
        (("{e0}", "{e1}", "--weight", "1,2,3", "-o", "{out}"), 2, "weight"),
        (("{e0}", "{e1}", "--weight", "heavy", "-o", "{out}"), 2, "heavy"),
        (("{e0}", "{e1}", "--method", "ties", "-o", "{out}"), 2, "base"),
        (("{e0}", "./nowhere", "-o", "{out}"), 3, "nowhere"),
        (("{e0}", "org/not-in-the-cache", "-o", "{out}"), 3, "org/not-in-the-cache"),
    ],
)
def test_bad_input_is_named_and_ends_in_its_code(solera, recipe, tmp_path, words, code, text) -> None:
    places = {"recipe": recipe[0], "out": tmp_path / "out", **recipe[1]}
    said = solera("merge", *(word.format(**places) for word in words))
    assert said.code == code, said.err
    assert text in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "out").exists()


def test_errors_as_json(solera, recipe, tmp_path) -> None:
    said = solera("merge", recipe[1]["e0"], "./nowhere", "-o", tmp_path / "out", "--json")
    assert said.code == 3
    assert said.data["error"]["type"] == "NotFound"
    assert said.data["error"]["faults"][0]["where"]


def test_nan_is_refused_and_nothing_is_written(solera, zoo, tmp_path) -> None:
    made = zoo(experts=2)
    bad = weights(made["e1"])
    bad["model.norm.weight"][3] = np.nan
    save_file(bad, made["e1"] / "model.safetensors", metadata={"format": "pt"})
    said = solera("merge", made["e0"], made["e1"], "-o", tmp_path / "out")
    assert said.code == 3
    assert "model.norm.weight" in said.err
    assert not (tmp_path / "out").exists()


def test_shapes_that_do_not_fit_are_a_plan_error(solera, zoo, tmp_path) -> None:
    made = zoo(experts=2)
    cut = weights(made["e1"])
    cut["model.norm.weight"] = cut["model.norm.weight"][:-1].copy()
    save_file(cut, made["e1"] / "model.safetensors", metadata={"format": "pt"})
    said = solera("merge", made["e0"], made["e1"], "-o", tmp_path / "out")
    assert said.code == 4
    assert "model.norm.weight" in said.err


def test_ctrl_c_leaves_a_clear_line_and_a_resumable_run(solera, recipe, tmp_path, monkeypatch) -> None:
    from contextlib import contextmanager

    from solera.cli import merging

    @contextmanager
    def pressing(*, silent=False):
        def listener(event: Event) -> None:
            if event.kind == "progress":
                raise KeyboardInterrupt

        yield listener

    with monkeypatch.context() as patch:
        patch.setattr(merging, "display", pressing)
        said = solera("merge", recipe[0], tmp_path / "out", "--threads", "1")
    assert said.code == Interrupted.exit_code == 130
    assert "--resume" in said.err
    assert not (tmp_path / "out").exists()
    done = solera("merge", recipe[0], tmp_path / "out", "--resume", "--json")
    assert done.code == 0
    assert done.data["chunks_resumed"] >= 1
    fresh = solera("merge", recipe[0], tmp_path / "fresh", "--json")
    assert fresh.data["digest"] == done.data["digest"]


def test_ctrl_c_while_planning(solera, recipe, tmp_path, monkeypatch) -> None:
    from solera.cli import merging

    def pressed(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(merging, "recipe_of", pressed)
    said = solera("merge", recipe[0], tmp_path / "out")
    assert (said.code, said.err) == (130, "Stopped; nothing was written.\n")
