"""Packs in the making: what is written, how large it is, what is refused; the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.conftest import llama_config, llama_shapes, recipe, tensors, write_model
from typer.testing import CliRunner

from solera.app import PackMake, merge, pack_inspect, pack_make, pack_unpack, pack_verify
from solera.checkpoints import FileReader
from solera.cli.commands import app
from solera.errors import (
    BadParameter,
    MissingTensor,
    NonFinite,
    PlanError,
    ShapeMismatch,
    SoleraError,
    TargetInUse,
    UnknownName,
)
from solera.inference.routed import open_pack
from solera.inference.routed.contents import rebuilt, tables_of

TASKS = ("e0", "e1", "e2")


def made(models, out, method="tall_mask", parameters=None, **more):
    """Pack the three experts of a zoo."""
    experts = tuple(str(models[name]) for name in TASKS if name in models)
    return pack_make(PackMake(experts, str(models["base"]), method, parameters or {}, **more), out)


def unpacked(pack, task, tmp_path):
    """One task of a pack, as tensors."""
    pack_unpack(pack, task, tmp_path / f"{Path(pack).name}-{task}")
    return tensors(tmp_path / f"{Path(pack).name}-{task}")


def same(first, second, **close):
    """Whether two models have the same tensors."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], **close, err_msg=name)


@pytest.mark.parametrize(("method", "parameters"), [
    ("tall_mask", {}), ("tall_mask", {"threshold": 0.2}), ("emr", {}), ("emr", {"mean": "element"}),
])  # fmt: skip
def test_a_task_is_what_the_method_merges(zoo, tmp_path, method, parameters):
    models = zoo()
    made(models, tmp_path / "pack", method, parameters)
    for place, task in enumerate(TASKS):
        operands = [models[name] for name in TASKS]
        merge(recipe(method, operands, base=models["base"], task=place, **parameters), tmp_path / f"m{place}")
        same(unpacked(tmp_path / "pack", task, tmp_path), tensors(tmp_path / f"m{place}"), rtol=0, atol=0)


def test_thresholds_may_differ_by_task(zoo, tmp_path):
    models = zoo()
    made(models, tmp_path / "pack", parameters={"threshold": (0.0, 0.4, 1.0)})
    for place, threshold in enumerate((0.0, 0.4, 1.0)):
        operands = [models[name] for name in TASKS]
        settings = {"task": place, "threshold": threshold}
        merge(recipe("tall_mask", operands, base=models["base"], **settings), tmp_path / f"m{place}")
        found = unpacked(tmp_path / "pack", TASKS[place], tmp_path)
        same(found, tensors(tmp_path / f"m{place}"), rtol=0, atol=0)


@pytest.mark.parametrize(("method", "parameters"), [
    ("tall_mask", {}), ("emr", {}), ("twin", {"rank": "full"}), ("twin", {"rank": 100, "lambda": 1.0}),
])  # fmt: skip
def test_a_pack_of_one_expert_is_the_expert(zoo, tmp_path, method, parameters):
    models = zoo(experts=1)
    made(models, tmp_path / "pack", method, parameters)
    same(unpacked(tmp_path / "pack", "e0", tmp_path), tensors(models["e0"]), rtol=1e-5, atol=1e-6)


def test_experts_that_change_nothing_cost_nothing(zoo, tmp_path):
    models = zoo(scale=0.0)
    report = made(models, tmp_path / "pack")
    assert open_pack(tmp_path / "pack").sizes()["shared"] < 100
    assert max(report.sizes["tasks"].values()) < 100
    same(unpacked(tmp_path / "pack", "e1", tmp_path), tensors(models["base"]), rtol=0, atol=0)


def test_identical_experts_have_no_exclusive_parts(zoo, tmp_path):
    models = zoo(experts=1)
    models |= {"e1": models["e0"], "e2": models["e0"]}
    experts = (str(models["e0"]),) * 3
    wanted = PackMake(experts, None, "twin", shared=str(models["e0"]), names=TASKS)
    pack_make(wanted, tmp_path / "pack")
    assert load_file(tmp_path / "pack" / "task.e1.safetensors") == {}
    same(unpacked(tmp_path / "pack", "e1", tmp_path), tensors(models["e0"]), rtol=0, atol=0)


def test_sizes_are_those_of_the_files(zoo, tmp_path):
    report = made(zoo(), tmp_path / "pack")
    files = {path.name: path.stat().st_size for path in (tmp_path / "pack").glob("*.safetensors")}
    assert report.sizes["base"] == files["base.safetensors"]
    assert report.sizes["shared"] == files["shared.safetensors"]
    assert report.sizes["tasks"] == {name: files[f"task.{name}.safetensors"] for name in TASKS}
    assert report.sizes["total"] == sum(files.values())
    entries = sum(int(np.prod(shape)) for shape in llama_shapes().values())
    assert report.sizes["experts"] == 3 * 4 * entries
    bits = load_file(tmp_path / "pack" / "task.e0.safetensors")
    assert sum(value.nbytes for value in bits.values()) == sum(
        -(-int(np.prod(s)) // 8) for s in llama_shapes().values()
    )


@pytest.mark.parametrize(("method", "parameters"), [("tall_mask", {}), ("twin", {"rank": 0.25})])
def test_a_dry_run_foretells_sizes_and_writes_nothing(zoo, tmp_path, method, parameters):
    models = zoo()
    experts = tuple(str(models[name]) for name in TASKS)
    wanted = PackMake(experts, str(models["base"]), method, parameters)
    foreseen = pack_make(wanted, tmp_path / "pack", dry_run=True)
    assert not foreseen.written
    assert not (tmp_path / "pack").exists()
    sizes = pack_make(wanted, tmp_path / "pack").sizes
    headers = 8_192 * (len(TASKS) + 2)
    assert foreseen.sizes["total"] <= sizes["total"] <= foreseen.sizes["total"] + headers


def test_exclusive_parts_are_the_nearest_of_their_rank(zoo, tmp_path):
    models = zoo(experts=2)
    made(models, tmp_path / "pack", "twin", {"rank": 2, "lambda": 0.5})
    shared, expert = load_file(tmp_path / "pack" / "shared.safetensors"), tensors(models["e0"])
    found = unpacked(tmp_path / "pack", "e0", tmp_path)
    for name, value in expert.items():
        change = value - shared[name]
        if change.ndim == 2:
            left, values, right = np.linalg.svd(change.astype(np.float64), full_matrices=False)
            change = (left[:, :2] * values[:2]) @ right[:2]
        np.testing.assert_allclose(found[name], shared[name] + change, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_shared_expert_is_any_merge(zoo, tmp_path):
    models = zoo()
    operands = [models[name] for name in TASKS]
    merge(recipe("ties", operands, base=models["base"], density=0.5), tmp_path / "ties")
    made(models, tmp_path / "a", "twin", {"rank": 1, "density": 0.5}, shared="ties")
    made(models, tmp_path / "b", "twin", {"rank": 1}, shared=str(tmp_path / "ties"))
    text = {"solera": 1, "base": str(models["base"]), "method": "ties", "parameters": {"density": 0.5}}
    (tmp_path / "r.yaml").write_text(json.dumps({**text, "models": [{"model": str(one)} for one in operands]}))
    made(models, tmp_path / "c", "twin", {"rank": 1}, shared=str(tmp_path / "r.yaml"))
    want = tensors(tmp_path / "ties")
    for pack in ("a", "b", "c"):
        same(load_file(tmp_path / pack / "shared.safetensors"), want, rtol=0, atol=0)
        same(
            load_file(tmp_path / pack / "task.e1.safetensors"),
            load_file(tmp_path / "a" / "task.e1.safetensors"),
            atol=0,
        )


def test_halves_are_packed_in_halves(zoo, tmp_path):
    models = zoo(dtype=np.float16)
    made(models, tmp_path / "pack")
    assert {v.dtype for v in load_file(tmp_path / "pack" / "shared.safetensors").values()} == {np.dtype("float16")}
    made(models, tmp_path / "wide", dtype="float32")
    assert {v.dtype for v in load_file(tmp_path / "wide" / "shared.safetensors").values()} == {np.dtype("float32")}


def heads(zoo, tmp_path, classes=(2, 3)):
    """Two experts with classifiers of their own; the base has none."""
    models = zoo(experts=2)
    rng = np.random.default_rng(1)
    for k, name in enumerate(("e0", "e1")):
        found = dict(tensors(models[name]))
        found["score.weight"] = rng.standard_normal((classes[k], 16)).astype(np.float32)
        labels = {"id2label": {str(i): f"{name}-{i}" for i in range(classes[k])}}
        config = {**llama_config(), "architectures": ["LlamaForSequenceClassification"], **labels}
        write_model(models[name], found, config)
    return models


def test_heads_of_the_tasks_are_kept_whole(zoo, tmp_path):
    models = heads(zoo, tmp_path)
    report = made(models, tmp_path / "pack")
    assert report.own == ("score.weight",)
    assert any("not in the base" in note for note in report.warnings)
    for task in ("e0", "e1"):
        found = unpacked(tmp_path / "pack", task, tmp_path)
        np.testing.assert_array_equal(found["score.weight"], tensors(models[task])["score.weight"])
    config = json.loads((tmp_path / "pack-e1" / "config.json").read_text())
    assert config["id2label"] == {"0": "e1-0", "1": "e1-1", "2": "e1-2"}


def test_labels_that_a_config_leaves_out_are_those_of_two_classes(zoo, tmp_path):
    """transformers writes no id2label where there are two without names."""
    models = heads(zoo, tmp_path, classes=(3, 2))
    config = json.loads((models["e1"] / "config.json").read_text())
    del config["id2label"]
    (models["e1"] / "config.json").write_text(json.dumps(config))
    made(models, tmp_path / "pack")
    unpacked(tmp_path / "pack", "e1", tmp_path)
    found = json.loads((tmp_path / "pack-e1" / "config.json").read_text())
    assert found["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}


def test_heads_of_other_shapes_are_no_part_of_the_shared_expert(zoo, tmp_path):
    models = heads(zoo, tmp_path)
    found = {**tensors(models["base"]), "score.weight": np.zeros((4, 16), np.float32)}
    write_model(models["base"], found, llama_config())
    report = made(models, tmp_path / "pack", "twin", {"rank": 2})
    assert report.own == ("score.weight",)
    head = unpacked(tmp_path / "pack", "e1", tmp_path)["score.weight"]
    np.testing.assert_array_equal(head, tensors(models["e1"])["score.weight"])


def test_tasks_may_be_called_like_other_parts(zoo, tmp_path):
    models = zoo()
    made(models, tmp_path / "pack", names=("start", "vector", "router"))
    assert pack_verify(tmp_path / "pack")["ok"]
    made(models, tmp_path / "other")
    same(unpacked(tmp_path / "pack", "start", tmp_path), unpacked(tmp_path / "other", "e0", tmp_path), rtol=0, atol=0)


def test_a_tensor_that_only_a_later_expert_has_is_no_secret(zoo, tmp_path):
    models = zoo()
    more = {**tensors(models["e1"]), "score.weight": np.zeros((4, 16), np.float32)}
    write_model(models["e1"], more, llama_config())
    with pytest.raises(MissingTensor, match=r"score\.weight"):
        made(models, tmp_path / "pack")


def test_unpacking_reads_no_other_task(zoo, tmp_path):
    made(zoo(), tmp_path / "pack", "twin", {"rank": 2})
    with FileReader() as reader:
        tables = tables_of(open_pack(tmp_path / "pack"), reader)
        before = reader.bytes_read
        for name in tables.start:
            rebuilt(tables, name, 1, 1.0, reader)
        read = reader.bytes_read - before
    files = [tmp_path / "pack" / name for name in ("shared.safetensors", "task.e1.safetensors")]
    assert read <= sum(path.stat().st_size for path in files)


def test_tensors_can_be_kept_whole_by_name(zoo, tmp_path):
    models = zoo()
    report = made(models, tmp_path / "pack", own=(r"^lm_head", "norm"))
    assert "lm_head.weight" in report.own
    assert "model.norm.weight" in report.own
    found = unpacked(tmp_path / "pack", "e2", tmp_path)
    for name in report.own:
        np.testing.assert_array_equal(found[name], tensors(models["e2"])[name])


@pytest.mark.parametrize(("method", "parameters", "kind", "text"), [
    ("tall", {}, UnknownName, "did you mean `tall_mask`"),
    ("tall_mask", {"treshold": 0.3}, UnknownName, "did you mean `threshold`"),
    ("tall_mask", {"threshold": -1}, BadParameter, "threshold"),
    ("tall_mask", {"threshold": (0.1, 0.2)}, BadParameter, "one for each of 3"),
    ("emr", {"mean": "median"}, BadParameter, "tensor or element"),
    ("twin", {"rank": 0}, BadParameter, "rank"),
    ("twin", {"rank": 1.5}, BadParameter, "rank"),
    ("twin", {"lamda": 1.0}, SoleraError, "lambda"),
])  # fmt: skip
def test_parameters_that_are_wrong(zoo, tmp_path, method, parameters, kind, text):
    with pytest.raises(kind, match=text):
        made(zoo(), tmp_path / "pack", method, parameters)
    assert not (tmp_path / "pack").exists()


def test_models_that_do_not_fit(zoo, tmp_path):
    models = zoo()
    with pytest.raises(BadParameter, match="base is missing"):
        pack_make(PackMake((str(models["e0"]),)), tmp_path / "pack")
    with pytest.raises(BadParameter, match="no experts"):
        pack_make(PackMake((), str(models["base"])), tmp_path / "pack")
    with pytest.raises(BadParameter, match="Two tasks have one name"):
        pack_make(PackMake((str(models["e0"]),) * 2, str(models["base"])), tmp_path / "pack")
    with pytest.raises(UnknownName, match="cannot have this name"):
        pack_make(PackMake((str(models["e0"]),), str(models["base"]), names=("a/b",)), tmp_path / "pack")
    with pytest.raises(BadParameter, match="finds no tensor"):
        made(models, tmp_path / "pack", own=("nothing",))
    with pytest.raises(BadParameter, match="no pattern"):
        made(models, tmp_path / "pack", own=("(",))
    with pytest.raises(BadParameter, match="needs its own examples"):
        pack_make(PackMake((str(models["e0"]),), str(models["base"])), tmp_path / "pack", lessons=[[], []])
    write_model(models["e1"], {"model.norm.weight": np.ones(16, np.float32)}, llama_config())
    with pytest.raises(MissingTensor, match="lacks a tensor"):
        made(models, tmp_path / "pack")


def test_the_wrong_base_is_seen_by_its_shapes(zoo, tmp_path):
    models = zoo()
    rng = np.random.default_rng(0)
    shapes = llama_shapes(hidden=32)
    write_model(
        models["base"], {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}, llama_config()
    )
    with pytest.raises(ShapeMismatch, match="not tuned from this base"):
        made(models, tmp_path / "pack")


def test_another_base_of_the_same_shapes_is_warned_of(zoo, tmp_path):
    models = zoo()
    rng = np.random.default_rng(7)
    shapes = llama_shapes()
    write_model(
        models["base"], {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}, llama_config()
    )
    report = made(models, tmp_path / "pack")
    assert sum("tuned from another one" in text for text in report.warnings) == 3


def test_values_that_are_not_finite_are_refused(zoo, tmp_path):
    models = zoo()
    spoilt = dict(tensors(models["e1"]))
    spoilt["model.norm.weight"][3] = np.nan
    write_model(models["e1"], spoilt, llama_config())
    for method in ("tall_mask", "twin"):
        with pytest.raises(NonFinite, match=r"model\.norm\.weight"):
            made(models, tmp_path / "pack", method, shared=str(models["e0"]))
        assert not (tmp_path / "pack").exists()


def test_architectures_that_transformers_does_not_know(zoo, tmp_path):
    models = zoo()
    for config, text in (({"model_type": "llama"}, "not say what the model is"), ({"model_type": "x"}, "not say")):
        write_model(models["base"], dict(tensors(models["base"])), config)
        with pytest.raises(PlanError, match=text):
            made(models, tmp_path / "pack")
    write_model(models["base"], dict(tensors(models["base"])), {**llama_config(), "architectures": ["LlamaForDreams"]})
    with pytest.raises(SoleraError, match="no such class"):
        made(models, tmp_path / "pack")


def test_a_target_stays_as_it_was(zoo, tmp_path):
    models = zoo()
    made(models, tmp_path / "pack")
    before = (tmp_path / "pack" / "pack.json").read_bytes()
    with pytest.raises(TargetInUse):
        made(models, tmp_path / "pack", "emr")
    with pytest.raises(SoleraError):
        pack_make(
            PackMake(tuple(str(models[n]) for n in TASKS), str(models["base"]), "nothing"),
            tmp_path / "pack",
            force=True,
        )
    assert (tmp_path / "pack" / "pack.json").read_bytes() == before
    assert pack_verify(tmp_path / "pack")["ok"]


@pytest.mark.parametrize("by_recipe", [False, True])
def test_a_shared_expert_is_not_replaced_by_its_pack(zoo, tmp_path, by_recipe):
    models, shared = zoo(), str(tmp_path / "r.json")
    text = {"solera": 1, "base": str(models["base"]), "method": "ties", "models": [{"model": str(models["e2"])}]}
    (tmp_path / "r.json").write_text(json.dumps(text))
    wanted = PackMake(
        (str(models["e0"]), str(models["e1"])),
        str(models["base"]),
        "twin",
        shared=shared if by_recipe else str(models["e2"]),
    )
    with pytest.raises(TargetInUse, match="this run needs"):
        pack_make(wanted, models["e2"], force=True)


def test_other_commands_point_to_those_of_packs(zoo, tmp_path):
    made(zoo(), tmp_path / "pack")
    for command in ("inspect", "verify"):
        said = CliRunner().invoke(app, [command, str(tmp_path / "pack")])
        assert said.exit_code == 3
        assert f"solera pack {command}" in said.stderr


def test_the_same_models_make_the_same_pack(zoo, tmp_path):
    models = zoo()
    reports = [made(models, tmp_path / name, "twin", {"rank": 2}) for name in ("a", "b")]
    assert reports[0].digest == reports[1].digest


def run(*words):
    return CliRunner().invoke(app, ["pack", *map(str, words)])


def test_the_command(zoo, tmp_path):
    models = zoo()
    words = [
        *(models[name] for name in TASKS),
        "--base",
        models["base"],
        "-o",
        tmp_path / "pack",
        "--threshold",
        "0.3,0.4,0.5",
    ]
    assert "would write" in run("make", *words, "--dry-run").stdout
    done = run("make", *words, "--tasks", "a,b,c", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert set(report["tasks"]) == {"a", "b", "c"}
    assert report["sizes"]["share"] == pytest.approx(report["sizes"]["total"] / report["sizes"]["experts"])
    shown = run("inspect", tmp_path / "pack")
    assert "of the separate experts" in shown.stdout
    assert "give task=" in shown.stdout
    assert json.loads(run("inspect", tmp_path / "pack", "--json").stdout) == json.loads(
        json.dumps(pack_inspect(tmp_path / "pack"))
    )
    assert "as they were written" in run("verify", tmp_path / "pack").stdout
    assert run("unpack", tmp_path / "pack", "b", "-o", tmp_path / "b").exit_code == 0
    wrong = run("unpack", tmp_path / "pack", "d", "-o", tmp_path / "d")
    assert wrong.exit_code == 2
    assert "no such task" in wrong.stderr
    (tmp_path / "pack" / "task.a.safetensors").write_bytes(b"")
    assert run("verify", tmp_path / "pack").exit_code == 3


def test_the_command_needs_data_for_each_expert(zoo, tmp_path):
    models = zoo()
    done = run("make", models["e0"], models["e1"], "--base", models["base"], "-o", tmp_path / "p", "--data", "a.jsonl")
    assert done.exit_code == 2
    assert "its own data" in done.stderr
