"""The staging folder gets every file that the model needs, and nothing else."""

import json

import pytest

from solera.checkpoints.contract import Checkpoint
from solera.errors import RunError, UnsafeFile
from solera.methods.vocab import BuiltTokenizer, Vocabulary
from solera.reconcile import digests, side_files, write_side_files
from solera.types import ModelRef

FILES = {
    "tokenizer.json": "{}",
    "tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["tokenization_x.X", null]}, "chat_template": "{{ old }}"}',
    "generation_config.json": '{"eos_token_id": 1, "temperature": 0.5}',
    "preprocessor_config.json": '{"size": 8}',
    "chat_template.jinja": "{{ old }}",
    "modeling_x.py": "x = 1",
    "1_Pooling/config.json": "{}",
    "LICENSE": "terms",
    "USE_POLICY.md": "policy",
    "README.md": "# card",
    "trainer_state.json": "{}",
    "optimizer.pt": "x",
    "plot.png": "x",
    "solera.json": "{}",
    "mergekit_config.yml": "x",
    "model.safetensors.index.json": "{}",
}
KEPT = {
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "chat_template.jinja",
    "1_Pooling/config.json",
    "LICENSE",
    "USE_POLICY.md",
}


@pytest.fixture
def layout(tmp_path):
    folder = tmp_path / "in"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Checkpoint(ModelRef(str(folder)), {}, {"model_type": "x"}, folder, tuple(FILES))


def names_in(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_everything_needed_and_nothing_else(layout, tmp_path):
    out = tmp_path / "out"
    written = write_side_files(
        out, layout, {"model_type": "x"}, texts={"README.md": "# new", "solera_recipe.yaml": "é"}
    )
    assert names_in(out) == KEPT | {"config.json", "README.md", "solera_recipe.yaml"}
    assert set(written.names) == names_in(out)
    assert (out / "README.md").read_text() == "# new"
    assert (out / "solera_recipe.yaml").read_text(encoding="utf-8") == "é"
    for name in KEPT - {"tokenizer_config.json"}:
        assert (out / name).read_bytes() == (layout.folder / name).read_bytes()
    assert {d.name for d in written.decisions} == set(FILES)
    assert all(d.reason for d in written.decisions)


def test_code_only_when_asked(layout, tmp_path):
    kept = write_side_files(tmp_path / "kept", layout, {}, copy_code=True)
    assert (tmp_path / "kept" / "modeling_x.py").read_text() == "x = 1"
    assert (tmp_path / "kept" / "tokenizer_config.json").read_text() == FILES["tokenizer_config.json"]
    assert not any("code" in note for note in kept.notes)
    left = write_side_files(tmp_path / "left", layout, {})
    assert "modeling_x.py" in left.notes[0]
    assert "auto_map" not in json.loads((tmp_path / "left" / "tokenizer_config.json").read_text())
    assert not (tmp_path / "left" / "config.json").exists()


def test_a_new_tokenizer_replaces_the_old_files(layout, tmp_path):
    built = BuiltTokenizer({"tokenizer.json": b'{"new": 1}'}, ("a note",))
    written = write_side_files(tmp_path / "out", layout, {}, tokenizer=built)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == b'{"new": 1}'
    assert not (tmp_path / "out" / "tokenizer_config.json").exists()
    assert "a note" in written.notes
    assert {d.name for d in written.decisions if d.action == "write"} >= {"tokenizer.json", "chat_template.jinja"}


def test_a_template_alone_goes_into_the_copied_tokenizer(layout, tmp_path):
    write_side_files(tmp_path / "out", layout, {}, template="{{ new }}")
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ new }}"
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["chat_template"] == "{{ new }}"
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"


def test_token_ids_of_the_generation_config_move(layout, tmp_path):
    vocabularies = Vocabulary({"a": 0, "</s>": 1}), Vocabulary({"</s>": 0, "a": 1})
    write_side_files(tmp_path / "out", layout, {}, vocabularies=vocabularies)
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {
        "eos_token_id": 0,
        "temperature": 0.5,
    }


def test_large_files_stay_and_are_named(layout, tmp_path, monkeypatch):
    monkeypatch.setattr("solera.reconcile.choosing.LARGEST_BYTES", 5)
    (layout.folder / "blob.dat").write_text("123456")
    dropped = {f.name: f.reason for f in side_files(layout.folder, ["blob.dat", "small.dat"]) if f.action == "drop"}
    assert "too large" in dropped["blob.dat"]
    assert "small.dat" not in dropped


def test_links_out_of_the_folder_are_refused(layout, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("s")
    (layout.folder / "vocab.txt").symlink_to(secret)
    escaping = Checkpoint(layout.ref, {}, {}, layout.folder, ("vocab.txt",))
    with pytest.raises(UnsafeFile):
        write_side_files(tmp_path / "out", escaping, {})
    up = Checkpoint(layout.ref, {}, {}, layout.folder, ("../secret.txt",))
    with pytest.raises(UnsafeFile):
        write_side_files(tmp_path / "out", up, {})


def test_a_file_in_the_way_is_an_error_in_house_form(layout, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1_Pooling").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"):
        write_side_files(tmp_path / "out", layout, {})


def test_digests_are_of_the_bytes(tmp_path):
    (tmp_path / "a").write_text("abc")
    assert digests(tmp_path, ["a"]) == {"a": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}


def test_a_model_in_memory_has_no_side_files(tmp_path):
    written = write_side_files(tmp_path, Checkpoint(ModelRef("memory"), {}), {"a": 1}, template="{{ x }}")
    assert written.names == ("config.json",)
