"""Registering, finding, building."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Annotated, Literal

import pytest
import torch

from solera.errors import BadParameter, NotFound, SoleraError, UnknownName
from solera.ops.contract import Chain, Facts, Step, as_stack, chain, run_whole
from solera.registry import PerModel, Range, Weight, build, card, cards, load_plugin, lookup, method
from solera.types import DELTA, ELEMENT

FACTS = {"space": DELTA >> DELTA, "grain": ELEMENT, "base": "required", "symmetric": True, "numeric": "exact"}
VARIANTS = {"other": {"mode": "sum", "lambda": 0.5}}


def total(
    weight: PerModel[Weight] = 1.0, lambda_: Annotated[float, Range(0)] = 1.0, mode: Literal["mean", "sum"] = "mean"
) -> Chain:
    """Add up.

    out = lambda * sum_k w_k d_k

    Args:
        weight: per model.
    Differs: in nothing.
    """

    def apply(stack, facts):
        weights = weight if isinstance(weight, tuple) else (weight,) * stack.models
        result = sum(w * v for w, v in zip(weights, stack.values, strict=True))
        return stack.reduced(lambda_ * result / (stack.models if mode == "mean" else 1))

    return chain(Step("total", apply))


@pytest.fixture
def registered():
    return method("total", paper="arXiv:1", variants=VARIANTS, **FACTS)(total)


def run(made: Chain) -> list[float]:
    return run_whole(made, as_stack(torch.tensor([1.0]), torch.tensor([3.0])), Facts((1,))).tolist()


def test_the_card_says_what_the_function_says(registered):
    found = card("total")
    assert found.summary == "Add up."
    assert found.doc == "out = lambda * sum_k w_k d_k"
    assert found.deviations == ("in nothing.",)
    assert found.target == f"{__name__}:total"
    assert found.space == "delta >> delta"
    assert found.passes == 1
    assert [p.name for p in found.parameters] == ["weight", "lambda", "mode"]
    assert found.parameter("weight").doc == "per model."
    assert "total" in cards()


def test_build_applies_defaults_then_variant_then_parameters(registered):
    assert run(build("total")) == [2.0]
    assert run(build("total", variant="paper")) == [2.0]
    assert run(build("total", variant="other")) == [2.0]
    assert run(build("total", {"lambda": 1}, variant="other")) == [4.0]
    assert run(build("total", {"weight": [1, 0], "mode": "sum"})) == [1.0]


def test_the_function_stays_callable_and_checks_its_values(registered):
    assert run(registered((1.0, 0.0), lambda_=2.0)) == [1.0]
    with pytest.raises(BadParameter, match="`lambda` is not usable"):
        registered(lambda_=-1.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"lambda": -1},
            r"`lambda` is not usable\.\n  where: method total\n  got:   -1\n  want:  a number in \[0, inf\)",
        ),
        ({"weight": [1.0, "b"]}, r"`weight` is not usable(.|\n)*'b'"),
        ({"weight": None}, "`weight` is not usable"),
        ({"lambda": [1.0, 1.0]}, "the same for all models"),
        ({"mode": "summ"}, "did you mean `sum`"),
        ({"weigth": 1.0}, r"`weigth` is not a parameter(.|\n)*did you mean `weight`"),
    ],
)
def test_a_bad_parameter_is_named(registered, parameters, message):
    with pytest.raises(BadParameter, match=message):
        build("total", parameters)


def test_a_percentage_is_recognised():
    @method("cut", **FACTS)
    def cut(density: Annotated[float, Range(0, 1)]) -> Chain:
        """Cut."""
        return Chain(())

    with pytest.raises(BadParameter, match=r"for 20 % write 0\.2"):
        build("cut", {"density": 20})
    with pytest.raises(BadParameter, match=r"`density` is missing(.|\n)*want:  a number in \[0, 1\]"):
        build("cut")
    with pytest.raises(BadParameter, match="`density` is missing"):
        cut()
    assert card("cut").parameter("density").required


def test_unknown_names_suggest_the_nearest(registered):
    with pytest.raises(UnknownName, match="did you mean `total`"):
        card("totl")
    with pytest.raises(UnknownName, match=r"no variant `othr`(.|\n)*did you mean `other`"):
        build("total", variant="othr")


def test_another_function_may_not_take_a_name(registered):
    def other() -> Chain:
        """Another."""

    with pytest.raises(SoleraError, match=r"`total` is registered twice(.|\n)*already there: .*:total"):
        method("total", **FACTS)(other)


def test_a_built_in_name_is_taken_even_before_its_module_is_imported(monkeypatch):
    from solera.registry import table

    monkeypatch.setattr(
        table, "stored_cards", lambda: {"kept": lookup.Card("kept", "solera.methods.x:kept", *[""] * 12)}
    )
    with pytest.raises(SoleraError, match=r"already there: solera\.methods\.x:kept"):
        method("kept", **FACTS)(total)


def test_a_cell_run_again_replaces_its_method(registered):
    def make(text):
        def cell() -> Chain:
            return Chain(())

        cell.__doc__ = text
        method("cell", **FACTS)(cell)

    make("First.")
    make("Second.")
    assert card("cell").summary == "Second."


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"base": "maybe"}, "required, optional or none"),
        ({"idempotent": False}, "the reason why not"),
        ({"variants": {"v": {"wieght": 1}}}, r"`wieght` is not a parameter(.|\n)*variant v"),
        ({"variants": {"v": {"lambda": -1}}}, "`lambda` is not usable"),
    ],
)
def test_a_contradicting_declaration_is_refused(facts, message):
    with pytest.raises(SoleraError, match=message):
        method("total", **{**FACTS, **facts})(total)


def test_an_unknown_numeric_class_is_refused():
    with pytest.raises(ValueError, match="rough"):
        method("total", **{**FACTS, "numeric": "rough"})


PLUGIN = '''
from solera.ops.contract import Chain
from solera.registry import PerModel, Share, method
from solera.types import DELTA, ELEMENT

@method("plugged", space=DELTA >> DELTA, grain=ELEMENT, symmetric=True, numeric="exact")
def plugged(density: PerModel[Share] = 0.5) -> Chain:
    """From a file."""
    return Chain(())
'''


def test_a_plugin_file_registers_its_methods_and_may_be_loaded_again(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    assert load_plugin(file) == ("plugged",)
    assert load_plugin(file) == ("plugged",)
    assert card("plugged").parameter("density").per_model
    assert build("plugged") == Chain(())
    assert [*lookup.plugins(of=["plugged", "ties"])] == [str(file.resolve())]
    assert not lookup.plugins(of=["ties"])


@pytest.mark.parametrize(
    ("text", "message"), [("1 / 0", "fails when it is loaded(.|\n)*ZeroDivisionError"), ("", "registers no method")]
)
def test_a_useless_plugin_file(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(SoleraError, match=message):
        load_plugin(file)
    assert str(file.resolve()) not in lookup.plugins()


def test_a_missing_plugin_file(tmp_path):
    with pytest.raises(NotFound, match="no such plugin"):
        load_plugin(tmp_path / "none.py")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers a method, and one that is broken."""
    (tmp_path / "stranger_package.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    points = {}
    monkeypatch.setattr(lookup, "_entry_points", lambda: points)
    yield points
    sys.modules.pop("stranger_package", None)


def point(name: str, value: str) -> dict[str, EntryPoint]:
    return {name: EntryPoint(name, value, lookup.GROUP)}


def test_an_installed_package_is_asked_on_a_miss(package):
    package.update(point("plugged", "stranger_package:plugged"))
    assert build("plugged") == Chain(())


def test_an_installed_package_is_listed(package):
    package.update(point("plugged", "stranger_package:plugged"))
    assert cards()["plugged"].summary == "From a file."


def test_a_broken_package_is_left_out_of_the_list_and_named(package):
    package.update(point("gone", "no_such_package:gone"))
    with pytest.warns(UserWarning, match="method `gone` of no_such_package:gone cannot be loaded"):
        assert "gone" not in cards()


def test_a_package_that_registers_another_name(package):
    package.update(point("promised", "stranger_package:plugged"))
    with pytest.raises(SoleraError, match="registers no method of that name"):
        build("promised")


def test_entry_points_are_read_from_the_group():
    assert lookup._entry_points() == {}


def test_listing_imports_no_torch():
    code = "import sys; from solera.registry import cards; cards(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
