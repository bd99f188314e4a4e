"""Whole searches: the same however they are run, killed or broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from small_ground import LinearProblem, LinearSource

from solera.errors import BadParameter, CorruptFile, RunError, TargetInUse, UnknownName
from solera.search.contract import Setup
from solera.search.log import FILE
from solera.search.optimizers import NAMES
from solera.search.running import Machine, Settings, search
from solera.search.space import Axis
from solera.search.workers import Workers


def run(out, settings=None, problem=None, **more):
    return search(problem or LinearProblem(), LinearSource(), out, settings or Settings(evaluations=60, seed=3), **more)


def course(done):
    return [(trial.genome, trial.values) for trial in done.result.found.trials]


@pytest.mark.parametrize("optimizer", NAMES)
def test_a_search_gets_better_and_its_files_are_there(optimizer, tmp_path):
    done = run(tmp_path / "s", Settings(optimizer, 60, seed=3))
    curve = done.report["curve"]
    assert curve == sorted(curve)
    assert len(curve) == 60
    assert done.result.best.values[0] == curve[-1] > done.result.start.values[0]
    assert {file.name for file in done.files} >= {"best.yaml", "report.json", "search.png"}
    assert json.loads((tmp_path / "s" / "report.json").read_text())["best"] == json.loads(
        json.dumps(done.report["best"])
    )
    assert done.report["items"] == {"scored": 60 * 64, "of": 60 * 64}


def test_no_genome_is_scored_twice(tmp_path):
    coarse = LinearProblem(axes=(Axis("left", 0, 2, 1, "int"), Axis("right", 0, 2, 1, "int")))
    done = run(tmp_path / "s", Settings("random", 60), coarse)
    assert done.result.found.stopped == "exhausted"
    rows = [json.dumps(json.loads(line)["job"]) for line in (tmp_path / "s" / FILE).read_text().splitlines()[1:]]
    assert len(rows) == len(set(rows))
    assert len(done.result.found.trials) == 9


@pytest.mark.parametrize("shares", [(0.25, 0.5, 1.0)])
def test_several_workers_find_the_same(shares, tmp_path):
    settings = Settings(evaluations=24, shares=shares)
    one = run(tmp_path / "one", settings)
    two = run(tmp_path / "two", settings, machine=Machine(workers=2))
    assert course(one) == course(two)
    assert one.report["best"] == two.report["best"]


def test_a_killed_search_goes_on_to_the_same_result(tmp_path):
    whole = run(tmp_path / "whole")
    out = tmp_path / "killed"
    assert 12 <= _killed(out, "cmaes", 1, after=12) < 60
    resumed = run(out, resume=True)
    assert course(resumed) == course(whole)
    assert resumed.report["best"] == whole.report["best"]
    assert (out / "best.yaml").read_text() == (tmp_path / "whole" / "best.yaml").read_text()


def _killed(out, optimizer, workers, after):
    """Start a slow search in another process and kill it when some outcomes are kept; how many there are then."""
    here = Path(__file__).parent
    program = subprocess.Popen(
        [sys.executable, here / "small_ground.py", out, optimizer, str(workers)],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"},
    )
    log = out / FILE
    end = time.monotonic() + 300
    while time.monotonic() < end and program.poll() is None:
        if log.exists() and log.read_text().count("\n") > after:
            break
        time.sleep(0.01)
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    return log.read_text().count("\n") - 1


@pytest.mark.parametrize("optimizer", NAMES)
def test_half_a_log_is_enough_and_a_line_cut_short_is_dropped(optimizer, tmp_path):
    settings = Settings(optimizer, 60, seed=3)
    whole = run(tmp_path / "s", settings)
    text = (tmp_path / "s" / FILE).read_text()
    (tmp_path / "s" / FILE).write_text(text[: len(text) // 2])
    assert course(run(tmp_path / "s", settings, resume=True)) == course(whole)
    again = (tmp_path / "s" / FILE).read_text()
    assert _jobs(again) == _jobs(text)


def _jobs(log):
    return [json.loads(line)["job"] for line in log.splitlines()[1:]]


def test_a_finished_search_can_be_made_longer(tmp_path):
    run(tmp_path / "s", Settings(evaluations=20, seed=3))
    longer = run(tmp_path / "s", Settings(evaluations=60, seed=3), resume=True)
    assert course(longer) == course(run(tmp_path / "t"))


def test_a_worker_that_is_killed_is_replaced_once(tmp_path):
    once = LinearProblem(broken="kill once", mark=str(tmp_path / "mark"))
    done = run(tmp_path / "s", Settings(evaluations=8), once, machine=Machine(workers=2))
    assert course(done) == course(run(tmp_path / "t", Settings(evaluations=8)))
    workers = Workers(Setup(LinearSource(), once), 2)
    workers._restart()
    with pytest.raises(RunError, match="killed twice"):
        workers._restart()


@pytest.mark.parametrize(("broken", "says"), [("nan", "finite"), ("refuse", "something wrong")])
def test_all_candidates_fail(broken, says, tmp_path):
    source = _NanSource() if broken == "nan" else LinearSource()
    with pytest.raises(RunError, match="None of the first") as error:
        search(LinearProblem(broken=broken), source, tmp_path / "s", Settings(evaluations=30))
    assert says in str(error.value)
    assert len((tmp_path / "s" / FILE).read_text().splitlines()) < 30  # it stops with the first population


class _NanSource(LinearSource):
    """Scores that are no numbers where the weights are none."""

    def _task(self, split, k, seed):
        task = super()._task(split, k, seed)
        return replace(task, measure=lambda module: {"accuracy": [float(module.weight[0, k])] * task.items})


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        (Settings(evaluations=0), BadParameter, "--evaluations"),
        (Settings(evaluations=-3), BadParameter, "--evaluations"),
        (Settings(objectives=("task-9",)), UnknownName, "did you mean `task-0`|did you mean `task-1`"),
        (Settings("nsga2", objectives=("mean", "mean")), BadParameter, "twice"),
        (Settings(objectives=("mean", "worst")), BadParameter, "one objective"),
        (Settings(shares=(0.5, 0.1)), BadParameter, "shares"),
    ],
)
def test_refused_settings(settings, error, says, tmp_path):
    with pytest.raises(error, match=says):
        run(tmp_path / "s", settings)
    assert not (tmp_path / "s" / "best.yaml").exists()


def test_workers_are_at_least_one(tmp_path):
    with pytest.raises(BadParameter, match="--workers"):
        run(tmp_path / "s", machine=Machine(workers=0))


@pytest.mark.parametrize(
    ("problem", "settings", "says"),
    [
        (LinearProblem(digest="other"), {}, "recipe"),
        (LinearProblem(axes=(Axis("left"), Axis("right", 0.0, 2.0))), {}, "space"),
        (LinearProblem(), {"seed": 4}, "seed"),
        (LinearProblem(), {"optimizer": "tpe"}, "optimizer"),
        (LinearProblem(), {"objectives": ("worst",)}, "objectives"),
        (LinearProblem(), {"shares": (0.5, 1.0)}, "sets of items"),
    ],
)
def test_the_log_of_another_search(problem, settings, says, tmp_path):
    run(tmp_path / "s", Settings(evaluations=8, seed=3))
    with pytest.raises(RunError, match=says):
        run(tmp_path / "s", replace(Settings(evaluations=8, seed=3), **settings), problem, resume=True)


def test_other_items_are_another_search(tmp_path):
    run(tmp_path / "s", Settings(evaluations=8))
    with pytest.raises(RunError, match="tasks"):
        search(LinearProblem(), LinearSource(items=16), tmp_path / "s", Settings(evaluations=8), resume=True)


def test_a_folder_with_a_search_is_not_overwritten(tmp_path):
    run(tmp_path / "s", Settings(evaluations=8))
    with pytest.raises(TargetInUse, match="--resume"):
        run(tmp_path / "s", Settings(evaluations=8))


def test_a_log_that_is_none(tmp_path):
    (tmp_path / FILE).write_text('{"a": 1}\n')
    with pytest.raises(CorruptFile):
        run(tmp_path, Settings(evaluations=8), resume=True)


def test_a_race_scores_fewer_items_and_chooses_by_all(tmp_path):
    done = run(tmp_path / "s", Settings(evaluations=60, seed=3, shares=(0.25, 0.5, 1.0)))
    items = done.report["items"]
    assert items["scored"] < 0.65 * items["of"]
    assert done.result.best.values[0] > done.result.start.values[0]


def test_only_tasks_that_are_asked_for_are_scored(tmp_path):
    done = run(tmp_path / "s", Settings(evaluations=20, seed=3, objectives=("task-1",)))
    assert done.report["items"] == {"scored": 20 * 32, "of": 20 * 32}
    assert set(done.report["best"]["test"]["tasks"]) == {"task-0", "task-1"}
    assert done.report["curve"][-1] == done.report["best"]["validation"]["task-1"]


def test_a_front_dominates_nothing_of_itself(tmp_path):
    done = run(tmp_path / "s", Settings("nsga2", 64, objectives=("task-0", "task-1")))
    rows = [row.values for row in done.result.front]
    assert rows == sorted(rows, reverse=True)
    assert len(list((tmp_path / "s" / "front").iterdir())) == len(rows)
    assert all(a[1] < b[1] for a, b in pairwise(rows))
