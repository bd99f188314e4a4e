"""Kill -9 at random moments: the short form of `make kill`."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_twenty_kills_damage_nothing_and_every_resume_is_identical(tmp_path):
    found = tmp_path / "kills.json"
    command = [sys.executable, str(BENCHMARKS / "kill.py"), "--warm", "--kills", "20", "--size", "tiny"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--json", str(found)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(found.read_text())
    assert figures["kills"] == len(figures["rows"]) == 20
    assert figures["damaged"] == figures["different"] == figures["spendthrift"] == 0
    assert {row["left"] for row in figures["rows"]} <= {"absent", "old", "aside", "new"}
