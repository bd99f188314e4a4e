"""Models that are no children of the base are noticed while they are merged."""

import numpy as np

import solera
from tests.conftest import llama_config, recipe, tensors, write_model


def test_a_model_of_another_parent_is_called_far(zoo, tmp_path):
    z = zoo(experts=1, vocab=600)
    rng = np.random.default_rng(9)
    stranger = {n: rng.standard_normal(v.shape).astype(np.float32) for n, v in tensors(z["base"]).items()}
    write_model(tmp_path / "stranger", stranger, llama_config(vocab=600))
    report = solera.merge(recipe("ties", [z["e0"], tmp_path / "stranger"], base=z["base"]), tmp_path / "out")
    far = [w for w in report.warnings if "far from the base" in w]
    assert len(far) == 1
    assert str(tmp_path / "stranger") in far[0]


def test_children_of_the_base_are_not(zoo, tmp_path):
    z = zoo(vocab=600)
    report = solera.merge(recipe("ties", [z["e0"], z["e1"]], base=z["base"]), tmp_path / "out")
    assert not [w for w in report.warnings if "far from the base" in w]
