"""Every architecture: merged by the engine, loaded by transformers, compared with an independent merge."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from tests.conftest import recipe

import solera
from solera.testing.models import ARCHITECTURES, build, expert_of

pytestmark = pytest.mark.end_to_end

LAYOUTS = [(name, False) for name in ARCHITECTURES] + [
    (name, True) for name in ("mixtral", "qwen2_moe", "qwen3_moe", "llava")
]


def load(folder: Path):
    """The model, with nothing missing, unexpected or of another shape."""
    head = getattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0])
    model, info = head.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


def inputs_for(model) -> dict[str, torch.Tensor]:
    """Random inputs of the kinds that the model's forward takes."""
    draw = torch.Generator().manual_seed(0)
    config = model.config
    tokens = torch.randint(3, 30, (2, 6), generator=draw)
    if config.model_type == "whisper":
        frames = torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions, generator=draw)
        return {"input_features": frames, "decoder_input_ids": tokens}
    given = {}
    if model.main_input_name == "input_ids":
        given["input_ids"] = tokens
    if config.model_type in ("vit", "clip"):
        size = (config if config.model_type == "vit" else config.vision_config).image_size
        given["pixel_values"] = torch.randn(2, 3, size, size, generator=draw)
    if config.is_encoder_decoder:
        given["decoder_input_ids"] = tokens
    return given


def outputs_of(model) -> list[torch.Tensor]:
    """All float tensors of the model's output."""
    with torch.no_grad():
        out = model(**inputs_for(model))
    return [value for key, value in out.items() if isinstance(value, torch.Tensor) and value.is_floating_point()]


@pytest.mark.parametrize(("name", "mixed"), LAYOUTS)
def test_a_merge_loads_and_equals_an_independent_one(name, mixed, tmp_path):
    build(name, tmp_path / "base", seed=1)
    build(name, tmp_path / "other", seed=1, memory_layout=mixed)
    expert_of(tmp_path / "base", tmp_path / "e0", seed=2, scale=0.02)
    expert_of(tmp_path / "other", tmp_path / "e1", seed=3, scale=0.02)
    made = recipe("task_arithmetic", [tmp_path / "e0", tmp_path / "e1"], base=tmp_path / "base", weight=0.5)
    report = solera.merge(made, tmp_path / "out")
    assert not [w for w in report.warnings if "tensors are left out" in w], report.warnings
    merged = load(tmp_path / "out")
    parts = [load(tmp_path / key).state_dict() for key in ("e0", "e1")]
    independent = load(tmp_path / "base")
    state = independent.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            value.copy_((parts[0][key].double() + parts[1][key].double()) / 2)
    for key, value in merged.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=1e-5, atol=1e-6, msg=key)
    got, want = outputs_of(merged), outputs_of(independent)
    assert got
    assert len(got) == len(want)
    for one, two in zip(got, want, strict=True):
        assert float((one - two).abs().max() / two.abs().max()) <= 1e-5
