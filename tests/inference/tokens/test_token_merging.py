"""Token merging on live models: what must not change, what must, and what is refused."""

from __future__ import annotations

import pytest
import torch
from tests.inference.tokens.conftest import answer, images, vit

import solera
from solera.errors import BadParameter, PlanError
from solera.inference.tokens import measure_merging, merged_tokens
from solera.inference.tokens.blocks import blocks_of
from solera.learn.statistics import Batch

KINDS = ["vit", "deit", "clip"]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_merged_is_the_plain_model_bit_for_bit(kind, attention):
    model, pixels = vit(kind, attention), images()
    plain = answer(model, pixels)
    with merged_tokens(model, 0):
        assert torch.equal(answer(model, pixels), plain)
    with merged_tokens(model, 8):
        assert not torch.equal(answer(model, pixels), plain)
    assert torch.equal(answer(model, pixels), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_ways_of_attention_agree(kind):
    first, second = vit(kind, "sdpa"), vit(kind, "eager")
    with merged_tokens(first, 6), merged_tokens(second, 6):
        torch.testing.assert_close(answer(first, images()), answer(second, images()), rtol=1e-4, atol=1e-5)


def test_tokens_fall_as_told(model):
    with merged_tokens(model, [10, 0, 30, 3]) as merging, torch.no_grad():
        found = model.vit(images()).last_hidden_state
    assert merging.counts == (55, 55, 28, 25)  # 30 of 55 are more than the 27 that can go
    assert found.shape[1] == 25
    assert [matching.r for matching in merging.matchings] == [10, 27, 3]
    assert merging.sizes.sum(1).tolist() == [65.0] * 3
    assert merging.sizes[:, 0].tolist() == [1.0] * 3


def test_groups_and_dense_output(model):
    with merged_tokens(model, 9) as merging, torch.no_grad():
        with pytest.raises(BadParameter, match="No tokens"):
            merging.groups()
        found = model.vit(images()).last_hidden_state
    groups = merging.groups()
    assert groups.shape == (3, 65)
    counted = torch.stack([row.bincount(minlength=29) for row in groups])
    torch.testing.assert_close(counted.float(), merging.sizes)
    dense = merging.unmerged(found)
    assert torch.equal(dense, found.gather(1, groups[..., None].expand(-1, -1, 32)))
    assert groups[:, 0].tolist() == [0] * 3


def identical(model, pixels, r, *, proportional=True):
    """Output where all patches hold the same and positions say nothing."""
    with torch.no_grad():
        model.vit.embeddings.position_embeddings.zero_()
    plain = answer(model, pixels)
    with merged_tokens(model, r, proportional=proportional):
        return plain, answer(model, pixels)


def test_merging_equal_tokens_changes_nothing():
    pixels = torch.randn(2, 3, 1, 1).expand(2, 3, 32, 32)
    for r in (1, 16, [32, 16, 8, 4]):
        plain, merged = identical(vit(), pixels, r)
        torch.testing.assert_close(merged, plain, rtol=1e-5, atol=1e-5)
    plain, merged = identical(vit(), pixels, 16, proportional=False)
    assert float((merged - plain).abs().max()) > 1e-4


def test_pairs_of_equal_neighbours():
    """Each patch twice, side by side: half of the tokens go, and the output stays."""
    half = torch.randn(2, 3, 32, 4, generator=torch.Generator().manual_seed(1)).repeat_interleave(2, dim=3)
    pixels = torch.cat([half] * 4, dim=3)
    pixels = pixels[..., [4 * (k // 8) + k % 4 for k in range(32)]]
    plain, merged = identical(vit(), pixels, [24, 0, 0, 0])
    torch.testing.assert_close(merged, plain, rtol=1e-5, atol=1e-5)


def test_a_batch_is_its_images(model):
    pixels, order = images(4), [2, 0, 3, 1]
    with merged_tokens(model, 8):
        found = answer(model, pixels)
        torch.testing.assert_close(answer(model, pixels[order]), found[order], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(answer(model, pixels[:1]), found[:1], rtol=1e-5, atol=1e-5)


def test_it_learns(model):
    """Gradients flow through merged tokens."""
    with merged_tokens(model, 8):
        loss = model(pixel_values=images()).logits.square().sum()
    torch.autograd.backward(loss)
    grad = model.vit.embeddings.patch_embeddings.projection.weight.grad
    assert grad is not None
    assert bool(grad.isfinite().all())
    assert float(grad.abs().sum()) > 0
    model.zero_grad()


def test_the_model_is_put_back_after_an_error(model):
    plain = answer(model, images())
    with pytest.raises(RuntimeError, match="stop"), merged_tokens(model, 8):
        raise RuntimeError("stop")
    assert torch.equal(answer(model, images()), plain)
    assert not any("forward" in block.module.__dict__ for block in blocks_of(model))
    assert not any(block.key_projection._forward_hooks for block in blocks_of(model))


def test_it_is_a_public_name():
    assert solera.merged_tokens is merged_tokens


@pytest.mark.parametrize("r", [-1, 33, "4", (4, 2.0), [1] * 5])
def test_bad_reductions(model, r):
    with pytest.raises(BadParameter), merged_tokens(model, r):
        answer(model, images())
    assert answer(model, images()).shape[0] == 3


def test_twice_is_refused(model):
    with merged_tokens(model, 4), pytest.raises(BadParameter, match="wrapped already"), merged_tokens(model, 4):
        pass


def test_models_that_are_not_supported():
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    pictures = {"image_size": 16, "patch_size": 4}
    refused = [
        transformers.BertModel(transformers.BertConfig(vocab_size=20, **sizes)),
        transformers.CLIPTextModel(transformers.CLIPTextConfig(vocab_size=20, **sizes)),
        transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**sizes, **pictures)),
        transformers.ViTForMaskedImageModeling(transformers.ViTConfig(**sizes, **pictures)),
        transformers.CLIPForImageClassification(clip(sizes, pictures)),
        transformers.LlavaForConditionalGeneration(llava(sizes, pictures)),
        torch.nn.Linear(2, 2),
    ]
    for model in refused:
        with pytest.raises(PlanError, match="cannot be merged"), merged_tokens(model, 1):
            pass


def clip(sizes, pictures):
    """A config whose classifier is fed the mean of all patches."""
    import transformers

    text = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **sizes}
    return transformers.CLIPConfig(vision_config={**sizes, **pictures}, text_config=text)


def llava(sizes, pictures):
    """A config of a model that hands every patch to a language model."""
    import transformers

    vision = transformers.CLIPVisionConfig(**sizes, **pictures)
    text = transformers.LlamaConfig(vocab_size=20, **sizes)
    return transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=3)


def test_attention_without_masks_is_refused():
    model = vit()
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(PlanError, match="needs a mask"), merged_tokens(model, 1):
        pass


def test_masked_tokens_are_refused(model):
    mask = torch.ones(3, 65)
    mask[:, -1] = 0
    with merged_tokens(model, 4), pytest.raises(BadParameter, match="masked"):
        model(pixel_values=images(), attention_mask=mask)


def test_measuring(model):
    batches = [Batch({"pixel_values": images(2, k)}, torch.tensor([0, 1])) for k in range(2)]
    plain, four, falling = measure_merging(model, batches, [4, (8, -1.0)], rounds=2)
    assert (plain.r, four.r, falling.r) == (0, 4, (8, -1.0))
    assert (plain.left, four.left, falling.left) == (65, 49, 65 - 16 - 10 - 5)
    assert plain.agreement == 1.0
    assert len(plain.right) == 4
    assert plain.accuracy == sum(plain.right) / 4
    assert min(plain.images_s, four.images_s) > 0
    unlabelled = [Batch({"pixel_values": images(2)})]
    assert measure_merging(model, unlabelled, [4])[1].accuracy is None
    with pytest.raises(BadParameter):
        measure_merging(model, [], [4])
    with pytest.raises(PlanError, match="no head"):
        measure_merging(vit("clip"), unlabelled, [4])
