"""A folder put together from a merge by hand loads with transformers and speaks both vocabularies."""

import json

import pytest
import torch

from solera.checkpoints import FileReader, open_checkpoint
from solera.methods.vocab import build_tokenizer, embedding_source, read_vocabulary, row_plan, union
from solera.reconcile import reconcile_config, write_side_files
from solera.types import DType, ModelRef

pytest.importorskip("transformers")
pytestmark = pytest.mark.end_to_end

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


@pytest.fixture(params=["bpe", "unigram", "wordpiece"])
def folders(request, tmp_path):
    from solera.testing.models import build, tokenizer
    from solera.testing.tokenizers import vocabularies

    first, second = vocabularies(request.param)
    base = build("llama", tmp_path / "base", vocab=72, tied=False)
    fine = build("llama", tmp_path / "fine", vocab=64, tied=False, seed=1)
    tokenizer(request.param, first, base, chat_template="{{ messages[0]['content'] }}")
    tokenizer(request.param, second, fine)
    return base, fine


def merged(models, plan):
    """The mean of two models, embedding rows matched by token."""
    out = {}
    with FileReader() as reader:
        for name in models[0].table:
            tables = [m.table[name] for m in models]
            if name in EMBEDDINGS:
                tables = [embedding_source(plan, i, tables) for i in range(2)]
            a, b = (t.read(reader, 0, t.spec.numel).reshape(t.spec.shape) for t in tables)
            out[name] = (a + b) / 2
    return out


def test_a_union_loads_and_every_token_has_its_row(folders, tmp_path):
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    models = [open_checkpoint(ModelRef(str(f))) for f in folders]
    vocabularies = [read_vocabulary(m.folder, m.config) for m in models]
    output = union(vocabularies)
    plan = row_plan(output, vocabularies, base=0, pad_to_multiple_of=40)
    tensors = merged(models, plan)
    config = reconcile_config(models[0].config, dtype=DType.F32, vocab_size=plan.rows, patch=models[0].config_patch)
    out = tmp_path / "out"
    write_side_files(
        out,
        models[0],
        config,
        tokenizer=build_tokenizer(output, folders[0]),
        vocabularies=(vocabularies[0], output),
    )
    save_file(tensors, out / "model.safetensors", {"format": "pt"})

    made, info = AutoModelForCausalLM.from_pretrained(out, local_files_only=True, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert tokenizer.get_vocab() == dict(output.tokens)
    assert tokenizer.chat_template == "{{ messages[0]['content'] }}"
    assert (
        made.get_input_embeddings().weight.shape[0]
        == plan.rows
        == json.loads((out / "config.json").read_text())["vocab_size"]
    )

    parents = [
        AutoModelForCausalLM.from_pretrained(f, local_files_only=True).get_input_embeddings().weight for f in folders
    ]
    rows = made.get_input_embeddings().weight
    for token, number in tokenizer.get_vocab().items():
        a, b = (v.tokens.get(token) for v in vocabularies)
        own = [p[i] for p, i in zip(parents, (a, b), strict=True) if i is not None]
        torch.testing.assert_close(rows[number], sum(own) / len(own))
    for number in range(output.size, plan.rows):
        torch.testing.assert_close(rows[number], parents[0][:64].mean(0), rtol=1e-5, atol=1e-6)
