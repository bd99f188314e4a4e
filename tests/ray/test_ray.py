"""The backend `ray` on a real cluster of two nodes of this machine: the same bytes as threads, whatever is lost."""

import os
import shutil
import tempfile
import textwrap

import pytest

import solera
from solera import registry
from solera.app.analyzing import analyze
from solera.errors import Interrupted, NonFinite, RunError, SourceChanged
from solera.execute.many import batches
from solera.recipe.values import Merge, Operand
from tests.budget.conftest import asked, base_tensors, changed, save
from tests.conftest import llama_config, recipe, ref, tensors, write_model

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]
CONFIG = {  # a lost node is noticed within seconds; workers compete like other processes
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
    "worker_niceness": 0,
}
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    logs = tempfile.mkdtemp(prefix="r", dir="/tmp")  # sockets lie in it, and their paths must be short
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": logs}
    made = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": CONFIG})
    made.second = made.add_node(**NODE)
    ray.init(address=made.address, log_to_driver=False, configure_logging=False)
    yield made
    ray.shutdown()
    made.shutdown()
    shutil.rmtree(logs, ignore_errors=True)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """So that a tiny model is more than one batch."""
    monkeypatch.setattr(batches, "LEAST", 1)


def both(made, tmp_path, **options):
    """Merge by threads and by the cluster; the files must be the same."""
    one = solera.merge(made, tmp_path / "threads", threads=2)
    two = solera.merge(made, tmp_path / "ray", backend="ray", **options)
    assert two.digest == one.digest
    assert weights(tmp_path / "ray") == weights(tmp_path / "threads")
    assert not list(tmp_path.glob(".*solera"))
    return one, two


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("method", "variant", "parameters"),
    [
        ("linear", None, {}),
        ("ties", None, {"density": 0.3}),
        ("ties", "official", {"density": 0.3}),  # whole-model summaries in rounds
        ("dare_ties", None, {"density": 0.5}),
        ("widen", None, {}),  # no kernel
    ],
)
def test_the_bytes_are_those_of_threads(cluster, zoo, tmp_path, method, variant, parameters):
    z = zoo()
    based = solera.methods()[method].base != "none"
    made = recipe(method, [z["e0"], z["e1"], z["e2"]], base=z["base"] if based else None, variant=variant, **parameters)
    one, two = both(made, tmp_path)
    assert two.bytes_read >= one.bytes_read > 0
    assert two.bytes_written == one.bytes_written
    assert two.warnings == one.warnings


def test_nested_merges_and_events(cluster, zoo, tmp_path):
    z = zoo()
    inner = Merge("ties", (Operand(ref(z["e0"])), Operand(ref(z["e1"]))), base=ref(z["base"]), variant="official")
    seen = []
    made = recipe("ties", [inner, z["e2"]], base=z["base"], variant="official")
    both(made, tmp_path, on_event=seen.append, workers=1)
    assert seen[0].kind == "started"
    assert seen[-1].kind == "finished"
    for stage in ("summary", "write"):
        told = [e for e in seen if e.kind == "progress" and e.stage == stage]
        assert told[-1].done <= told[-1].total
    assert told[-1].done == told[-1].total


def test_a_budget_holds_for_all_workers_together(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))
    base = base_tensors()
    zoo = {
        "base": save(tmp_path / "base", base),
        **{e: save(tmp_path / e, changed(base, k)) for k, e in enumerate(("e0", "e1"))},
    }
    analyze([zoo["e0"], zoo["e1"]], zoo["base"], threads=1)
    made = asked("ties", zoo, "25%", density=0.3)
    one, two = both(made, tmp_path)
    assert two.budget["read"] == one.budget["read"] <= one.budget["limit"]


@pytest.mark.parametrize("first", ["threads", "ray"])
def test_a_stopped_run_goes_on_whoever_began_it(cluster, zoo, tmp_path, first):
    z = zoo()
    made = recipe("ties", [z["e0"], z["e1"], z["e2"]], base=z["base"], variant="official", density=0.3)
    whole = solera.merge(made, tmp_path / "whole")

    def stop(event):
        if event.stage == "write" and event.done > event.total // 2:
            raise KeyboardInterrupt

    begin = {"threads": 1} if first == "threads" else {"backend": "ray"}
    with pytest.raises(Interrupted):
        solera.merge(made, tmp_path / "out", on_event=stop, **begin)
    second = {"threads": 1} if first == "ray" else {"backend": "ray"}
    again = solera.merge(made, tmp_path / "out", resume=True, **second)
    assert again.digest == whole.digest
    assert again.chunks_resumed > 0
    assert again.summaries_resumed > 0
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )


PLUGIN = """
    import os, time
    from pathlib import Path
    import solera
    from solera.ops.contract import Chain, Step, chain
    from solera.types import ELEMENT, WEIGHT

    FLAGS = Path(__file__).parent

    @solera.method("{name}", space=WEIGHT >> WEIGHT, grain=ELEMENT, symmetric=True, numeric="exact")
    def make() -> Chain:
        '''The mean, slowly, or with accidents.'''
        def mean(stack, facts):
            if (FLAGS / "slow").exists():
                time.sleep(0.1)
            if (FLAGS / "deadly").exists():
                (FLAGS / "deadly").unlink()
                os.kill(os.getpid(), 9)
            return stack.reduced(stack.values.mean(0))
        return chain(Step("mean", mean))
"""


@pytest.fixture
def plugin(tmp_path):
    name = f"mean_of_{tmp_path.name}"
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(PLUGIN.format(name=name)))
    registry.load_plugin(file)
    yield name, file
    del registry.table.REGISTERED[name]
    registry.lookup._PLUGINS.clear()


def test_a_killed_worker_is_replaced(cluster, zoo, tmp_path, plugin):
    z = zoo()
    name, file = plugin
    made = recipe(name, [z["e0"], z["e1"]])
    whole = solera.merge(made, tmp_path / "whole", threads=1)
    (file.parent / "deadly").touch()
    seen = []
    report = solera.merge(made, tmp_path / "out", backend="ray", on_event=seen.append)
    assert not (file.parent / "deadly").exists()
    assert report.digest == whole.digest
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert any("was lost" in e.message for e in seen if e.kind == "warning")
    assert any("run again" in note for note in report.warnings)


def test_a_cluster_without_the_plugin_is_refused(cluster, zoo, tmp_path, plugin):
    z = zoo()
    name, file = plugin
    text = file.read_text()
    for change, said in ((lambda: file.write_text(text + "# other"), "text "), (file.unlink, "missing")):
        change()
        with pytest.raises(RunError, match=r"does not have what the coordinator has|not fit") as caught:
            solera.merge(recipe(name, [z["e0"], z["e1"]]), tmp_path / "out", backend="ray")
        assert f"plugin {file} {said}" in caught.value.fault.got
        assert "node " in str(caught.value.fault)
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".out*"))


def test_other_versions_on_a_node_are_refused(cluster, zoo, tmp_path):
    z = zoo()
    fake = tmp_path / "site" / "numpy-0.0.1.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    odd = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(fake.parent)})
    try:
        with pytest.raises(RunError, match="does not have what the coordinator has") as caught:
            solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", backend="ray")
        assert caught.value.fault.got == "numpy 0.0.1"
        assert odd.node_id[:8] in caught.value.fault.where
    finally:
        cluster.remove_node(odd)
    assert not (tmp_path / "out").exists()


def test_errors_keep_their_parts_and_name_the_node(cluster, zoo, tmp_path):
    z = zoo()
    bad = tensors(z["e1"])
    bad["model.layers.2.mlp.up_proj.weight"][3, 4] = float("nan")
    write_model(z["e1"], bad, llama_config())
    with pytest.raises(NonFinite, match=r"model\.layers\.2\.mlp\.up_proj\.weight") as caught:
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", backend="ray")
    assert ", on node " in caught.value.fault.where
    assert not (tmp_path / "out").exists()


def test_a_source_that_changes_is_noticed(cluster, zoo, tmp_path):
    z = zoo()
    file = z["e1"] / "model.safetensors"

    def touch(event):
        if event.stage == "write":
            os.utime(file, (1, 1))

    with pytest.raises(SourceChanged, match=r"model\.safetensors"):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", backend="ray", on_event=touch)


def test_a_killed_node_is_survived(cluster, zoo, tmp_path, plugin):
    z = zoo()
    name, file = plugin
    made = recipe(name, [z["e0"], z["e1"], z["e2"]])
    whole = solera.merge(made, tmp_path / "whole", threads=2)
    (file.parent / "slow").touch()
    seen = []

    def kill(event):
        seen.append(event)
        if event.stage == "write" and cluster.second is not None:
            second, cluster.second = cluster.second, None
            cluster.remove_node(second, allow_graceful=False)
            (file.parent / "slow").unlink()

    report = solera.merge(made, tmp_path / "out", backend="ray", on_event=kill)
    assert report.digest == whole.digest
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert any("was lost" in e.message for e in seen if e.kind == "warning")
    assert cluster.second is None
