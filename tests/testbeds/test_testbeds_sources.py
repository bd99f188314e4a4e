"""vision-8 of other images: a folder of IDX files, gzip or plain, or Fashion-MNIST where it is; named like any testbed."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from solera import testbeds
from solera.bench.arena import TestbedSource
from solera.bench.leaderboard import Board
from solera.bench.pages import name_of
from solera.cli.calibration import batches_of, bed_and_task
from solera.cli.commands import app
from solera.cli.evaluating import _default_records
from solera.errors import BadParameter, CorruptFile, Interrupted, NotFound, UnknownName
from solera.learn.statistics import Cut
from solera.testbeds.contract import Built
from solera.testbeds.vision import idx, images, making, sources, views
from solera.types import ModelRef

COUNTS = {"train": 260, "t10k": 60}


def _packed(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(folder: Path, *, zipped: bool, shift: int = 0) -> Path:
    """Pictures of 28 x 28 in the files of MNIST: bright squares, whose place and size tell the class, and noise."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.Generator(np.random.PCG64(5))
    for part, count in COUNTS.items():
        classes = np.arange(count) % 10
        pixels = draw.integers(0, 60, (count, 28, 28))
        for picture, shown in zip(pixels, classes, strict=True):
            top = 2 + 2 * shown + shift
            picture[top : top + 6, 4 : 8 + 2 * shown] = 250
        for name, array in (("images-idx3", pixels), ("labels-idx1", classes)):
            data, path = _packed(array), folder / f"{part}-{name}-ubyte"
            path.with_suffix(".gz" if zipped else "").write_bytes(gzip.compress(data) if zipped else data)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("idx") / "plain", zipped=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(folder: Path, cache: Path) -> Built:
    return testbeds.build(f"vision-8:{folder}", size="tiny", cache=cache)


@pytest.fixture
def said(cache: Path):
    return lambda *words: CliRunner().invoke(app, [*words, "--cache", str(cache)])


def test_a_folder_is_known_by_what_is_in_it(built, folder, tmp_path) -> None:
    name = f"idx-{idx.digest(idx.read(folder))[:12]}"
    assert built.name == f"vision-8:{name}"
    assert built.folder.name == f"vision-8-{name}-tiny-0-v2"
    assert json.loads((built.folder / "testbed.json").read_text())["name"] == built.name
    assert built.facts["data"]["source"] == name
    assert built.facts["data"]["digest"].startswith(name.removeprefix("idx-"))
    assert sources.named(str(write(tmp_path / "zipped", zipped=True))).name == name
    assert sources.named(str(write(tmp_path / "other", zipped=True, shift=1))).name != name


def test_it_is_opened_by_either_name_and_needs_no_folder_then(built, folder, cache) -> None:
    assert testbeds.open_built(f"vision-8:{folder}", size="tiny", cache=cache) == built
    assert testbeds.open_built(built.name, size="tiny", cache=cache) == built
    assert testbeds.build(built.name, size="tiny", cache=cache) == built
    assert [(s.name, testbeds.standing(s, 2)) for s in testbeds.stored(cache)] == [(built.name, "ready")]
    with pytest.raises(NotFound, match="by digest only"):
        testbeds.build(built.name, size="tiny", seed=1, cache=cache)


def test_its_tasks_are_those_of_its_own_images(built) -> None:
    tasks = testbeds.tasks(built)
    assert [t.name for t in tasks if t.group != "corrupted"] == [view.name for view in views.VIEWS]
    assert len(tasks) == 26
    kept = images.read(built.folder, "test")
    assert kept.pixels.shape[1:] == (8, 8)
    assert kept.pixels.max() > 200
    model = testbeds.load(built, built.experts["large"])
    task = next(t for t in tasks if t.name == "large")
    right = task.measure(model)["accuracy"]
    assert 100 * sum(right) / len(right) == pytest.approx(built.facts["experts"]["large"])


def test_pooled_images_stand_upright(folder) -> None:
    whole = idx.read(folder)
    small = images.pooled(whole, 8)
    at = int(np.flatnonzero(whole.classes == 9)[0])
    bright = np.argwhere(small.pixels[at] > 150)
    assert bright[:, 0].min() >= 5  # class 9 lies low, and is wide
    assert np.ptp(bright[:, 1]) > np.ptp(bright[:, 0])
    assert images.pooled(whole, 28) is whole


def test_every_command_takes_the_name(built, cache, said, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path))
    assert f"{built.folder.name}  ready" in said("testbed", "list").stdout
    assert built.digest in said("testbed", "show", built.name, "--size", "tiny").stdout
    words = ("--testbed", built.name, "--size", "tiny")
    scored = said("evaluate", str(built.experts["large"]), *words, "--json")
    assert scored.exit_code == 0, scored.output
    found = said("diagnose", "large", "prime", *words, "--only", "sweep", "-o", str(tmp_path / "found"))
    assert found.exit_code == 0, found.output
    drawn = batches_of(f"testbed:{built.name}/large", ModelRef("x"), Cut(8, 4), ("tiny", 0, cache))
    assert [len(batch.inputs["pixel_values"]) for batch in drawn] == [4, 4]


def test_bench_keeps_its_records_under_a_name_for_files(built, cache, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path))
    source = TestbedSource(built.name, "tiny", folder=cache)
    assert source.key()[0] == source.open(None).record.testbed == built.name
    assert _default_records(source) == tmp_path / "bench" / f"{built.folder.name.partition('-tiny')[0]}.jsonl"
    board = Board(built.name, "tiny", "adapters", (), (), {}, {})
    assert name_of(board) == f"{built.name.replace(':', '-')}-tiny-adapters"


def test_fashion_is_built_from_where_the_environment_says(said, cache, monkeypatch, tmp_path, built) -> None:
    monkeypatch.setenv(sources.FASHION_PATH, str(write(tmp_path / "fashion", zipped=True)))
    made = said("testbed", "build", "vision-8", "--images", "fashion", "--size", "tiny", "--json")
    assert made.exit_code == 0, made.output
    data = json.loads(made.stdout)
    assert (data["name"], Path(data["folder"]).name) == ("vision-8:fashion", "vision-8-fashion-tiny-0-v2")
    assert data["digest"] == built.digest  # the same images and seed: the same testbed, by another name
    monkeypatch.delenv(sources.FASHION_PATH)
    assert testbeds.open_built("vision-8:fashion", size="tiny", cache=cache).digest == built.digest
    removed = said("testbed", "remove", "vision-8:fashion", "--size", "tiny")
    assert removed.stdout.split() == ["removed", data["folder"]]
    assert [s.name for s in testbeds.stored(cache)] == [built.name]


def test_where_fashion_changed_nothing_of_before_is_used(monkeypatch, tmp_path) -> None:
    folder = write(tmp_path / "fashion", zipped=False)
    monkeypatch.setenv(sources.FASHION_PATH, str(folder))
    shown = []

    def stop(event) -> None:
        shown.append(event)
        if event.stage == "base" and event.kind == "started":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        testbeds.build("vision-8:fashion", size="tiny", cache=tmp_path / "cache", on_event=stop)
    write(folder, zipped=False, shift=1)
    shown.clear()
    with pytest.raises(Interrupted):
        testbeds.build("vision-8:fashion", size="tiny", cache=tmp_path / "cache", on_event=stop)
    assert [e.message for e in shown if e.kind == "warning"] == [
        "made with other settings before, and made again: data"
    ]


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("vision-8:fasion", UnknownName, "did you mean `fashion`"),
        ("vision-8:", UnknownName, "folder of IDX files"),
        ("vision-8:/no/such/folder", NotFound, "no such folder"),
        ("seeds-4:fashion", BadParameter, "one source"),
        ("vison-8:fashion", UnknownName, "did you mean `vision-8`"),
    ],
)
def test_sources_that_are_none_are_refused(name, error, said, tmp_path) -> None:
    with pytest.raises(error, match=said):
        testbeds.build(name, size="tiny", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["", "nowhere"])
def test_fashion_that_is_not_there_is_said_so(where, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sources, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv(sources.FASHION_PATH, where and str(tmp_path / where))
    with pytest.raises(NotFound, match="Fashion-MNIST is not there") as caught:
        testbeds.build("vision-8:fashion", size="tiny", cache=tmp_path / "cache")
    assert str(tmp_path / (where or "debian")) in caught.value.fault.where
    assert (sources.FASHION_PATH in caught.value.fault.where) == bool(where)


TRAIN = "train-images-idx3-ubyte"


@pytest.mark.parametrize(
    ("file", "change", "error", "said"),
    [
        (TRAIN, None, NotFound, TRAIN),
        ("t10k-labels-idx1-ubyte", None, NotFound, "t10k-labels-idx1-ubyte"),
        (TRAIN, lambda data: b"\x89PNG" + data[4:], CorruptFile, "magic 89504e47"),
        (TRAIN, lambda data: data[:2] + b"\x0d" + data[3:], CorruptFile, "magic 00000d03"),
        (TRAIN, lambda data: data[:-1], CorruptFile, "cut off"),
        (TRAIN, lambda data: data[:9], CorruptFile, "cut off"),
        (TRAIN, lambda data: b"", CorruptFile, "not in the IDX format"),
        (TRAIN, lambda data: data + b"0", CorruptFile, "too long"),
        ("train-labels-idx1-ubyte", lambda data: _packed(np.arange(7)), CorruptFile, "7 labels"),
        ("train-labels-idx1-ubyte", lambda data: data[:-1] + b"\x0a", CorruptFile, "ten classes"),
        ("t10k-images-idx3-ubyte", lambda data: _packed(np.zeros((60, 14, 14))), CorruptFile, "not of one size"),
    ],
)
def test_malformed_files_are_named(folder, tmp_path, file, change, error, said) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    data = (broken / file).read_bytes()
    (broken / file).unlink() if change is None else (broken / file).write_bytes(change(data))
    with pytest.raises(error, match=said) as caught:
        testbeds.build(f"vision-8:{broken}", size="tiny", cache=tmp_path / "cache")
    assert str(broken) in str(caught.value.fault.where)


def test_a_gzip_file_that_is_cut_off_is_named(tmp_path) -> None:
    folder = write(tmp_path, zipped=True)
    path = folder / f"{TRAIN}.gz"
    for data in (path.read_bytes()[:-20], b"\x1f\x8b", b"no gzip"):
        path.write_bytes(data)
        with pytest.raises(CorruptFile, match="cannot be read") as caught:
            idx.read(folder)
        assert caught.value.fault.where == str(path)


def test_too_few_different_images_are_refused(tmp_path) -> None:
    for part, count in (("train", 30), ("t10k", 10)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(_packed(np.zeros((count, 28, 28))))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(_packed(np.arange(count) % 10))
    with pytest.raises(CorruptFile, match=r"too few images .*\n.*\n.*1 different"):
        testbeds.build(f"vision-8:{tmp_path}", size="tiny", cache=tmp_path / "cache")


def test_images_named_twice_or_for_all_are_refused(said) -> None:
    for words in (("vision-8:fashion", "--images", "digits"), ("all", "--images", "fashion")):
        assert said("testbed", "build", *words).exit_code == 2


def test_digits_keep_their_name_and_their_bytes(tmp_path) -> None:
    """They lie on their side in every testbed of version 2."""
    assert testbeds.testbed("vision-8:digits") is testbeds.testbed("vision-8")
    plan = making.PLANS["tiny"]
    making.write_images(tmp_path, lambda *_: None, side=8, counts=(plan.held_out, plan.train), seed=0)
    known = (tmp_path / "images.safetensors").read_bytes()
    assert images.hasher().update(known).hexdigest()[:16] == "f335a77de5258bc4"


def test_names_of_data_may_hold_a_path() -> None:
    assert bed_and_task("vision-8:/a/b/large") == ("vision-8:/a/b", "large")
    assert bed_and_task("vision-8/large/x") == ("vision-8", "large/x")
    assert bed_and_task("vision-8") == ("vision-8", "")
