"""Scripts that file records beside the leaderboards: what they file is what claims ask for, and can be judged."""

import types
from pathlib import Path

import pytest

from solera.bench.claims import claims, judge
from solera.bench.leaderboard import board
from solera.bench.records import append, read
from tests.bench.rows import HALF, RIGHT, WRONG

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts(script):
    return types.SimpleNamespace(
        align=script("align"),
        beside=script("beside"),
        calibration=script("calibration"),
        coefficients=script("coefficients"),
        informed=script("informed"),
        language=script("language"),
        lora=script("lora_testbed"),
    )


ENDS = {("base", "default"), ("experts", "default")}
REFERENCES = {*ENDS, ("linear", "default"), ("task_arithmetic", "tuned")}


def tuned(entries):
    return {(entry, "tuned") for entry in entries}


def filed(scripts):
    """Variant -> the rows that its script files."""
    one, language = scripts.informed, scripts.language
    matched = {f"mean.{method}" for method in scripts.align.METHODS}
    alike = {"mean", "mean.mended", *matched, *(f"{name}.mended" for name in matched)}
    experts = {("expert.task", "default"), ("expert.language", "default")}
    return {
        "informed": REFERENCES | tuned(one.STOOD_ON) | tuned(each.entry for each in one.TRIES),
        "lora": REFERENCES | tuned(scripts.lora.ENTRIES),
        "align": {("experts", "default")} | {(entry, "default") for entry in alike},
        "transfer": ENDS | {("linear", "default")} | experts | tuned(language.TRANSFER),
        "continued": ENDS | {("linear", "default")} | tuned(language.PAIRED),
        "trajectory": ENDS | tuned(language.AVERAGED),
        "coefficients": REFERENCES | {(each.name, "default") for each in scripts.coefficients.TRIES},
    }


def test_claims_name_rows_that_a_script_files(scripts):
    rows = filed(scripts)
    mine = [claim for claim in claims() if claim.variant in rows]
    assert {claim.variant for claim in mine} == set(rows)
    for claim in mine:
        asked = {name for test in claim.test for side in (test.left, test.right) for name in side.names}
        assert asked <= rows[claim.variant], claim.system


def test_a_method_that_aim_goes_around_is_tuned_before_it(scripts):
    before = set(scripts.informed.STOOD_ON)
    for one in scripts.informed.TRIES:
        assert not one.around or one.around in before
        before.add(one.entry)


def test_networks_are_judged_by_kind_and_what_cannot_be_mended_counts_nowhere(scripts, tmp_path):
    found = {
        "mlp": {"experts": RIGHT, "mean": HALF, "mean.weights": RIGHT, "mean.weights.mended": RIGHT},
        "vit": {"experts": RIGHT, "mean": HALF, "mean.weights": WRONG},
    }
    built = types.SimpleNamespace(name="seeds-4", size="small", seed=0, digest="d")
    append(tmp_path / "records.jsonl", scripts.align.records(built, found))
    made = board(read(tmp_path / "records.jsonl"), "seeds-4", "small", "align")
    assert made.line("mean.weights", "default").groups["held-in"].value == 1.0
    assert made.line("mean.weights", "default").groups["unseen"].value == 0.0
    assert "unseen" not in made.line("mean.weights.mended", "default").groups
    said = {each.system: judge(each, [made]).verdict for each in claims() if each.variant == "align"}
    assert said["Git Re-Basin"] == "holds"
    assert said["Git Re-Basin, recurrent networks and transformers"] == "does not hold"
    assert said["REPAIR"] == "not testable here"


def test_tables_stand_between_their_marks_and_nothing_leaves_the_page_alone(scripts, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- cost -->\nold\n<!-- end -->\nb\n<!-- measured -->\nolder\n<!-- end -->\n", "utf-8")
    scripts.beside.put(page, scripts.beside.table(("x", "y"), [(1, "z")]), "cost")
    scripts.beside.put(page, "")
    assert page.read_text("utf-8") == (
        "a\n<!-- cost -->\n| x | y |\n| --- | --- |\n| 1 | z |\n<!-- end -->\nb\n<!-- measured -->\nolder\n<!-- end -->\n"
    )
    scripts.beside.put(tmp_path / "none.md", "text")
    assert not (tmp_path / "none.md").exists()


@pytest.mark.parametrize("name", ["statistics.md", "lora.md", "align.md", "coefficients.md"])
def test_pages_have_their_marks(scripts, name):
    text = (scripts.beside.DOCS / name).read_text("utf-8")
    assert text.count("<!-- measured -->\n") == 1
    assert text.count("<!-- end -->") == text.count("<!-- cost -->") + 1
