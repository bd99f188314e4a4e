"""Genes: from a card to a recipe and back, over models, roles and layers."""

from __future__ import annotations

import pytest
import torch

from solera.app.live import merge_tensors
from solera.errors import BadParameter, RecipeError, UnknownName
from solera.recipe import from_options, parse, to_yaml
from solera.search.declaring import is_space, read_space
from solera.search.ranges import Wish, genes_for, read_wish


@pytest.fixture
def models(zoo):
    return [str(folder) for folder in zoo(experts=2).values()]


def recipe_of(models, method="task_arithmetic", **parameters):
    return from_options(models[1:], base=models[0], method=method, parameters=parameters)


@pytest.mark.parametrize("over", ["global", "role", "layer"])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "tsv_m"])
def test_a_genome_is_a_recipe_and_back(models, over, method):
    genes = genes_for(recipe_of(models, method), over=over)
    genome = genes.space.at([(3 + k) % 7 / 7 for k in range(len(genes.space))])
    made = genes.decode(genome)
    assert genes.encode(made) == genome
    assert genes.encode(parse(to_yaml(made))) == genome


def test_names_and_starts(models):
    names = [axis.name for axis in genes_for(recipe_of(models, "ties"), over="layer", block=2).space.axes]
    assert names[:4] == ["weight.e0.outside", "weight.e1.outside", "weight.e0.layers.0-1", "weight.e1.layers.0-1"]
    starts = {axis.name: axis.start for axis in genes_for(recipe_of(models, weight=[0.3, 0.9])).space.axes}
    assert starts == {"weight.e0": 0.3, "weight.e1": 0.9}
    density = genes_for(recipe_of(models, "pcb"), [Wish("density")]).space.axes[0]
    assert (density.low, density.high, density.start) == (0.01, 1.0, 0.1)


def test_one_hot_weights_give_that_expert(models):
    """Parameter space: weight 1 and density 1 for one model is the model."""
    genes = genes_for(recipe_of(models, "ties", density=1.0), [Wish("weight")], over="layer")
    hot = genes.decode(tuple(1.0 if ".e1" in axis.name else 0.0 for axis in genes.space.axes))
    made, alone = merge_tensors(hot), merge_tensors(parse(f"{{method: linear, models: ['{models[2]}']}}"))
    for name, value in alone.items():
        torch.testing.assert_close(made[name], value, rtol=0, atol=1e-6)


def test_layers_get_their_own_genes(models):
    genes = genes_for(recipe_of(models), [Wish("weight")], over="layer")
    values = {axis.name: axis.start for axis in genes.space.axes}
    changed = tuple(0.9 if name == "weight.e0.layers.1-1" else value for name, value in values.items())
    before, after = merge_tensors(genes.decode(genes.space.start)), merge_tensors(genes.decode(changed))
    moved = {
        name.split(".")[2] if ".layers." in name else name
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert moved == {"1"}


def test_choices_and_whole_numbers(models):
    genes = genes_for(recipe_of(models, "ties"), [Wish("vote"), read_wish("density:0.1:0.5:0.3")])
    assert genes.space.axes[0].kind == "choice"
    assert genes.space.start[1:] == (0.3, 0.3)


@pytest.mark.parametrize(
    ("wish", "error", "says"),
    [
        (Wish("densty"), UnknownName, "did you mean `density`"),
        (Wish("density", 0.5, 2.0), BadParameter, "range of `density`"),
        (Wish("density", over="depth"), BadParameter, "--genes"),
    ],
)
def test_refused_genes(models, wish, error, says):
    with pytest.raises(error, match=says):
        genes_for(recipe_of(models, "ties"), [wish])


def test_what_has_no_range_and_what_is_no_list(models):
    with pytest.raises(BadParameter, match="no range"):
        genes_for(recipe_of(models, "sce"), [Wish("least")])
    sliced = parse(f"{{method: passthrough, slices: [{{sources: [{{model: '{models[1]}', layer_range: [0, 1]}}]}}]}}")
    with pytest.raises(BadParameter, match="cannot be searched"):
        genes_for(sliced)


@pytest.mark.parametrize("text", ["density:0.1", "density:a:b", ":1:2", "density:1:2:3:4"])
def test_wishes_that_cannot_be_read(text):
    with pytest.raises(BadParameter, match="--vary"):
        read_wish(text)


def test_a_recipe_of_another_space(models):
    genes = genes_for(recipe_of(models), over="layer")
    with pytest.raises(BadParameter, match="another space"):
        genes.encode(genes_for(recipe_of(models)).decode((0.1, 0.2)))


def test_a_file_of_a_space(models, tmp_path):
    (tmp_path / "merge.yaml").write_text(to_yaml(recipe_of(models, "ties")))
    file = tmp_path / "space.yaml"
    file.write_text(
        "recipe: merge.yaml\ngenes: [weight, {parameter: density, low: 0.1, high: 0.5, over: layer, block: 2}]\nobjectives: [a, b]\n"
    )
    assert is_space(file)
    assert not is_space(tmp_path / "merge.yaml")
    read = read_space(file)
    genes = genes_for(read.recipe, read.wishes)
    assert read.objectives == ("a", "b")
    assert len(genes.space) == 2 + 2 * (1 + 2)
    file.write_text("{recipe: {method: linear, models: [a, b]}, genes: [weight]}")
    assert read_space(file).recipe.merge.method == "linear"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("recipe: a\ngenes: []", BadParameter),
        ("recipe: a\ngenes: [{name: b}]", RecipeError),
        ("[", RecipeError),
        ("3", RecipeError),
    ],
)
def test_files_that_are_no_space(tmp_path, text, error):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(error):
        read_space(file)
