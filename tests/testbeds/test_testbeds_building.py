"""Built once, whole or not at all, the same each time; what is damaged is not used."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from solera import testbeds
from solera.errors import BadParameter, CorruptFile, Interrupted, NoSpace, NotFound, RunError, TargetInUse, UnknownName


def test_names_import_no_torch() -> None:
    look = "import sys; from solera import testbeds; print(testbeds.names(), 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert "'vision-8'" in said
    assert said.strip().endswith("False")


def test_a_build_is_kept_and_opened_again(kind, build, tmp_path) -> None:
    log = kind()
    built = build()
    assert (built.name, built.size, built.seed) == ("toy", "tiny", 0)
    assert list(built.experts) == ["b", "a", "c"]
    assert built.extras["same"] == built.folder / "a"
    assert built.facts["time"] > 0
    again = build()
    assert again == built
    assert log.read_text().split() == ["base", "b", "a", "c"]
    assert testbeds.open_built("toy", size="tiny", cache=tmp_path / "cache") == built
    assert [s.folder for s in testbeds.stored(tmp_path / "cache")] == [built.folder]
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == [built.folder.name]


def test_equal_seeds_give_equal_digests_whatever_the_time(kind, build) -> None:
    kind()
    one, two, other = build(), build(cache="two"), build(seed=1)
    assert one.digest == two.digest
    assert one.facts["time"] != two.facts["time"]
    assert one.digest != other.digest


def test_stages_run_in_other_processes(kind, build) -> None:
    kind(workers=2)
    seen = []
    processes = build(on_event=seen.append).facts["processes"]
    assert os.getpid() not in processes
    assert {e.stage for e in seen if e.kind == "progress"} == {"base", "b"}
    assert all(0 < e.done <= e.total for e in seen if e.kind == "progress")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_in_a_stage_is_the_failure_of_the_build(kind, build, workers) -> None:
    kind(workers=workers, trouble={"a": "gate"})
    with pytest.raises(RunError, match="quality gate"):
        build()
    with pytest.raises(NotFound, match="solera testbed build toy"):
        testbeds.open_built("toy", size="tiny", cache="nowhere")


def test_an_interrupted_build_goes_on(kind, build, tmp_path) -> None:
    kind(trouble={"a": "stop"})
    with pytest.raises(Interrupted, match="run the same command again"):
        build()
    assert testbeds.stored(tmp_path / "cache") == ()
    log = kind()
    built = build()
    assert log.read_text().split() == ["base", "b", "a", "a", "c"]
    assert built.digest == build(cache="whole").digest


def test_a_killed_build_goes_on_and_leaves_no_process(kind, build, tmp_path) -> None:
    script = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path; from types import SimpleNamespace
from solera import testbeds; from solera.testbeds import homes; from tests.testbeds.toy import toy
if __name__ == "__main__":
    homes._MODULES["toy"] = "toy_testbed"
    kind = toy(Path({str(tmp_path / "log")!r}), workers=2, trouble={{"c": "sleep"}})
    sys.modules["toy_testbed"] = SimpleNamespace(TESTBED=kind)
    testbeds.build("toy", size="tiny", cache={str(tmp_path / "cache")!r})
"""
    (tmp_path / "script.py").write_text(script)
    group = subprocess.Popen([sys.executable, str(tmp_path / "script.py")], start_new_session=True)
    log = tmp_path / "log"
    record = tmp_path / "cache" / ".toy-tiny-0-v1.solera" / "model" / ".stages" / "a.json"
    until = time.monotonic() + 60
    while not (record.exists() and log.read_text().split()[-1:] == ["c"]) and time.monotonic() < until:
        time.sleep(0.05)
    group.kill()
    group.wait()
    until = time.monotonic() + 60
    while _members(group.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert _members(group.pid) == []
    assert testbeds.stored(tmp_path / "cache") == ()
    kind()
    build()
    assert sorted(log.read_text().split()) == ["a", "b", "base", "c", "c"]


def _members(session: int) -> list[int]:
    """Processes of a session that are still alive."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, belongs = entry.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        found += [int(entry.parent.name)] if belongs == str(session) and state != "Z" else []
    return found


def test_a_stage_whose_files_changed_is_done_again(kind, build, tmp_path) -> None:
    kind(trouble={"c": "stop"})
    with pytest.raises(Interrupted):
        build()
    (tmp_path / "cache" / ".toy-tiny-0-v1.solera" / "model" / "b" / "config.json").write_text("{}")
    log = kind()
    assert build().digest == build(cache="whole").digest
    assert log.read_text().split()[:6] == ["base", "b", "a", "c", "b", "c"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"rates": {"b": 2.0}}, ["b"]),
        ({"rates": {"base": 2.0}}, ["base", "b", "a"]),  # experts come from the base, so they are made again with it
        ({"settings": lambda size: 2.0}, ["base", "b", "a"]),
        ({}, []),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_change_of_settings_no_stage_of_before_is_used(kind, build, change, again, workers) -> None:
    kind(trouble={"c": "stop"})
    with pytest.raises(Interrupted):
        build()
    log = kind(workers=workers, **change)
    before, seen = log.read_text().split(), []
    built = build(on_event=seen.append)
    assert sorted(log.read_text().split()[len(before) :]) == sorted([*again, "c"])
    said = ", ".join(e.message for e in seen if e.kind == "warning")
    assert ("made with other settings before" in said) == bool(again)
    assert all(name in said for name in again)
    assert built.digest == build(cache="whole").digest


def test_a_stage_that_is_gone_from_the_settings_leaves_nothing(kind, build) -> None:
    kind(trouble={"c": "stop"})
    with pytest.raises(Interrupted):
        build()
    kind(models=("a", "c"))
    built = build()
    assert not (built.folder / "b").exists()
    assert built.digest == build(cache="whole").digest


def test_records_that_do_not_tell_what_they_are_of_are_not_used(kind, build, tmp_path) -> None:
    kind(trouble={"c": "stop"})
    with pytest.raises(Interrupted):
        build()
    record = tmp_path / "cache" / ".toy-tiny-0-v1.solera" / "model" / ".stages" / "b.json"
    kept = json.loads(record.read_text())
    record.write_text(json.dumps({name: value for name, value in kept.items() if name != "made_of"}))
    log = kind()
    build()
    assert log.read_text().split() == ["base", "b", "a", "c", "b", "c"]


def test_a_damaged_file_is_named_and_force_repairs_it(kind, build) -> None:
    kind()
    built = build()
    (built.folder / "a" / "config.json").write_text("{}")
    with pytest.raises(CorruptFile) as caught:
        build()
    fault = caught.value.fault
    assert fault.where.endswith("a/config.json")
    assert len(fault.got) == len(fault.want) == 64
    assert "solera testbed build toy --size tiny --seed 0 --force" in fault.fix
    assert build(force=True).digest == built.digest


def test_missing_and_added_files_are_noticed(kind, build) -> None:
    kind()
    folder = build().folder
    (folder / "a" / "extra").write_text("")
    with pytest.raises(CorruptFile, match="extra"):
        build()
    (folder / "a" / "extra").unlink()
    (folder / "b" / "config.json").unlink()
    with pytest.raises(CorruptFile, match="no such file"):
        build()


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: "not json",
        lambda kept: "[]",
        lambda kept: json.dumps({**kept, "base": "../../elsewhere"}),
        lambda kept: json.dumps({**kept, "experts": {"b": "/etc"}}),
        lambda kept: json.dumps({**kept, "experts": 3}),
        lambda kept: json.dumps({**kept, "files": {"../x": "0"}}),
        lambda kept: json.dumps({**kept, "digest": "0" * 64}),
        lambda kept: json.dumps({k: v for k, v in kept.items() if k != "facts"}),
    ],
)
def test_a_damaged_manifest_is_refused(kind, build, change) -> None:
    kind()
    path = build().folder / "testbed.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(CorruptFile, match="testbed"):
        build()


def test_another_version_is_built_anew_and_said_so(kind, build) -> None:
    kind()
    old = build()
    kind(version=2)
    seen = []
    new = build(on_event=seen.append)
    assert new.folder.name == "toy-tiny-0-v2"
    assert [e.message for e in seen if e.kind == "warning"] == [
        "the cache holds toy-tiny-0-v1; version 2 is built anew"
    ]
    new.folder.rename(new.folder.with_name("kept"))
    old.folder.rename(new.folder)  # a folder that says one version and holds another
    seen.clear()
    assert build(on_event=seen.append).folder == new.folder
    assert "'toy', 'tiny', 0, 1" in next(e.message for e in seen if e.kind == "warning")


@pytest.mark.parametrize("name", ["../vision-8", "", "vision-9", "vision-8/..", "VISION-8", "toy\n"])
def test_unknown_names_are_refused(name, build) -> None:
    with pytest.raises(UnknownName):
        build(name)


def test_a_misspelt_name_gets_a_suggestion(build) -> None:
    with pytest.raises(UnknownName, match="did you mean `vision-8`"):
        build("vison-8")


@pytest.mark.parametrize("bad", [{"size": "huge"}, {"size": "../x"}, {"seed": -1}, {"seed": True}, {"seed": 1.5}])
def test_sizes_and_seeds_are_checked(kind, bad, tmp_path) -> None:
    kind()
    with pytest.raises(BadParameter):
        testbeds.build("toy", cache=tmp_path, **bad)
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_disk_is_refused_first(kind, build) -> None:
    log = kind(nbytes=1 << 60)
    with pytest.raises(NoSpace, match="free some space"):
        build()
    assert not log.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_leaves_nothing_half_built(kind, build, tmp_path, workers) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kind(trouble={"c": "large"}, workers=workers)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, hard))
    try:
        with pytest.raises(NoSpace, match="run the same command again"):
            build()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert testbeds.stored(tmp_path / "cache") == ()
    assert (build().folder / "c" / "weights").stat().st_size == 1 << 20


@contextmanager
def under_way(build, log: Path) -> Iterator[None]:
    """Another process builds meanwhile: it has begun, as its log says."""
    first = multiprocessing.get_context("fork").Process(target=build)
    first.start()
    try:
        until = time.monotonic() + 30
        while not log.exists() and time.monotonic() < until:
            time.sleep(0.02)
        yield
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.join()


def test_two_builds_do_not_meet(kind, build, tmp_path) -> None:
    kind(trouble={"base": "sleep"})
    with under_way(build, tmp_path / "log"), pytest.raises(TargetInUse, match="another process"):
        build()


def test_remove_takes_all_versions_and_what_was_left(kind, build, tmp_path) -> None:
    cache = tmp_path / "cache"
    kind()
    old, other = build().folder, build(seed=1).folder
    left = []
    for version in (2, 3):  # interrupted builds of an older version and of this one
        kind(version=version, trouble={"a": "stop"})
        with pytest.raises(Interrupted):
            build()
        left.append(cache / f".toy-tiny-0-v{version}.solera")
    assert all(path.is_dir() for path in left)
    assert testbeds.remove("toy", size="tiny", cache=cache) == (old, *left)
    assert list(cache.iterdir()) == [other]
    assert testbeds.remove("toy", size="tiny", cache=cache) == ()


def test_what_is_being_built_is_not_removed(kind, build, tmp_path) -> None:
    kind(trouble={"base": "sleep"})
    with under_way(build, tmp_path / "log"):
        kind(version=2)
        with pytest.raises(TargetInUse, match="another process"):
            testbeds.remove("toy", size="tiny", cache=tmp_path / "cache")


def _standing(cache: Path) -> list[str]:
    return [testbeds.standing(each, 1) for each in testbeds.stored(cache)]


def test_standing_is_read_from_the_manifest(kind, build, tmp_path) -> None:
    kind()
    folder, cache = build().folder, tmp_path / "cache"
    path = folder / "testbed.json"
    kept = path.read_text()
    assert _standing(cache) == ["ready"]
    assert [testbeds.standing(each, 2) for each in testbeds.stored(cache)] == ["of version 1; 2 is current"]
    for text in ("", "[]", json.dumps({**json.loads(kept), "experts": 3}), kept.replace('"digest": "', '"digest": "0')):
        path.write_text(text)
        assert _standing(cache)[0].startswith(f"damaged: {path}")
    path.write_text(kept)
    (folder / "a" / "config.json").unlink()
    assert _standing(cache) == ["damaged: a/config.json is missing"]
    folder.rename(folder.with_name("toy-tiny-7-v1"))
    assert _standing(cache) == ["not what its name says: holds toy tiny 0 1"]
