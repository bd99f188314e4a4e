"""The engine's promises: the same bits however the work is cut, nested merges in one pass, nothing lost."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import solera
from solera.errors import NonFinite, NoSpace, RunError, SourceChanged, TargetInUse
from solera.recipe.values import Merge, Operand, Output, Recipe
from solera.types import DType
from tests.conftest import llama_config, recipe, ref, tensors, write_model
from tests.execute.cases import METHODS


@pytest.mark.parametrize(("method", "variant", "based", "parameters"), METHODS)
def test_the_same_bits_for_every_cut(zoo, tmp_path, method, variant, based, parameters):
    z = zoo(vocab=6000)  # the embedding is larger than one cell
    made = recipe(method, [z["e0"], z["e1"], z["e2"]], base=z["base"] if based else None, variant=variant, **parameters)
    digests = {
        solera.merge(made, tmp_path / f"out{i}", threads=threads, memory=memory).digest
        for i, (threads, memory) in enumerate([(1, None), (2, None), (2, 88 << 20), (1, 76 << 20)])
    }
    assert len(digests) == 1


@pytest.mark.parametrize(("method", "variant", "based", "parameters"), METHODS)
def test_the_order_of_models_does_not_matter_where_the_card_says_so(zoo, tmp_path, method, variant, based, parameters):
    z = zoo()
    base = z["base"] if based else None
    assert solera.methods()[method].symmetric
    solera.merge(
        recipe(method, [z["e0"], z["e1"], z["e2"]], base=base, variant=variant, **parameters), tmp_path / "abc"
    )
    solera.merge(
        recipe(method, [z["e2"], z["e0"], z["e1"]], base=base, variant=variant, **parameters), tmp_path / "cab"
    )
    one, two = tensors(tmp_path / "abc"), tensors(tmp_path / "cab")
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=2e-6, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("variant", [None, "official"])
def test_a_merge_of_merges_equals_the_two_steps(zoo, tmp_path, variant):
    z = zoo()
    inner = Merge(
        "ties",
        (Operand(ref(z["e0"])), Operand(ref(z["e1"]))),
        base=ref(z["base"]),
        parameters={"density": 0.4},
        variant=variant,
    )
    report = solera.merge(recipe("linear", [inner, z["e2"]]), tmp_path / "nested")
    assert report.intermediate_bytes == 0
    solera.merge(Recipe(inner), tmp_path / "step")
    solera.merge(recipe("linear", [tmp_path / "step", z["e2"]]), tmp_path / "two")
    one, two = tensors(tmp_path / "nested"), tensors(tmp_path / "two")
    assert all((one[n] == two[n]).all() for n in two)


def test_an_inner_summary_and_an_outer_summary_nest(zoo, tmp_path):
    z = zoo()
    inner = Merge("ties", (Operand(ref(z["e0"])), Operand(ref(z["e1"]))), base=ref(z["base"]), variant="official")
    outer = recipe("ties", [inner, z["e2"]], base=z["base"], variant="official")
    stages = solera.plan(outer).stages
    assert [s.step_name for s in stages] == ["trim", "elect_sign"] * 2
    assert stages[0].key[0] != stages[2].key[0]
    solera.merge(outer, tmp_path / "nested")
    solera.merge(Recipe(inner), tmp_path / "step")
    solera.merge(recipe("ties", [tmp_path / "step", z["e2"]], base=z["base"], variant="official"), tmp_path / "two")
    one, two = tensors(tmp_path / "nested"), tensors(tmp_path / "two")
    assert all((one[n] == two[n]).all() for n in two)


def test_a_value_that_is_not_finite_is_named(zoo, tmp_path):
    z = zoo()
    bad = tensors(z["e1"])
    bad["model.layers.2.mlp.up_proj.weight"][3, 4] = np.nan
    write_model(z["e1"], bad, llama_config())
    made = recipe("linear", [z["e0"], z["e1"]])
    with pytest.raises(NonFinite, match=r"model\.layers\.2\.mlp\.up_proj\.weight") as caught:
        solera.merge(made, tmp_path / "out")
    assert f"element {3 * 16 + 4}" in caught.value.fault.where
    assert not (tmp_path / "out").exists()
    solera.merge(replace(made, nonfinite="keep"), tmp_path / "kept")
    assert np.isnan(tensors(tmp_path / "kept")["model.layers.2.mlp.up_proj.weight"][3, 4])


def test_half_precision_that_overflows_is_refused(zoo, tmp_path):
    z = zoo()
    big = {n: v * 1e6 for n, v in tensors(z["e0"]).items()}
    write_model(z["e0"], big, llama_config())
    made = replace(recipe("linear", [z["e0"], z["e1"]]), output=Output(dtype=DType.F16))
    with pytest.raises(NonFinite, match="float16"):
        solera.merge(made, tmp_path / "out")


def test_a_target_with_files_is_kept(zoo, tmp_path):
    z = zoo()
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    (out / "config.json").write_text("{}")
    made = recipe("linear", [z["e0"], z["e1"]])
    with pytest.raises(TargetInUse, match="not empty"):
        solera.merge(made, out)
    assert (out / "mine.txt").read_text() == "keep"
    solera.merge(made, out, force=True)
    assert not (out / "mine.txt").exists()
    assert (out / "model.safetensors").exists()
    assert not list(tmp_path.glob(".out.solera"))


def test_force_keeps_the_old_folder_when_the_run_fails(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    solera.merge(made, tmp_path / "out")
    before = tensors(tmp_path / "out")
    bad = tensors(z["e1"])
    bad["lm_head.weight"][0, 0] = np.inf
    write_model(z["e1"], bad, llama_config())
    with pytest.raises(NonFinite):
        solera.merge(made, tmp_path / "out", force=True)
    assert all((before[n] == v).all() for n, v in tensors(tmp_path / "out").items())


def test_a_second_writer_is_refused(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    seen = []

    def intrude(event):
        if event.kind == "progress" and not seen:
            seen.append(event)
            with pytest.raises(TargetInUse, match="another run"):
                solera.merge(made, tmp_path / "out")

    solera.merge(made, tmp_path / "out", threads=1, on_event=intrude)
    assert seen


def test_a_source_replaced_while_it_is_read_is_noticed(zoo, tmp_path):
    z = zoo()
    seen = []

    def replace_model(event):
        if event.kind == "progress" and not seen:
            seen.append(event)
            write_model(z["e1"], {n: v + 1 for n, v in tensors(z["e1"]).items()}, llama_config())

    with pytest.raises(SourceChanged):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", threads=1, on_event=replace_model)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_at_the_target(zoo, tmp_path):
    z = zoo(vocab=6000)
    script = f"""
        import resource, solera
        from solera.errors import NoSpace
        from tests.conftest import recipe
        from pathlib import Path
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            solera.merge(recipe("linear", [Path({str(z["e0"])!r}), Path({str(z["e1"])!r})]), {str(tmp_path / "out")!r})
        except NoSpace as error:
            print(error.fault.what)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    assert "not enough space" in done.stdout, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_noticed_before_the_first_byte(zoo, tmp_path, monkeypatch):
    z = zoo()
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(NoSpace, match="too small"):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out")


def test_a_target_that_cannot_be_written_says_so(zoo, tmp_path):
    z = zoo()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "file" / "out")


KILLER = """
    import os, sys, random, solera
    from pathlib import Path
    from tests.conftest import recipe
    zoo, out, after = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    made = recipe("ties", [zoo / "e0", zoo / "e1", zoo / "e2"], base=zoo / "base", variant="official", density=0.3)
    count = 0
    def die(event):
        global count
        count += event.kind == "progress"
        if count == after:
            os.kill(os.getpid(), 9)
    solera.merge(made, out, threads=2, resume=True, on_event=die)
"""


@pytest.mark.parametrize("after", [1, 30, 70, 95, 112])
def test_a_killed_run_resumes_to_the_same_bytes(zoo, tmp_path, after):
    z = zoo()
    made = recipe("ties", [z["e0"], z["e1"], z["e2"]], base=z["base"], variant="official", density=0.3)
    whole = solera.merge(made, tmp_path / "whole")
    out = tmp_path / "out"
    script = textwrap.dedent(KILLER)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(out), str(after)], check=False, cwd=Path.cwd()
    )
    assert done.returncode == -9
    assert not out.exists()
    again = solera.merge(made, out, resume=True)
    assert again.digest == whole.digest
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    tasks = len(solera.plan(made).outputs)
    stages = len(solera.plan(made).stages)
    if after > stages * tasks + 4:  # so small a population is ranked in one sweep
        assert again.summaries_resumed == stages
        assert again.chunks_resumed > 0
        assert again.bytes_read < whole.bytes_read / 2


def test_a_run_without_resume_starts_again(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])

    class Stop(Exception):
        pass

    def stop(event):
        if event.kind == "progress":
            raise Stop

    with pytest.raises(Stop):
        solera.merge(made, tmp_path / "out", threads=1, on_event=stop)
    assert solera.merge(made, tmp_path / "out").chunks_resumed == 0


def test_control_c_leaves_a_resumable_run(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    count = []

    def stop(event):
        if event.kind == "progress":
            count.append(1)
            if len(count) == 5:
                raise KeyboardInterrupt

    with pytest.raises(solera.errors.Interrupted, match="nothing at the target has changed"):
        solera.merge(made, tmp_path / "out", threads=1, on_event=stop)
    assert not (tmp_path / "out").exists()
    assert solera.merge(made, tmp_path / "out", resume=True).chunks_resumed == 5


def test_resume_with_another_recipe_starts_again(zoo, tmp_path):
    z = zoo()

    def stop(event):
        if event.kind == "progress" and event.done > 1000:
            raise KeyboardInterrupt

    with pytest.raises(solera.errors.Interrupted):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", threads=1, on_event=stop)
    assert solera.merge(recipe("linear", [z["e0"], z["e2"]]), tmp_path / "out", resume=True).chunks_resumed == 0


def test_force_never_replaces_what_the_run_needs(zoo, tmp_path, monkeypatch):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    before = sorted(p for p in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    for target in (tmp_path, z["e0"], z["e1"] / ".." / "e1"):
        with pytest.raises(TargetInUse, match="this run needs"):
            solera.merge(made, target, force=True)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "diary.txt").write_text("mine")
    with pytest.raises(TargetInUse, match="not a model folder"):
        solera.merge(made, notes, force=True)
    (notes / "diary.txt").unlink()
    notes.rmdir()
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_a_failed_run_leaves_nothing_that_cannot_be_resumed(zoo, tmp_path):
    z = zoo()
    bad = tensors(z["e1"])
    bad["model.embed_tokens.weight"][0, 0] = np.nan
    bad["lm_head.weight"][0, 0] = np.nan
    write_model(z["e1"], bad, llama_config())
    with pytest.raises(NonFinite) as caught:
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", threads=1)
    assert caught.value.exit_code == 3
    assert not list(tmp_path.glob(".out*"))


def test_resuming_a_complete_target_does_nothing(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    first = solera.merge(made, tmp_path / "out")
    stamp = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    again = solera.merge(made, tmp_path / "out", resume=True)
    assert again.digest == first.digest
    assert again.bytes_written == 0
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == stamp


def broken(name, step):
    from solera.ops.contract import Step, chain
    from solera.registry import method
    from solera.types import ELEMENT, WEIGHT

    @method(name, space=WEIGHT >> WEIGHT, grain=ELEMENT, symmetric=True, numeric="exact")
    def make():
        """A method with a fault."""
        return chain(Step("odd", step))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda s, _: s, "does not end in one model"),
        (lambda s, _: s.reduced(s.values[0] / (1 // 0)), "failed in its step `odd`"),
    ],
)
def test_a_method_at_fault_is_named(zoo, tmp_path, step, said):
    from solera.registry import table

    z = zoo()
    broken("at_fault", step)
    try:
        with pytest.raises(RunError, match=said):
            solera.merge(recipe("at_fault", [z["e0"], z["e1"]]), tmp_path / "out")
    finally:
        del table.REGISTERED["at_fault"]
