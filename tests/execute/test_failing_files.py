"""Every single change that a merge makes on the disk may fail: the target stays what it was, and the run goes on."""

import errno
import shutil

import pytest

import solera
from solera.app.verify import verify
from solera.errors import NoSpace, SoleraError
from tests.conftest import recipe
from tests.execute.failing_files import Disk, failing


@pytest.fixture
def case(zoo, tmp_path):
    """A merge of several chunks with a whole-model summary, its folder, and its true bytes."""
    z = zoo(experts=2, layers=1)
    made = recipe("ties", [z["e0"], z["e1"]], base=z["base"], variant="official", density=0.4)
    solera.merge(made, tmp_path / "truth", backend="inline")
    return made, tmp_path / "work" / "out", bytes_of(tmp_path / "truth")


def bytes_of(folder):
    return (folder / "model.safetensors").read_bytes()


def run(made, out, disk, **options):
    """Merge on the disk; the error, if it is one that was raised on purpose."""
    with failing(disk):
        try:
            solera.merge(made, out, backend="inline", **options)
        except SoleraError as error:
            return error
    return None


def changes(made, out):
    """How many changes a merge makes."""
    disk = Disk(out.parent)
    assert run(made, out, disk, force=out.exists()) is None
    assert {"pwrite", "fsync", "rename", "open", "write"} <= set(disk.calls)
    return len(disk.calls)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_every_failure_leaves_nothing_or_the_whole_model(case, code):
    made, out, truth = case
    out.parent.mkdir()
    count = changes(made, out)
    for number in range(1, count + 1):
        shutil.rmtree(out)
        disk = Disk(out.parent, number, code)
        error = run(made, out, disk)
        assert error is None or not out.exists() or disk.calls[number - 1] == "fsync"  # the last one: of the parent
        assert not out.exists() or bytes_of(out) == truth, (number, disk.calls)
        assert code != errno.ENOSPC or error is None or isinstance(error, NoSpace), error
        again = solera.merge(made, out, backend="inline", resume=True)
        assert bytes_of(out) == truth, number
        assert again.chunks_resumed >= 0
        assert not list(out.parent.glob(".*")), number


def test_an_old_model_outlives_every_failure(case, zoo, tmp_path):
    made, out, truth = case
    out.parent.mkdir()
    old = recipe("linear", [tmp_path / "e0", tmp_path / "e1"])
    solera.merge(old, tmp_path / "old", backend="inline")
    shutil.copytree(tmp_path / "old", out)
    count = changes(made, out)
    for number in range(1, count + 1):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "old", out)
        error = run(made, out, Disk(out.parent, number), force=True)
        assert bytes_of(out) in ((truth,) if error is None else (bytes_of(tmp_path / "old"), truth)), number
        solera.merge(made, out, backend="inline", resume=True, force=True)
        assert bytes_of(out) == truth, number
        assert not list(out.parent.glob(".*")), number


def test_short_writes_are_continued(case):
    made, out, truth = case
    out.parent.mkdir()
    assert run(made, out, Disk(out.parent, short=True)) is None
    assert bytes_of(out) == truth
    assert verify(out)["ok"]
