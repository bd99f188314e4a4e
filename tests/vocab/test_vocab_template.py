"""Chat templates: read, chosen, rendered, written."""

import json

import pytest

from solera.errors import BadParameter
from solera.methods.vocab import Templates, choose_template, read_templates, with_template
from solera.methods.vocab.named_templates import TEMPLATES

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]

RENDERED = {
    "chatml": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "alpaca": "Be kind.\n\n### Instruction:\nHi\n\n### Response:\nHello.\n\n### Instruction:\nBye\n\n### Response:\n",
    "mistral": "<s>[INST] Be kind.\n\nHi [/INST] Hello.</s>[INST] Bye [/INST]",
    "exaone": "[|system|]Be kind.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello.[|endofturn|]\n[|user|]Bye\n[|assistant|]",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_named_templates_render(name):
    sandbox = pytest.importorskip("jinja2.sandbox")
    template = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATES[name])
    assert (
        template.render(messages=TALK, add_generation_prompt=True, bos_token="<s>", eos_token="</s>") == RENDERED[name]
    )
    assert "Hello." in template.render(messages=TALK[1:3])


def test_the_file_wins_over_the_field(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ field }}"}))
    assert read_templates(tmp_path).default == "{{ field }}"
    (tmp_path / "chat_template.jinja").write_text("{{ file }}")
    found = read_templates(tmp_path, "org/model")
    assert found.default == "{{ file }}"
    assert "org/model" in found.notes[0]
    (tmp_path / "chat_template.jinja").write_text("{{ field }}")
    assert read_templates(tmp_path).notes == ()


def test_several_named_templates(tmp_path):
    field = [{"name": "default", "template": "{{ a }}"}, {"name": "tool_use", "template": "{{ b }}"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": field}))
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("{{ c }}")
    assert read_templates(tmp_path).by_name == {"default": "{{ a }}", "tool_use": "{{ b }}", "rag": "{{ c }}"}


def test_processor_templates_are_found(tmp_path):
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "{{ p }}"}))
    assert read_templates(tmp_path).default == "{{ p }}"


def test_auto_takes_the_commonest():
    a, b, none = Templates({"default": "{{ a }}"}), Templates({"default": "{{ b }}"}), Templates({"default": " "})
    assert choose_template("auto", [a, b, b]) == "{{ b }}"
    assert choose_template("auto", [a, b]) == "{{ a }}"
    assert choose_template("auto", [none, none, b]) == "{{ b }}"
    assert choose_template("auto", [none]) is None
    assert choose_template(None, [a]) is None


def test_names_text_and_mistakes():
    assert choose_template("chatml", []) == TEMPLATES["chatml"]
    assert choose_template("{{ own }}", []) == "{{ own }}"
    with pytest.raises(BadParameter, match="chatml"):
        choose_template("chatlm", [])


def test_written_in_every_place():
    files = {
        "tokenizer_config.json": json.dumps({"chat_template": "{{ old }}", "é": 1}).encode(),
        "chat_template.json": b'{"chat_template": "{{ old }}"}',
        "additional_chat_templates/rag.jinja": b"{{ old }}",
        "tokenizer.json": b"{}",
    }
    out = with_template(files, "{{ new }}")
    assert json.loads(out["tokenizer_config.json"]) == {"chat_template": "{{ new }}", "é": 1}
    assert json.loads(out["chat_template.json"]) == {"chat_template": "{{ new }}"}
    assert out["chat_template.jinja"] == b"{{ new }}"
    assert set(out) == {"tokenizer_config.json", "chat_template.json", "chat_template.jinja", "tokenizer.json"}


def test_loaded_by_transformers(tmp_path):
    pytest.importorskip("transformers")
    from made_tokenizers import KINDS, WORDS, save
    from transformers import AutoTokenizer

    from solera.methods.vocab import build_tokenizer, read_vocabulary

    folder = save(tmp_path / "m", KINDS["bpe"](WORDS, 1), template="{{ old }}")
    built = build_tokenizer(read_vocabulary(folder), folder, template=TEMPLATES["chatml"])
    for name, data in built.files.items():
        (tmp_path / name).write_bytes(data)
    made = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert made.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True) == RENDERED["chatml"]
