"""Good samples obey every law; for every law some sample breaks it."""

from __future__ import annotations

import pytest
import torch
from law_samples import BROKEN, GOOD, by_size, good_drop, good_norms, good_rows, good_sizes, one_step

from solera import registry
from solera.testing import LAWS, LawBroken, check_law, check_method_laws, optouts_table
from solera.testing.__main__ import main
from solera.testing.slicing import GROUPINGS, cut, run_cut
from solera.testing.trials import LARGE, inside, settings, spread_values, trial, usual
from solera.testing.verdict import distance, same_bits
from solera.types import CELL, ELEMENT, ROWS, TENSOR


@pytest.mark.parametrize("register", GOOD, ids=lambda register: register.__name__)
def test_a_good_method_obeys_every_law(register):
    register()
    check_method_laws(register.__name__)


def test_every_law_has_a_broken_sample():
    assert set(BROKEN) == set(LAWS)


@pytest.mark.parametrize(("law", "register"), [(law, sample) for law, samples in BROKEN.items() for sample in samples])
def test_a_broken_method_is_found(law, register):
    register()
    with pytest.raises(LawBroken):
        check_law("broken", law)


def test_all_broken_laws_are_listed_together():
    one_step(lambda s, f: s.reduced(s.values.mul_(2)[0].double()))
    with pytest.raises(LawBroken) as caught:
        check_method_laws("broken")
    for law in ("model_order_is_irrelevant", "dtype_and_shape_survive", "inputs_are_not_changed"):
        assert f"\n{law}: " in str(caught.value)
    assert "results_are_distinct" not in str(caught.value)


def test_a_method_that_fails_breaks_the_law():
    one_step(lambda s, f: s.reduced(s.values[7]))
    with pytest.raises(LawBroken, match=r"The method fails\.\n  got:   IndexError"):
        check_law("broken", "dtype_and_shape_survive")


def test_an_opt_out_silences_a_broken_law():
    one_step(lambda s, f: s.reduced(s.values.sum(0)), law_optouts={"self_merge_is_identity": "it adds up"})
    check_law("broken", "self_merge_is_identity")


def test_an_opt_out_that_is_not_needed_is_found():
    one_step(by_size().apply, law_optouts={"self_merge_is_identity": "it adds up"})
    with pytest.raises(LawBroken, match="opts out of `self_merge_is_identity` and obeys it"):
        check_law("broken", "self_merge_is_identity")


def test_an_opt_out_of_no_law_is_found():
    one_step(by_size().apply, law_optouts={"no_such_law": "why"})
    with pytest.raises(LawBroken, match="`no_such_law` is opted out of, and is no law"):
        check_method_laws("broken")


def test_twins_may_be_declared_on_one_side():
    one_step(by_size().apply, law_optouts={"results_are_distinct": "a twin"})
    good_sizes()
    check_law("good_sizes", "results_are_distinct")


def test_the_table_of_opt_outs(capsys):
    one_step(by_size().apply, law_optouts={"self_merge_is_identity": "it adds up"})
    good_drop()
    assert "broken               self_merge_is_identity             it adds up" in optouts_table()
    assert main([]) == 0
    assert "good_drop            (copies give another model)        entries are dropped" in capsys.readouterr().out


def test_the_command_checks_methods(capsys):
    good_sizes()
    one_step(lambda s, f: s.reduced(s.values.sum(0)))
    assert main(["good_sizes"]) == 0
    assert capsys.readouterr().out == "Method `good_sizes` obeys every law.\n"
    assert main(["good_sizes", "broken"]) == 1
    assert "Method `broken` breaks 1 of" in capsys.readouterr().out
    assert main(["goood_sizes"]) == 2
    assert "did you mean `good_sizes`" in capsys.readouterr().err


def test_the_command_checks_a_plugin_file(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "from solera.ops.contract import Step, chain\n"
        "from solera.registry import method\n"
        "from solera.types import ELEMENT, WEIGHT\n"
        '@method("smallest", space=WEIGHT >> WEIGHT, grain=ELEMENT, symmetric=True, numeric="exact")\n'
        "def smallest():\n"
        '    """Take the smallest."""\n'
        '    return chain(Step("smallest", lambda s, f: s.reduced(s.values.amin(0))))\n'
    )
    assert main(["--plugin", str(file)]) == 0
    assert "`smallest` obeys every law" in capsys.readouterr().out


@pytest.mark.parametrize(("grain", "step"), [(ELEMENT, CELL), (ROWS, LARGE[1])])
def test_cuts_fall_where_the_grain_allows(grain, step):
    good_norms()
    units = cut(trial(registry.card("good_norms"), LARGE), grain, (0.34, 0.67, 0.999))
    starts = [unit.facts.start for unit in units]
    assert len(units) == 4
    assert starts[0] == 0
    assert all(start % step == 0 for start in starts)
    assert sum(unit.stack.values[0].numel() for unit in units) == LARGE[0] * LARGE[1]


def test_a_tensor_is_not_cut_at_grain_tensor():
    good_norms()
    assert len(cut(trial(registry.card("good_norms"), LARGE), TENSOR, (0.5,))) == 1


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_every_grouping_gives_a_method_its_result(grouping):
    good_rows()
    card = registry.card("good_rows")
    chain = usual(card).chain(card)
    tried = trial(card)
    assert same_bits(run_cut(chain, [cut(tried, ROWS, (0.5,))], grouping)[0], tried.run(chain).reshape(-1))


def test_settings_cover_variants_switches_and_the_inside_of_ranges():
    good_norms()
    good_drop()
    assert [str(s) for s in settings(registry.card("good_norms"), 2)] == [
        "defaults",
        "variant whole",
        "values inside the ranges",
        "whole=True",
    ]
    assert inside(registry.card("good_drop"), 2).values == {"weight": (1.0, 0.625), "keep": (0.5, 0.3125)}


def test_spread_values_are_distinct_and_usable():
    good_drop()
    keep = registry.card("good_drop").parameter("keep")
    values = spread_values(keep, 5)
    assert len(set(values)) == 5
    assert keep.wrong(values) == ""


def test_trials_with_and_without_a_base_are_the_same_models():
    good_sizes()
    card = registry.card("good_sizes")
    plain, based = trial(card, base=False), trial(card, base=True)
    torch.testing.assert_close(based.stack.values + based.stack.base, plain.stack.values)


def test_uneven_trials_have_entries_of_every_kind():
    good_norms()
    changed = (trial(registry.card("good_norms"), (8, 8), 3, uneven=True).stack.values != 0).sum(0)
    assert set(changed.flatten().tolist()) == {0, 1, 2, 3}


def test_distances():
    assert distance(torch.zeros(2), torch.zeros(3)) == float("inf")
    assert distance(torch.tensor([float("nan")]), torch.zeros(1)) == float("inf")
    assert distance(torch.zeros(0), torch.zeros(0)) == 0.0
    assert not same_bits(torch.zeros(1), torch.zeros(1).double())
