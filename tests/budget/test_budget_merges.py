"""Merges under a budget: never over it, the plain merge without a limit, the base without a budget, best blocks first."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from solera import app
from solera.app.analyzing import analyze
from solera.checkpoints import parse_ref
from solera.errors import Interrupted
from solera.execute import budget_few
from solera.execute.budget import Spared
from solera.plan import budget_choice
from solera.plan import plan as plan_of
from solera.recipe import to_yaml
from solera.recipe.budgets import budget_of
from solera.recipe.values import Merge, Operand
from solera.types import DType, ModelRef
from tests.conftest import recipe

from .conftest import asked, base_tensors, changed, save

METHODS = [
    ("task_arithmetic", True, {"weight": (0.5, 0.25, 1.0), "lambda_": 0.6}),
    ("ties", True, {"density": 0.3}),
    ("ties", True, {"density": 0.3, "scope": "tensor"}),
    ("dare_linear", True, {"density": 0.5}),
    ("breadcrumbs", True, {"density": 0.6, "gamma": 0.1}),
    ("magmax", True, {}),
    ("della", True, {}),
    ("linear", False, {"weight": (1.0, 2.0, 3.0)}),
    ("tsv_m", True, {}),
]
IDS = [f"{name}{'' if 'scope' not in options else '-tensor'}" for name, _, options in METHODS]


def recipe_of(zoo, row, budget, **extra):
    name, based, options = row
    own = {key: value for key, value in options.items() if not isinstance(value, tuple)}
    made = asked(name, zoo, budget, base=based, **own, **extra)
    many = {key: value for key, value in options.items() if isinstance(value, tuple)}
    models = tuple(
        replace(operand, parameters={key: value[k] for key, value in many.items()})
        for k, operand in enumerate(made.merge.models)
    )
    return replace(made, merge=replace(made.merge, models=models))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {n: t for file in sorted(folder.glob("*.safetensors")) for n, t in load_file(file).items()}


def same_bits(left: Path, right: Path) -> None:
    one, two = weights(left), weights(right)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[n].view(torch.uint8), two[n].view(torch.uint8)) for n in one)


@pytest.mark.parametrize("row", METHODS, ids=IDS)
def test_without_a_limit_it_is_the_plain_merge_and_without_budget_the_base(zoo, tmp_path, row):
    plain = app.merge(recipe_of(zoo, row, None), tmp_path / "plain", threads=1)
    made = app.merge(recipe_of(zoo, row, "inf"), tmp_path / "o", threads=1)
    assert made.digest == plain.digest
    assert all(plan_of(recipe_of(zoo, row, text)).budget.is_plain for text in ("100%", "1TB"))
    against = zoo["base"] if row[1] else zoo["e0"]
    nothing = app.merge(recipe_of(zoo, row, 0), tmp_path / "o", threads=1, force=True)
    assert nothing.budget is not None
    assert nothing.budget["read"] == 0
    same_bits(tmp_path / "o", against)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("row", METHODS[:5], ids=IDS[:5])
def test_thresholds_from_sketches_are_those_of_the_whole_models(family, tmp_path, row, dtype):
    """One reading of everything, with thresholds from the sketches, is the plain merge of several passes."""
    zoo = family(dtype=dtype)
    total = plan_of(recipe_of(zoo, row, "1%")).budget.total
    made = app.merge(recipe_of(zoo, row, total), tmp_path / "all", threads=2)
    plain = app.merge(recipe_of(zoo, row, None), tmp_path / "plain", threads=2)
    assert made.digest == plain.digest
    assert made.budget["read"] == total


@pytest.mark.parametrize(
    ("row", "share"), [(METHODS[1], "3%"), (METHODS[0], "60%"), *((row, "25%") for row in METHODS)], ids=str
)
def test_a_budget_is_never_exceeded(zoo, tmp_path, row, share):
    made = app.merge(recipe_of(zoo, row, share), tmp_path / "o", threads=2)
    spent = made.budget
    assert 0 <= spent["read"] == spent["planned"] <= spent["limit"] == int(float(share[:-1]) / 100 * spent["total"])
    assert made.bytes_read == spent["read"] + spent["base_bytes"]


def system_reads() -> int:
    """Bytes that this process has read, by the system's own count."""
    rows = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(rows["rchar"])


def test_the_system_counts_the_same_bytes(family, tmp_path):
    zoo = family(dtype=torch.bfloat16)
    taken = {}
    for share in ("0", "20%"):
        planned = asked("ties", zoo, share, density=0.3)
        app.merge(planned, tmp_path / "warm", threads=1, force=True)
        before = system_reads()
        report = app.merge(planned, tmp_path / "o", threads=1, force=True)
        taken[share] = system_reads() - before, report.budget["read"]
    more = taken["20%"][0] - taken["0"][0]
    assert taken["20%"][1] > 200_000
    assert abs(more - taken["20%"][1]) < 4096  # the manifests differ by some words


def error(folder: Path, other: Path) -> float:
    one, two = weights(folder), weights(other)
    return float(sum((one[n].double() - two[n].double()).square().sum() for n in one)) ** 0.5


@pytest.mark.parametrize("row", [METHODS[0], METHODS[7]], ids=["task_arithmetic", "linear"])
def test_the_bound_holds(zoo, tmp_path, row):
    app.merge(recipe_of(zoo, row, None), tmp_path / "plain")
    bounds = []
    for share in ("5%", "30%", "80%"):
        made = app.merge(recipe_of(zoo, row, share), tmp_path / "o", force=True)
        bounds.append(made.budget["bound"])
        true = error(tmp_path / "o", tmp_path / "plain")
        assert 0.3 * bounds[-1] < true <= bounds[-1] * (1 + 1e-5)
    assert bounds == sorted(bounds, reverse=True)


def test_methods_that_are_no_sum_have_no_bound(zoo):
    assert plan_of(asked("ties", zoo, "10%", density=0.3)).budget.bound is None
    assert plan_of(asked("task_arithmetic", zoo, "10%")).budget.bound > 0


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_linear"])
def test_chosen_blocks_beat_random_ones_at_equal_bytes(zoo, tmp_path, method, monkeypatch):
    app.merge(asked(method, zoo, None), tmp_path / "plain")
    chosen = app.merge(asked(method, zoo, "25%"), tmp_path / "o")
    own, best = budget_choice.Unit.bundles, error(tmp_path / "o", tmp_path / "plain")
    for seed in range(2):
        rng = np.random.default_rng(seed)

        def shuffled(unit, rng=rng):
            worth, sizes = own(unit)
            return rng.random(worth.size) * sizes, sizes

        monkeypatch.setattr(budget_choice.Unit, "bundles", shuffled)
        random = app.merge(asked(method, zoo, "25%"), tmp_path / "r", force=True)
        assert random.budget["read"] >= 0.9 * chosen.budget["read"]
        assert best < 0.9 * error(tmp_path / "r", tmp_path / "plain")


def test_more_budget_leaves_less_out(zoo):
    shares = [
        max(m.share for m in plan_of(asked("ties", zoo, f"{p}%")).budget.mass.values()) for p in (0, 10, 30, 60, 90)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0


def test_floors_are_kept(zoo):
    planned = plan_of(asked("task_arithmetic", zoo, "40%", floor="5%", floors={"1-1": "60%"})).budget
    per_layer = {0: [0, 0], 1: [0, 0]}
    names = {
        (s.begin, s.path): n
        for s in planned.stretches
        for n, source in plan_of(asked("task_arithmetic", zoo, None)).models[str(Path(s.path).parent)].table.items()
        if source.offset == s.begin
    }
    for stretch in planned.stretches:
        name = names[stretch.begin, stretch.path]
        if ".layers." in name:
            row = per_layer[int(name.split(".")[2])]
            row[0] += stretch.chosen_bytes
            row[1] += stretch.nbytes
    assert per_layer[0][0] >= 0.05 * per_layer[0][1]
    assert per_layer[1][0] >= 0.6 * per_layer[1][1]
    assert planned.planned <= planned.limit


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_shards_and_tied_tensors_give_the_same(family, tmp_path, dtype):
    zoo = family(dtype=dtype, tied=True)
    whole = app.merge(asked("ties", zoo, "30%"), tmp_path / "whole")
    assert "lm_head.weight" not in weights(tmp_path / "whole")
    parts = {name: save(tmp_path / "parts" / name, weights(path), tied=True, shards=3) for name, path in zoo.items()}
    analyze([parts[n] for n in parts if n != "base"], parts["base"])
    sharded = app.merge(asked("ties", parts, "30%"), tmp_path / "o", threads=2)
    same_bits(tmp_path / "whole", tmp_path / "o")
    assert sharded.budget["read"] == whole.budget["read"]


def test_an_unchanged_tensor_is_never_read(tmp_path):
    base = base_tensors()
    model = {**base, "lm_head.weight": changed(base, 1)["lm_head.weight"]}
    zoo = {"base": save(tmp_path / "base", base), "e0": save(tmp_path / "e0", model)}
    analyze([zoo["e0"]], zoo["base"])
    made = app.merge(asked("task_arithmetic", zoo, "90%"), tmp_path / "o")
    assert made.budget["read"] == model["lm_head.weight"].numel() * 4
    same_bits(tmp_path / "o", zoo["e0"])


def test_another_type_than_the_bases_is_read_whole(tmp_path):
    base = base_tensors()
    zoo = {
        "base": save(tmp_path / "base", {n: t.to(torch.bfloat16) for n, t in base.items()}),
        "e0": save(tmp_path / "e0", changed(base, 0)),
    }
    analyze([zoo["e0"]], zoo["base"])
    planned = plan_of(asked("task_arithmetic", zoo, 100_000_000_000))
    assert planned.budget.is_plain
    with pytest.raises(Exception, match="below what this merge must read"):
        plan_of(asked("task_arithmetic", zoo, "50%"))


def adapter(folder: Path, base: Path, rank: int = 2) -> Path:
    """A LoRA on the query projections."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(base)}))
    at = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    factors = {}
    for layer in range(2):
        factors[at.format(layer, "A")] = torch.randn(rank, 16)
        factors[at.format(layer, "B")] = torch.randn(16, rank)
    save_file(factors, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_on_the_base_costs_its_factors(family, tmp_path):
    zoo = family(experts=1)
    lora = adapter(tmp_path / "lora", zoo["base"])
    merge = Merge(
        "task_arithmetic",
        (Operand(ModelRef(str(zoo["e0"]))), Operand(parse_ref(f"{zoo['base']}+{lora}"))),
        base=ModelRef(str(zoo["base"])),
    )
    plain = replace(asked("task_arithmetic", zoo, None), merge=merge)
    made = app.merge(replace(plain, budget=budget_of("50%")), tmp_path / "o", threads=2)
    factors = 2 * 2 * (2 * 16) * 4
    assert made.budget["forced"] == factors
    assert made.budget["read"] <= made.budget["limit"]
    app.merge(plain, tmp_path / "plain")
    q = "model.layers.0.self_attn.q_proj.weight"
    e0, base = weights(zoo["e0"])[q], weights(zoo["base"])[q]
    added = weights(tmp_path / "o")[q] - base
    whole = weights(tmp_path / "plain")[q] - base
    assert float(added.norm()) > 0
    assert min(float((added - whole).norm()), float((added - whole + (e0 - base)).norm())) < 1e-5


class Marked:
    """A maker whose bytes tell who made them, and from where."""

    def __init__(self, mark: int) -> None:
        self.mark, self.asked = mark, []

    def write(self, start, stop, out):
        self.asked.append((start, stop))
        return np.full((stop - start) * out.itemsize, self.mark, np.uint8)


def test_untouched_blocks_are_copied_wherever_a_unit_begins():
    own, base = Marked(1), Marked(2)
    spared = Spared(own, base, np.array([False, True, True, False]))
    made = spared.write(40_000, 230_000, DType.BF16)
    assert own.asked == [(40_000, 65_536), (196_608, 230_000)]
    assert base.asked == [(65_536, 196_608)]
    want = [1] * (2 * 25_536) + [2] * (2 * 131_072) + [1] * (2 * 33_392)
    assert made.tolist() == want


def test_rows_that_do_not_fit_blocks_are_read_whole(tmp_path):
    """Rows of 3,000: a method by rows reads 65,536 rows' worth of blocks together, or nothing."""
    generator = torch.Generator().manual_seed(0)
    base = {"wide.weight": torch.randn(50, 3000, generator=generator)}
    base["wide.weight"][::7, ::5] = -0.0
    model = {"wide.weight": base["wide.weight"] + torch.randn(50, 3000, generator=generator) * 0.01}
    zoo = {"base": save(tmp_path / "base", base), "e0": save(tmp_path / "e0", model)}
    analyze([zoo["e0"]], zoo["base"])
    nothing = app.merge(asked("della", zoo, "50%"), tmp_path / "o")
    assert nothing.budget["read"] == 0
    same_bits(tmp_path / "o", zoo["base"])
    more = app.merge(asked("task_arithmetic", zoo, "60%"), tmp_path / "o", force=True)
    assert 0 < more.budget["read"] <= 90_000 * 4


def test_a_merge_in_a_merge(zoo, tmp_path):
    inner = recipe("task_arithmetic", [zoo["e0"], zoo["e1"]], base=zoo["base"]).merge
    outer = recipe("magmax", [inner, zoo["e2"]], base=zoo["base"])
    nothing = app.merge(replace(outer, budget=budget_of(0)), tmp_path / "o", force=True)
    assert nothing.budget["read"] == 0
    same_bits(tmp_path / "o", zoo["base"])
    some = app.merge(replace(outer, budget=budget_of("20%")), tmp_path / "o", force=True)
    assert 0 < some.budget["read"] <= some.budget["limit"]


def test_a_stopped_merge_goes_on(family, tmp_path):
    zoo = family(dtype=torch.bfloat16)
    planned = asked("ties", zoo, "30%")
    whole = app.merge(planned, tmp_path / "whole", threads=1)

    def stop(event):
        if event.kind == "progress" and event.done > event.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        app.merge(planned, tmp_path / "o", threads=1, on_event=stop)
    rest = app.merge(planned, tmp_path / "o", threads=1, resume=True)
    assert rest.chunks_resumed > 0
    assert rest.digest == whole.digest
    assert rest.budget["read"] < whole.budget["read"]


KILLED = """
import os, sys
from solera.app import merge
def die(event):
    if event.kind == "progress" and event.done > event.total // 2:
        os.kill(os.getpid(), 9)
merge(sys.argv[1], sys.argv[2], threads=1, on_event=die)
"""


def test_a_killed_merge_goes_on(family, tmp_path):
    zoo = family(experts=2, dtype=torch.bfloat16)
    planned = asked("ties", zoo, "30%")
    (tmp_path / "recipe.yaml").write_text(to_yaml(planned))
    whole = app.merge(planned, tmp_path / "whole", threads=1)
    words = [sys.executable, "-c", KILLED, str(tmp_path / "recipe.yaml"), str(tmp_path / "o")]
    assert subprocess.run(words, check=False).returncode == -9
    assert not (tmp_path / "o").exists()
    rest = app.merge(tmp_path / "recipe.yaml", tmp_path / "o", threads=1, resume=True)
    assert rest.digest == whole.digest
    assert rest.chunks_resumed > 0


@pytest.mark.parametrize("row", [METHODS[0], METHODS[1], METHODS[3]], ids=["task_arithmetic", "ties", "dare_linear"])
def test_the_models_that_are_read_are_enough(family, tmp_path, row, monkeypatch):
    """The kernel on the models that are read gives what it gives on all, the others being the base."""
    zoo = family(experts=3, dtype=torch.bfloat16)
    asked_for = recipe_of(zoo, row, "40%")
    seen, own = [], budget_few.few
    monkeypatch.setattr("solera.execute.budget_few.few", lambda run, chosen: seen.append(own(run, chosen)) or seen[-1])
    app.merge(asked_for, tmp_path / "few", threads=1)
    assert any(each is not None and len(each.bounds) > 1 for each in seen)
    monkeypatch.setattr("solera.execute.budget_few.few", lambda _run, _chosen: None)
    app.merge(asked_for, tmp_path / "all", threads=1)
    left, right = weights(tmp_path / "few"), weights(tmp_path / "all")
    assert all(torch.equal(left[n], right[n]) for n in right)
