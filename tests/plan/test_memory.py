"""The memory limit is kept or refused, and what is predicted is what is taken."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.conftest import recipe

import solera
from solera.errors import PlanError
from solera.plan.cost import MIB, OVERHEAD


def test_a_limit_that_cannot_be_kept_is_refused(zoo):
    z = zoo()
    with pytest.raises(PlanError, match="memory limit") as caught:
        solera.plan(recipe("linear", [z["e0"], z["e1"]]), memory=MIB)
    assert "--memory" in caught.value.fault.fix


def test_less_memory_means_smaller_pieces_and_more_reading(zoo):
    z = zoo(vocab=60_000)
    made = recipe("ties", [z["e0"], z["e1"], z["e2"]], base=z["base"], variant="mergekit", density=0.3)
    wide = solera.plan(made, memory=512 * MIB, threads=1).cost
    tight = solera.plan(made, memory=OVERHEAD + 12 * MIB, threads=1).cost
    assert tight.memory_bytes < wide.memory_bytes
    assert tight.memory_bytes <= OVERHEAD + 12 * MIB
    assert tight.read_bytes > wide.read_bytes


SCRIPT = """
    import resource, sys
    from pathlib import Path
    import solera, solera.app.merging, solera.execute.run
    from tests.conftest import recipe
    zoo, made = Path(sys.argv[1]), None
    made = recipe("task_arithmetic", [zoo / "e0", zoo / "e1", zoo / "e2"], base=zoo / "base")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = solera.merge(made, zoo / "out", threads=2)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(report.memory_bytes, (after - before) * unit)
"""


def test_memory_does_not_grow_with_the_model(zoo, tmp_path):
    pytest.importorskip("numba")
    peaks = []
    for number, vocab in enumerate([20_000, 200_000]):
        zoo(vocab=vocab, seed=number)
        line = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
        done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=Path.cwd())
        predicted, measured = map(int, done.stdout.split())
        peaks.append(measured)
        assert measured < 1.5 * predicted
        subprocess.run(["rm", "-rf", str(tmp_path / "out")], check=True)
    assert peaks[1] < peaks[0] + 24 * MIB  # ten times the model: 51 MB of tensors instead of 5
