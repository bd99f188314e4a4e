"""Every recipe of the corpus against the stored result of mergekit, and the comparison against itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))

import compare
import inputs
import margins
import moments

pytestmark = pytest.mark.parity

# The stored results belong to these inputs and no others.
INPUTS_SHA256 = "91aa74b03bc1aa4a5ca97f7a062d213d7c69a57bbf24601ce6cea2e098f07d0e"
RANDOM = sorted(path.stem for path in (compare.CASES / "random").glob("*.yaml"))
SELECTING = (
    "ties",
    "dare_ties",
    "della",
    "breadcrumbs",
    "breadcrumbs_ties",
    "sce",
    "arcee_fusion",
    "ram",
    "ramplus_tl",
)
SELECTING_CASES = [
    name for name in compare.names() if name.startswith(SELECTING) and compare.recipe(name)["merge_method"] in SELECTING
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds every model of the corpus."""
    return inputs.build(tmp_path_factory.mktemp("parity") / "models")


@pytest.fixture
def here(models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models' folder as the current directory: recipes name models relative to it."""
    monkeypatch.chdir(models)
    return models


@pytest.mark.parametrize("case", compare.names())
def test_equals_mergekit(case: str, here: Path, tmp_path: Path) -> None:
    import solera

    solera.merge(compare.CASES / f"{case}.yaml", tmp_path / "out")
    found = compare.compare(case, tmp_path / "out")
    assert found.faults == []


@pytest.mark.parametrize("case", RANDOM)
def test_moments_equal_mergekit(case: str, here: Path, tmp_path: Path) -> None:
    stored = {k: v.astype(np.float64) for k, v in load_file(compare.GOLDENS / f"random_{case}.safetensors").items()}
    ours = moments.collect(seeded_merges(case, tmp_path))
    assert moments.disagreements(ours, stored) == []


def seeded_merges(case: str, tmp_path: Path) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Yield the merges of a random recipe under the seeds 1 to 200."""
    import solera

    text, out = (compare.CASES / "random" / f"{case}.yaml").read_text(encoding="utf-8"), tmp_path / "out"
    for seed in range(1, moments.SEEDS + 1):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(f"{text}seed: {seed}\n", encoding="utf-8")
        solera.merge(recipe, out, force=True)
        yield {key: compare.as_float64(value) for key, value in compare.read(out).items()}


# The corpus itself.


def test_inputs_are_those_of_the_stored_results() -> None:
    digest = hashlib.sha256()
    for name in inputs.MODELS:
        for key, value in sorted(inputs.tensors(name).items()):
            digest.update(f"{name}/{key}".encode() + value.tobytes())
        digest.update(json.dumps(inputs.vocabulary(inputs.MODELS[name].tokenizer)).encode())
    assert digest.hexdigest() == INPUTS_SHA256


def test_models_stay_small(models: Path) -> None:
    sizes = {name: sum(f.stat().st_size for f in (models / name).iterdir()) for name in inputs.MODELS}
    assert max(sizes.values()) < 60_000


def test_every_case_is_stored() -> None:
    rows = json.loads((compare.GOLDENS / "goldens.json").read_text(encoding="utf-8"))
    assert rows["mergekit"] == "0.1.5"
    assert sorted(rows["cases"]) == compare.names()
    files = {path.stem for path in compare.GOLDENS.glob("*.safetensors")}
    assert files == {*compare.names(), *(f"random_{name}" for name in RANDOM)}


@pytest.mark.parametrize("case", SELECTING_CASES)
def test_no_entry_lies_on_a_threshold(case: str) -> None:
    found = margins.case_margin(compare.recipe(case))
    # The Kullback-Leibler term of Arcee fusion loses digits in float32: a wider margin.
    allowed = 1e-3 if "importance" in found else 1e-6
    assert {name: value for name, value in found.items() if value < allowed} == {}


# The comparison, tested against references in float64 and against damage.


def reference(case: str) -> dict[str, NDArray[np.float64]]:
    """The result of a linear or task arithmetic recipe with plain weights, in float64."""
    document = compare.recipe(case)
    weights = {m["model"]: m["parameters"]["weight"] for m in document["models"]}
    tables = {name: inputs.tensors(name) for name in (*weights, document.get("base_model", "base"))}
    wide = {name: {k: v.astype(np.float64) for k, v in table.items()} for name, table in tables.items()}
    if document["merge_method"] == "linear":
        total = sum(weights.values())
        return {k: sum(w * wide[m][k] for m, w in weights.items()) / total for k in wide["base"]}
    base = wide[document["base_model"]]
    return {k: b + sum(w * (wide[m][k] - b) for m, w in weights.items()) for k, b in base.items()}


def as_folder(case: str, models: Path, out: Path, tensors: dict[str, NDArray[np.float64]]) -> Path:
    """Write tensors as a merged folder beside the base's files."""
    shutil.copytree(models / "base", out)
    save_file({k: v.astype(np.float32) for k, v in tensors.items()}, out / "model.safetensors")
    return out


@pytest.mark.parametrize("case", ["linear_weights", "task_arithmetic_sum"])
def test_comparison_accepts_the_reference(case: str, models: Path, tmp_path: Path) -> None:
    found = compare.compare(case, as_folder(case, models, tmp_path / "out", reference(case)))
    assert found.faults == []
    assert 0 < found.error < 1e-6
    assert found.tensors == 39


@pytest.mark.parametrize("key", ["model.layers.2.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"])
def test_comparison_refuses_one_changed_entry(key: str, models: Path, tmp_path: Path) -> None:
    tensors = reference("linear_weights")
    tensors[key].flat[3] += 2e-6 * np.abs(tensors[key]).max()
    found = compare.compare("linear_weights", as_folder("linear_weights", models, tmp_path / "out", tensors))
    assert [fault.split(":")[0] for fault in found.faults] == [key]


@pytest.mark.parametrize("damage", ["nan", "missing", "extra", "shape"])
def test_comparison_refuses_damage(damage: str, models: Path, tmp_path: Path) -> None:
    tensors = reference("linear_weights")
    if damage == "nan":
        tensors["model.norm.weight"][0] = np.nan
    elif damage == "missing":
        del tensors["model.norm.weight"]
    elif damage == "extra":
        tensors["model.norm.bias"] = np.zeros(16)
    else:
        tensors["model.norm.weight"] = tensors["model.norm.weight"][:15]
    found = compare.compare("linear_weights", as_folder("linear_weights", models, tmp_path / "out", tensors))
    assert len(found.faults) == 1


def test_comparison_refuses_another_config(models: Path, tmp_path: Path) -> None:
    out = as_folder("linear_weights", models, tmp_path / "out", reference("linear_weights"))
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    assert compare.compare("linear_weights", out).faults == ["config num_hidden_layers: got 5, want 4"]


def test_comparison_refuses_swapped_rows(models: Path, tmp_path: Path) -> None:
    out, golden = tmp_path / "out", load_file(compare.GOLDENS / "tokenizer_model_linear.safetensors")
    shutil.copytree(models / "tok_a", out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"vocab_size": 25}))
    save_file(golden, out / "model.safetensors")
    template = compare.golden_row("tokenizer_model_linear")["rendered"]
    kept = [f for f in compare.compare("tokenizer_model_linear", out).faults if "template" not in f]
    assert template is not None
    assert kept == []
    golden["lm_head.weight"] = golden["lm_head.weight"][::-1].copy()
    save_file(golden, out / "model.safetensors")
    kept = [f for f in compare.compare("tokenizer_model_linear", out).faults if "template" not in f]
    assert [fault.split(":")[0] for fault in kept] == ["lm_head.weight"]


def test_moments_refuse_a_missing_rescale() -> None:
    stored = {k: v.astype(np.float64) for k, v in load_file(compare.GOLDENS / "random_dare_linear.safetensors").items()}
    faults = moments.disagreements(moments.collect(dropped(rescale=False)), stored)
    assert any("standard errors" in fault for fault in faults)


def test_moments_accept_dropping_at_norm() -> None:
    stored = {k: v.astype(np.float64) for k, v in load_file(compare.GOLDENS / "random_dare_linear.safetensors").items()}
    assert moments.disagreements(moments.collect(dropped(rescale=True)), stored) == []


def dropped(*, rescale: bool) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Yield merges that drop entries of each task vector and restore its sum of magnitudes."""
    rng = np.random.default_rng(0)
    base = inputs.tensors("one_base")
    vectors = [
        ({k: v - base[k] for k, v in inputs.tensors(m).items()}, w, p)
        for m, w, p in (("one_a", 0.6, 0.6), ("one_b", 0.3, 0.4))
    ]
    for _ in range(moments.SEEDS):
        out = {k: v.astype(np.float64) for k, v in base.items()}
        for table, weight, density in vectors:
            for key, delta in table.items():
                kept = delta * (rng.random(delta.shape) < density)
                scale = np.abs(delta).sum() / np.abs(kept).sum() if rescale else 1.0
                out[key] = out[key] + weight * scale * kept
        yield out
