"""A method whose output is not shaped like its inputs: tensors dropped, config changed."""

import json

import pytest
from tests.conftest import recipe, tensors

import solera
from solera.ops.contract import Step, chain
from solera.registry import method, table
from solera.types import ELEMENT, WEIGHT, Schema


@pytest.fixture
def headless():
    """A method that keeps the first model's trunk and says so in the config."""

    def schema(specs, config):
        heads = frozenset(name for name in specs if name.startswith("lm_head"))
        return Schema(heads, {"architectures": ["LlamaModel"], "rope_scaling.factor": 2.0, "tie_word_embeddings": None})

    @method("headless", space=WEIGHT >> WEIGHT, grain=ELEMENT, symmetric=False, numeric="exact", schema=schema)
    def make():
        """Keep the first model's trunk."""
        return chain(Step("first", lambda stack, facts: stack.reduced(stack.values[0])))

    yield "headless"
    del table.REGISTERED["headless"]


def test_a_schema_drops_tensors_and_changes_the_config(zoo, tmp_path, headless):
    z = zoo(experts=2)
    report = solera.merge(recipe(headless, [z["e0"], z["e1"]]), tmp_path / "out")
    out = tensors(tmp_path / "out")
    assert "lm_head.weight" not in out
    assert len(out) == 38
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["LlamaModel"]
    assert config["rope_scaling"] == {"factor": 2.0}
    assert "tie_word_embeddings" not in config
    assert (str(z["e0"]), "lm_head.weight", "refused", "not part of the output") in report.left_out


def test_a_nested_schema_is_seen_by_the_outer_merge(zoo, tmp_path, headless):
    z = zoo(experts=2)
    inner = recipe(headless, [z["e0"], z["e1"]]).merge
    with pytest.raises(solera.SoleraError, match=r"lm_head\.weight is missing"):
        solera.plan(recipe("linear", [z["e0"], inner]))
