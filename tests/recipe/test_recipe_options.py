"""Recipes from command-line options."""

from __future__ import annotations

import pytest

from solera.errors import RecipeFaults
from solera.recipe import Operand, TokenizerSpec, bare, from_options, parse
from solera.types import DType, LoraRef, ModelRef


def test_the_command_of_the_readme():
    got = from_options(["A", "B+lora"], base="X", method="ties", parameters={"density": "0.3"})
    assert got.merge.models == (Operand(ModelRef("A")), Operand(ModelRef("B", None, (LoraRef("lora"),))))
    assert (got.merge.base, got.merge.parameters) == (ModelRef("X"), {"density": 0.3})
    assert got.output.dtype is None


def test_the_recipe_is_written_as_text_that_reads_back():
    got = from_options(
        ["A", "B"],
        parameters={"weight": [0.3, 0.7], "normalize": "false"},
        dtype="bf16",
        shard="1GB",
        seed=3,
        tokenizer="union",
    )
    assert got.text.startswith("solera: 1\n")
    assert bare(parse(got.text)) == bare(got)
    assert (got.output.dtype, got.output.shard_bytes, got.seed, got.tokenizer) == (
        DType.BF16,
        10**9,
        3,
        TokenizerSpec("union"),
    )
    assert got.merge.parameters == {"normalize": False}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("0.3,0.7", [0.3, 0.7]), ((0.3, 0.7), [0.3, 0.7]), ([0.3, 0.7], [0.3, 0.7])],
)
def test_one_value_per_model(raw, expected):
    got = from_options(["A", "B"], parameters={"weight": raw})
    assert [o.parameters["weight"] for o in got.merge.models] == expected


def test_names_may_be_spelt_with_dashes():
    got = from_options(["A"], method="karcher", parameters={"max-iter": "3"})
    assert got.merge.parameters == {"max_iter": 3}


def test_every_option_is_checked_and_all_faults_come_together():
    with pytest.raises(RecipeFaults) as caught:
        from_options(
            ["A", "B"], method="ties", parameters={"density": "20", "wieght": "1", "weight": "1,2,3"}, dtype="int8"
        )
    found = {fault.what: fault for fault in caught.value.faults}
    assert set(found) == {
        "ties needs a base.",
        "`density` is not usable.",
        "ties has no parameter `wieght`.",
        "`weight` needs one value per model.",
        "The dtype is not usable.",
    }
    assert found["`density` is not usable."].where == "the command line, parameters.density"
    assert found["ties has no parameter `wieght`."].fix == "did you mean `weight`?"
    assert "the command line" in str(caught.value)


def test_no_models():
    with pytest.raises(RecipeFaults, match="not clear"):
        from_options([])


def test_unknown_method():
    with pytest.raises(RecipeFaults, match="did you mean `linear`"):
        from_options(["A"], method="linaer")
