"""Sketches say what reading the models would say, are made once, and go on where they were stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from solera import catalog
from solera.app.analyzing import analyze
from solera.checkpoints.sketch import pack, unpack
from solera.checkpoints.sketch_files import cache_folder, listed, read_sketch
from solera.errors import BadParameter, CorruptFile, Interrupted, NonFinite
from solera.ops.kernels import engine
from solera.ops.kernels.sketching import Tally
from solera.plan.budget_thresholds import Ranking
from solera.types import CELL, DType

from .conftest import base_tensors, changed, save

EMBEDDING = "model.embed_tokens.weight"


def only_sketch():
    ((path, *_),) = listed([cache_folder()])
    return read_sketch(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_sketch_agrees_with_the_tensors(family, dtype):
    zoo = family(experts=1, dtype=dtype)
    sketch = only_sketch()
    base, model = (load_file(zoo[n] / "model.safetensors") for n in ("base", "e0"))
    assert set(sketch.leaves) == set(base)
    for name, leaf in sketch.leaves.items():
        delta = (model[name].float() - base[name].float()).reshape(-1).abs()
        blocks = delta.split(CELL)
        torch.testing.assert_close(
            torch.from_numpy(leaf.squares.copy()), torch.stack([b.double().square().sum() for b in blocks])
        )
        assert leaf.largest.tolist() == [float(b.max()) for b in blocks]
        assert leaf.zeros == int((delta == 0).sum())
        assert leaf.counts.sum() == leaf.magnitudes()[1].sum() == delta.numel()
        assert leaf.base_squares == pytest.approx(float(base[name].double().square().sum()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ranks_of_16_bit_models_are_exact(family, dtype):
    zoo = family(experts=1, dtype=dtype)
    base, model = (load_file(zoo[n] / "model.safetensors") for n in ("base", "e0"))
    together = torch.cat([(model[n].float() - base[n].float()).reshape(-1).abs() for n in base]).sort().values
    ranking = Ranking()
    for leaf in only_sketch().leaves.values():
        assert leaf.shift == 0
        ranking.add_leaf(leaf)
    wanted = [0, 1, together.numel() // 3, together.numel() // 2, together.numel() - 1]
    assert [ranking.at(r) for r in wanted] == [float(together[r]) for r in wanted]
    assert (ranking.elements, ranking.nonzero) == (together.numel(), int((together > 0).sum()))


def test_ranks_of_32_bit_models_are_near_and_from_below():
    rng = np.random.default_rng(0)
    values = np.abs(rng.standard_normal(300_000)).astype(np.float32)
    tally = Tally(4096)
    tally.add(np.zeros_like(values), values, DType.F32, DType.F32)
    keys, counts = tally.counts()
    ranking = Ranking()
    ranking.add(keys << np.uint32(tally.shift), counts.astype(np.int64), zeros=tally.zeros, shift=tally.shift)
    for rank in (10, 100_000, 299_999):
        exact, near = float(np.sort(values)[rank]), ranking.at(rank)
        assert exact * (1 - 2.0 ** (tally.shift - 23)) <= near <= exact


def test_the_loop_and_numpy_make_the_same_sketch(monkeypatch):
    rng = np.random.default_rng(1)
    base = rng.standard_normal(100_000).astype(np.float32)
    other = (base + rng.standard_normal(100_000) * 1e-3).astype(np.float32)
    made = []
    for switch in ("1", "0"):
        monkeypatch.setenv(engine.SWITCH, switch)
        engine.compiled.cache_clear()
        tally = Tally(4096)
        made.append((tally.add(base, other, DType.F32, DType.F32), tally))
    engine.compiled.cache_clear()
    (left, one), (right, two) = made
    np.testing.assert_allclose(left.squares, right.squares, rtol=1e-12)
    np.testing.assert_allclose(left.lengths, right.lengths, rtol=1e-12)
    assert (left.largest == right.largest).all()
    assert (left.coarse == right.coarse).all()
    assert (one.shift, one.zeros) == (two.shift, two.zeros)
    assert all((a == b).all() for a, b in zip(one.counts(), two.counts(), strict=True))


def test_what_is_sketched_is_not_read_again(family):
    zoo = family(experts=2, sketch=False)
    models = [zoo["e0"], zoo["e1"]]
    first = analyze(models, zoo["base"], threads=2)
    size = sum(t.numel() * 4 for t in base_tensors().values())
    assert 3 * size <= first[0].bytes_read <= 3.01 * size  # the base once, for both
    again = analyze(models, zoo["base"])
    assert [one.known for one in again] == [True, True]
    assert [one.bytes_read for one in again] == [0, 0]
    assert [a.norm for a in again] == [a.norm for a in first]


def test_a_stopped_analysis_goes_on(family):
    zoo = family(experts=1, sketch=False)
    whole = analyze([zoo["e0"]], zoo["base"], out=zoo["base"].parent / "whole", threads=1)[0]
    seen = []

    def stop(event):
        seen.append(event)
        if event.kind == "progress" and event.done > event.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        analyze([zoo["e0"]], zoo["base"], threads=1, on_event=stop)
    rest = analyze([zoo["e0"]], zoo["base"], threads=1)[0]
    assert 0 < rest.bytes_read < whole.bytes_read
    sketches = [read_sketch(path) for path, *_ in listed([cache_folder(), zoo["base"].parent / "whole"])]
    assert sketches[0].digest == sketches[1].digest
    assert not list(cache_folder().glob("*.part"))


def test_a_torn_part_is_cut_off(family):
    zoo = family(experts=1, sketch=False)

    def stop(event):
        if event.done > event.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        analyze([zoo["e0"]], zoo["base"], threads=1, on_event=stop)
    (part,) = cache_folder().glob("*.part")
    part.write_bytes(part.read_bytes()[:-7])
    torn = analyze([zoo["e0"]], zoo["base"], threads=1)[0]
    whole = analyze([zoo["e0"]], zoo["base"], threads=1, force=True)[0]
    assert (torn.norm, torn.leaves) == (whole.norm, whole.leaves)


def test_sketches_go_to_the_catalog_where_there_is_one(family, tmp_path, monkeypatch, own_cache):
    monkeypatch.setenv("SOLERA_CATALOG", str(tmp_path / "catalog.sqlite"))
    zoo = family(experts=1, sketch=False)
    made = analyze([zoo["e0"]], zoo["base"])[0]
    assert made.place.endswith("catalog.sqlite")
    assert not list(listed([own_cache / "sketches"]))
    assert analyze([zoo["e0"]], zoo["base"])[0].known
    with catalog.open_catalog() as opened:
        assert opened.count("sketches") == 1


def test_a_sketch_survives_its_bytes(family):
    family(experts=1)
    sketch = only_sketch()
    again = unpack(pack(sketch))
    assert again.digest == sketch.digest
    assert again.key == sketch.key
    assert list(again.leaves) == list(sketch.leaves)
    assert (again.leaves[EMBEDDING].squares == sketch.leaves[EMBEDDING].squares).all()


@pytest.mark.parametrize("damage", [b"", b"1234", b"x" * 100])
def test_a_damaged_sketch_is_refused(family, damage):
    family(experts=1)
    ((path, *_),) = listed([cache_folder()])
    path.write_bytes(path.read_bytes()[: len(damage)] if damage == b"x" * 100 else damage)
    with pytest.raises(CorruptFile, match=r"no sketch|not readable"):
        read_sketch(path)


def test_what_is_not_finite_is_named(tmp_path):
    base = base_tensors()
    model = changed(base, 0)
    model[EMBEDDING][9000, 3] = float("nan")
    folders = save(tmp_path / "m", model), save(tmp_path / "b", base)
    with pytest.raises(NonFinite, match=EMBEDDING) as caught:
        analyze([folders[0]], folders[1])
    assert caught.value.fault.where.endswith(f"element {9000 * 16 + 3}")


def test_one_file_for_two_models_is_refused(family):
    zoo = family(experts=2, sketch=False)
    with pytest.raises(BadParameter, match="one file for several"):
        analyze([zoo["e0"], zoo["e1"]], zoo["base"], out="both.sketch")


def test_tied_and_untied_leaves_are_paired(tmp_path):
    base = base_tensors(tied=True)
    model = {**changed(base, 0), "lm_head.weight": base[EMBEDDING] * 1.5}
    folders = save(tmp_path / "m", model), save(tmp_path / "b", base, tied=True)
    analyze([folders[0]], folders[1])
    leaves = only_sketch().leaves
    assert leaves["lm_head.weight"].place[::2] == ("lm_head.weight", EMBEDDING, base[EMBEDDING].numel())
    assert json.loads((folders[0] / "config.json").read_text())["tie_word_embeddings"] is False
