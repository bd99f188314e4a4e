"""Caches with a budget in real decoders."""

from __future__ import annotations

import gc

import pytest
import torch
from torch.testing import assert_close
from transformers import DynamicCache

from solera.inference.kv import budgeted, nbytes, physical_lengths, solera_cache

from .conftest import VOCAB, decoder, generate

METHODS = ("cam", "h2o", "kvmerger", "window")
KINDS = ("llama", "mistral", "gemma2")


def of(kind: str):
    """Gemma 2 caps its logits, which only eager attention does."""
    return decoder(kind, attention="eager" if kind == "gemma2" else "sdpa")


@pytest.mark.parametrize("kind", KINDS)
def test_whole_budget_is_plain_generate(kind, ids) -> None:
    model = of(kind)
    plain = generate(model, ids)
    for budget in (1.0, 64):
        found = generate(model, ids, solera_cache(model, budget=budget, method="h2o"))
        assert torch.equal(found[0], plain[0])
        assert torch.equal(found[1], plain[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [0.5, 0.2, 9])
def test_physical_length_within_budget(llama, ids, method, budget) -> None:
    cache, seen = solera_cache(llama, budget=budget, method=method), []
    for tokens in (ids, *torch.randint(1, VOCAB, (14, 1, 1))):
        llama(tokens, past_key_values=cache)
        most = budget if isinstance(budget, int) else max(4, -(-cache.logical_length * budget // 1))
        seen.append(max(cache.physical_lengths))
        assert seen[-1] <= most
        assert cache.nbytes <= 3 * (most + 1) * 2 * (2 * 8 * 4 + 2 * 4)
    assert cache.logical_length == 46
    assert min(seen) >= 3


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_eviction_is_full_attention_with_tokens_masked(ids, attention) -> None:
    """Positions stay: a window over a plain cache, told by a mask, gives the same logits token after token."""
    model = decoder(attention=attention)
    cache, plain = solera_cache(model, budget=12, method="window", slack=0), DynamicCache(config=model.config)
    model(ids, past_key_values=cache)
    model(ids, past_key_values=plain)
    for step, token in enumerate(torch.randint(1, VOCAB, (6, 1, 1))):
        length = ids.shape[1] + step + 1
        kept = torch.arange(length) < 4
        kept[-8:] = True
        mask = torch.zeros(1, 1, 1, length).masked_fill(~kept, torch.finfo(torch.float32).min)
        want = model(token, past_key_values=plain, attention_mask=mask).logits
        assert_close(model(token, past_key_values=cache).logits, want, atol=1e-5, rtol=1e-5)


def test_heads_evict_for_themselves(ids) -> None:
    """With one layer the same holds for H2O, where every head keeps its own entries."""
    model = decoder(layers=1)
    cache, plain = solera_cache(model, budget=10, method="h2o", slack=0), DynamicCache(config=model.config)
    model(ids, past_key_values=cache)
    model(ids, past_key_values=plain)
    token = torch.tensor([[5]])
    found = model(token, past_key_values=cache).logits
    places = cache.layers[0].shelf.entries.places.long()
    kept = torch.zeros(1, 2, 33, dtype=torch.bool).scatter(2, places, value=True)
    mask = torch.zeros(1, 4, 1, 33).masked_fill(~kept.repeat_interleave(2, 1)[:, :, None], -torch.inf)
    assert (kept[0, 0] != kept[0, 1]).any()
    assert_close(found, model(token, past_key_values=plain, attention_mask=mask).logits, atol=1e-5, rtol=1e-5)


def test_scores_are_attention(ids) -> None:
    """What blocks of queries add up to is what eager attention gives, grouped heads averaged."""
    caches = {}
    for attention in ("sdpa", "eager"):
        model = decoder(attention=attention)
        caches[attention] = solera_cache(model, budget=60, method="h2o")
        model(ids, past_key_values=caches[attention])
        model(ids[:, :5], past_key_values=caches[attention])
    with torch.no_grad():
        full = decoder(attention="eager")(torch.cat([ids, ids[:, :5]], 1), output_attentions=True).attentions
    for layer, sdpa, eager in zip(full, caches["sdpa"].layers, caches["eager"].layers, strict=True):
        want = layer.sum(2).view(1, 2, 2, -1).mean(2)
        assert_close(sdpa.shelf.entries.scores, want, atol=1e-5, rtol=1e-5)
        assert_close(eager.shelf.entries.scores, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_batch_is_one_by_one(kind, method, ids) -> None:
    model = of(kind)
    other = torch.cat([torch.zeros(1, 9, dtype=torch.long), ids[:, 9:].flip(1)], 1)
    batch, mask = torch.cat([ids, other]), torch.ones(2, 32, dtype=torch.long)
    mask[1, :9] = 0
    _, both = generate(model, batch, solera_cache(model, budget=0.4, method=method), mask, tokens=8)
    for row, text in enumerate((ids, other[:, 9:])):
        _, alone = generate(model, text, solera_cache(model, budget=0.4, method=method), tokens=8)
        assert_close(both[row], alone[0], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_generation_goes_on(kind, method, ids) -> None:
    """A longer text on the same cache: only what is new is read, positions go on, the budget holds."""
    model = of(kind)
    cache = solera_cache(model, budget=0.5, method=method)
    first, _ = generate(model, ids, cache, tokens=5)
    longer = torch.cat([first, ids[:, :11]], 1)
    second, logits = generate(model, longer, cache, tokens=5)
    assert cache.logical_length == 32 + 5 + 11 + 5 - 1
    assert max(cache.physical_lengths) <= 26
    assert torch.isfinite(logits).all()
    assert second.shape[1] == 53


def test_prompt_in_parts_under_a_large_budget_is_the_prompt(llama, ids) -> None:
    cache = solera_cache(llama, budget=40, method="kvmerger")
    llama(ids[:, :20], past_key_values=cache)
    found = llama(ids[:, 20:], past_key_values=cache).logits
    assert_close(found, llama(ids).logits[:, 20:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [1, 5])
def test_prompt_in_parts_padded_on_the_left(llama, ids, method, step) -> None:
    long, short = ids[:, :20], ids[:, 20:29]
    both = torch.cat([long, torch.nn.functional.pad(short, (11, 0))])
    mask = torch.ones_like(both)
    mask[1, :11] = 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    batch, alone = (solera_cache(llama, budget=8, method=method, slack=0.0) for _ in range(2))
    for at in range(0, 20, step):
        part, seen = slice(at, at + step), mask[:, : at + step]
        out = llama(both[:, part], attention_mask=seen, position_ids=places[:, part], past_key_values=batch).logits
    for part in (short,) if step > 1 else short.split(1, 1):
        wanted = llama(part, past_key_values=alone).logits
    assert batch.layers[0].seen == [20, 9]
    if step == 1:
        torch.testing.assert_close(out[1, -1], wanted[0, -1])
    assert max(batch.physical_lengths) <= 8


def test_mask_by_position_is_the_mask_by_name(llama, ids) -> None:
    mask = torch.ones_like(ids)
    mask[0, :7] = 0
    cache = solera_cache(llama, budget=8, method="h2o")
    llama.model(ids, mask, past_key_values=cache)
    assert cache.layers[0].seen == [25]


@pytest.mark.parametrize("method", METHODS)
def test_window_of_the_model_holds(method, ids) -> None:
    """Entries that have left the model's window are not seen, and go first."""
    model = decoder("mistral")
    cache = solera_cache(model, budget=0.6, method=method)
    for tokens in (ids, *torch.randint(1, VOCAB, (9, 1, 1))):
        model(tokens, past_key_values=cache)
        assert max(cache.physical_lengths) <= 7
    oldest = min(int(layer.shelf.entries.places.min()) for layer in cache.layers)
    assert oldest >= 0


def test_layers_with_and_without_window(ids) -> None:
    """Gemma 2 mixes both: each has the share of what it would hold."""
    model = of("gemma2")
    cache = solera_cache(model, budget=0.5, method="h2o")
    model(ids, past_key_values=cache)
    assert cache.physical_lengths == (6, 15, 6)
    assert cache.get_mask_sizes(1, 1) == (16, 17)


def test_spared_layers_stay_whole(llama, ids) -> None:
    cache = solera_cache(llama, budget=0.25, method="h2o", spare=(0, -1))
    _, logits = generate(llama, ids, cache, tokens=4)
    assert cache.physical_lengths == (35, 9, 35)
    assert torch.isfinite(logits).all()
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], 1)
    again = solera_cache(llama, budget=0.25, method="h2o", spare=(0, -1))
    _, found = generate(llama, padded, again, (padded > 0).long(), tokens=4)
    assert_close(found, logits, atol=1e-4, rtol=1e-4)


def test_sampling_and_beams(llama, ids) -> None:
    torch.manual_seed(0)
    cache = solera_cache(llama, budget=0.5, method="kvmerger", size="attention")
    drawn = llama.generate(ids, past_key_values=cache, max_new_tokens=6, do_sample=True, num_return_sequences=3)
    assert drawn.shape == (3, 38)
    cache = solera_cache(llama, budget=0.5, method="h2o")
    beams = llama.generate(ids, past_key_values=cache, max_new_tokens=6, do_sample=False, num_beams=3)
    assert beams.shape == (1, 38)
    assert max(cache.physical_lengths) <= 19


def test_votes_reach_the_attention() -> None:
    """One token again and again between others, merged and counted: the model does not notice in its first layer."""
    model = decoder(layers=1)
    text = torch.tensor([[3, 9, 11, *[7] * 17]])
    nowhere = torch.zeros_like(text)
    cache = solera_cache(model, budget=8, method="kvmerger", size="attention", slack=0, recent=0.0, heavy=0.0)
    with torch.no_grad():
        model(text, past_key_values=cache, position_ids=nowhere)
        found = model(text[:, :1], past_key_values=cache, position_ids=nowhere[:, :1]).logits
        want = model(torch.cat([text, text[:, :1]], 1), position_ids=torch.zeros(1, 21, dtype=torch.long)).logits
    votes = cache.layers[0].shelf.entries.votes
    assert votes.sum(-1).tolist() == [[21.0, 21.0]]
    assert votes[..., :3].unique().tolist() == [1.0]
    assert_close(found[:, -1], want[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["window", "h2o"])
def test_what_left_the_window_is_not_seen(method, ids) -> None:
    """Between two reductions entries leave the model's window: full attention, with mask and window, says the same."""
    model = decoder("mistral", layers=1)
    cache, plain = solera_cache(model, budget=10, method=method, slack=0.5), DynamicCache()
    model(ids, past_key_values=cache)
    model(ids, past_key_values=plain)
    outside = 0
    for step, token in enumerate(torch.randint(1, VOCAB, (5, 1, 1))):
        found = model(token, past_key_values=cache).logits
        length = ids.shape[1] + step + 1
        places = cache.layers[0].shelf.entries.places.long()
        kept = torch.zeros(1, 2, length, dtype=torch.bool).scatter(2, places, value=True)
        outside += int(kept[..., : length - 12].sum())
        kept[..., : length - 12] = False
        mask = torch.zeros(1, 4, 1, length).masked_fill(~kept.repeat_interleave(2, 1)[:, :, None], -torch.inf)
        assert_close(found, model(token, past_key_values=plain, attention_mask=mask).logits, atol=1e-5, rtol=1e-5)
    assert outside > 0


def test_context_gives_every_cache_a_budget(llama, ids) -> None:
    plain, _ = generate(llama, ids)
    with budgeted(llama, budget=0.25, method="h2o") as opened:
        found, _ = generate(llama, ids)
        assert max(physical_lengths(opened.last)) <= 11
        small = nbytes(opened.last)
    _, again = generate(llama, ids), opened.last
    assert torch.equal(_[0], plain)
    assert not torch.equal(found, plain)
    assert small < 0.35 * 3 * 2 * 2 * 43 * 8 * 4
    assert again is opened.last


def test_hooks_go_with_the_cache(ids) -> None:
    model = decoder.__wrapped__("llama", 1)
    first, second = solera_cache(model, budget=0.5), solera_cache(model, budget=0.2)
    assert len(model.model._forward_pre_hooks) == 1
    model(ids, past_key_values=first)
    model(ids, past_key_values=second)
    assert model.config._attn_implementation == "sdpa"
    del first
    gc.collect()
    assert len(model.model._forward_pre_hooks) == 1
    del second
    gc.collect()
    assert len(model.model._forward_pre_hooks) == len(model.model._forward_hooks) == 0


def test_only_last_queries_count(llama, ids) -> None:
    cache = solera_cache(llama, budget=60, method="h2o", observe=4)
    llama(ids, past_key_values=cache)
    assert_close(cache.layers[0].shelf.entries.scores.sum(-1), torch.full((1, 2), 4.0))


def test_reset_forgets(llama, ids) -> None:
    cache = solera_cache(llama, budget=0.5, method="h2o")
    first = llama(ids, past_key_values=cache).logits
    cache.reset()
    assert (cache.logical_length, cache.physical_lengths) == (0, (0, 0, 0))
    assert torch.equal(llama(ids, past_key_values=cache).logits, first)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_reaches_its_number_while_writing(kind, method, ids) -> None:
    """A row gives the same whether the others were reduced before it or not."""
    model = of(kind)
    batch = torch.cat([ids[:, :20], torch.nn.functional.pad(ids[:, :7], (13, 0))])
    mask = torch.ones_like(batch)
    mask[1, :13] = 0
    _, both = generate(model, batch, solera_cache(model, budget=10, method=method), mask, tokens=8)
    _, alone = generate(model, ids[:, :7], solera_cache(model, budget=10, method=method), tokens=8)
    assert_close(both[1], alone[0], atol=2e-4, rtol=2e-4)
