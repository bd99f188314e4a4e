"""Packs through the auto classes of transformers, in this process and in a new one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageClassification, AutoModelForSeq2SeqLM

from solera.errors import BadParameter
from solera.inference.routed import PackModel, load_pack

from .inputs import images, texts

NEW_PROCESS = """
import sys
import solera
assert not {{"torch", "transformers"}} & set(sys.modules), "import solera must stay cheap"
import torch
from transformers import AutoModelForCausalLM, AutoConfig
config = AutoConfig.from_pretrained({folder!r})
model, info = AutoModelForCausalLM.from_pretrained({folder!r}, output_loading_info=True, dtype="float32")
assert not any(info.values()), info
assert config.vocab_size == model.inner.config.vocab_size and list(model.tasks) == config.tasks
ids = torch.tensor({ids})
made = model.generate(ids, attention_mask=torch.ones_like(ids), task={tasks}, max_new_tokens=4, do_sample=False, pad_token_id=0)
print(made.tolist())
print(model(ids, task="two").logits.sum().item())
"""


def test_a_new_process_that_imports_solera_first(packed):
    folder, ids, tasks = packed("llama", "tall_mask"), texts(1, 3), ["two", "one", "two"]
    code = NEW_PROCESS.format(folder=str(folder), ids=ids.tolist(), tasks=tasks)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = load_pack(folder)
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    made, total = done.stdout.splitlines()[-2:]
    assert made == str(model.generate(ids, attention_mask=torch.ones_like(ids), task=tasks, **options).tolist())
    assert float(total) == pytest.approx(model(ids, task="two").logits.sum().item(), rel=1e-5)


def test_auto_classes_give_their_own_kind(packed):
    folder = packed("vit", "tall_mask")
    for auto in (AutoModel, AutoModelForImageClassification):
        model = auto.from_pretrained(folder)
        assert isinstance(model, PackModel)
        assert model(images(0, 2), task="one").logits.shape == (2, model.config.num_labels)
    with pytest.raises(BadParameter, match="no AutoModelForCausalLM"):
        AutoModelForCausalLM.from_pretrained(folder)


def test_the_way_of_attention_can_be_asked_for(packed):
    model = AutoModel.from_pretrained(packed("vit", "tall_mask"), attn_implementation="eager")
    assert model.inner.config._attn_implementation == "eager"


def test_options_that_a_pack_does_not_have(packed):
    with pytest.raises(BadParameter, match="quantization_config"):
        AutoModel.from_pretrained(packed("vit", "tall_mask"), quantization_config={"load_in_8bit": True})
    with pytest.raises(BadParameter, match="one device"):
        AutoModel.from_pretrained(packed("vit", "tall_mask"), device_map={"a": 0, "b": 1})


def test_language_models_generate_and_others_do_not(packed):
    assert load_pack(packed("llama", "tall_mask")).can_generate()
    assert not load_pack(packed("vit", "tall_mask")).can_generate()


def test_models_with_a_decoder_of_their_own(packed):
    model = AutoModelForSeq2SeqLM.from_pretrained(packed("t5", "tall_mask"))
    made = model.generate(texts(0, 2), task=["one", "two"], max_new_tokens=3)
    assert len(made) == 2
