"""solera tokens: measuring token merging, pooling files of embeddings."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from solera.testing.models import build

pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny ViT with its processor, and a folder of noise."""
    root = tmp_path_factory.mktemp("tokens")
    build("vit", root / "m", layers=2, image_size=16, patch_size=4)
    from transformers import AutoConfig, ViTImageProcessor

    side = AutoConfig.from_pretrained(root / "m").image_size
    ViTImageProcessor(size={"height": side, "width": side}).save_pretrained(root / "m")
    draw = torch.Generator().manual_seed(0)
    (root / "images").mkdir()
    for k in range(4):
        pixels = torch.randint(0, 256, (side, side, 3), generator=draw, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(root / "images" / f"{k}.png")
    return root


def test_bench(solera, place):
    words = ("tokens", "bench", place / "m", "--data", place / "images", "--rounds", 1)
    said = solera(*words, "--r", "1,2", "--json")
    assert said.code == 0, said.err
    assert [row["r"] for row in said.data["rows"]] == [0, 1, 2]
    assert said.data["images"] == 4
    left = [row["left"] for row in said.data["rows"]]
    assert left == [left[0], left[0] - 2, left[0] - 4]
    shown = solera(*words, "--r", "1", "--inflection", "-1")
    assert shown.code == 0, shown.err
    assert "1 (-1)" in shown.out


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ((), 2, "no images"),
        (("--data", "{place}/images", "--r", "0"), 2, "--r"),
        (("--data", "{place}/images", "--r", "-2"), 2, "--r"),
        (("--data", "{place}/images", "--r", "500"), 2, "more than the layer can merge"),
        (("--data", "{place}/images", "--r", "1", "--inflection", "3"), 2, "inflection"),
        (("--data", "{place}/none"), 3, "no such data"),
    ],
)
def test_bench_refuses(solera, place, words, code, part):
    words = (words,) if isinstance(words, str) else words
    said = solera("tokens", "bench", place / "m", *(word.format(place=place) for word in words))
    assert said.code == code
    assert part in said.err


def test_pool(solera, tmp_path):
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"p": torch.nn.functional.normalize(torch.randn(36, 8), dim=-1)}, source)
    said = solera("tokens", "pool", source, target, "--factor", 9, "--way", "ward", "--json")
    assert said.code == 0, said.err
    assert (said.data["before"], said.data["after"]) == (36, 4)
    assert load_file(target)["p"].shape == (4, 8)
    assert solera("tokens", "pool", source, target).code == 5
    target.unlink()
    assert "36 -> 4" in solera("tokens", "pool", source, target).out
    for words, code in (
        (("--factor", 0), 2),
        (("--way", "best"), 2),
    ):
        said = solera("tokens", "pool", source, tmp_path / "c.safetensors", *words)
        assert said.code == code, said.err
    assert solera("tokens", "pool", tmp_path / "none", tmp_path / "c").code == 3
