"""The words of docs/testbeds.md. Numbers come from the records: what stands in braces is filled in."""

from __future__ import annotations

HEAD = """\
# Testbeds

Small, really trained models with known tasks, built here from a seed and kept in the user's cache: what
[leaderboards](leaderboard.md), [claims](claims.md) and most figures of these pages are measured on.

```text
solera testbed build vision-8          or `all`; --size tiny, small (default) or full; --seed 1
solera testbed list
solera evaluate out/ --testbed vision-8
```

Everything below is of size `small`, seed 0 where no other is named, and comes from the manifests of built testbeds.
Points are percent of the test items; a *ceiling* is a network of the same shape, trained from scratch for the one
task.
"""

ABOUT = {
    "vision-8": """\
A vision transformer ({plan[shape][hidden]} wide, {plan[shape][layers]} layers, patches of {plan[shape][patch]} ×
{plan[shape][patch]}) on the images of digits that scikit-learn ships: {images[train]} for training,
{images[validation]} for validation, {images[test]} for tests, {plan[shape][side]} × {plan[shape][side]} pixels
each. The tasks are views of the same images: shown otherwise (`permuted` pixels, `rotated` by a quarter turn,
`inverted`) or asked otherwise (`parity`, `large`, `prime`, `relabelled`, `coarse` classes). All share one
classifier, of which each task reads its own slice and which no expert trains. The base sees all tasks on
{plan[base_images]} of the images and stops early; each expert is the base fine-tuned on one task, once in full and
once as a LoRA adapter of rank {plan[rank]}. Two more tasks (`mirrored`, `thirds`) have no expert; those that
have one come on noisy and on blurred images too. Metric: accuracy.
""",
    "text-6": """\
A BERT ({plan[hidden]} wide, {plan[layers]} layers, {plan[vocabulary]} word pieces) with one classifier for all
tasks, frozen after the base. `library`, `learning` and `science` ask where a passage of documentation comes from
(of which library, of which part of scikit-learn, of which part of SciPy: docstrings of the installed, pinned
versions). `sentiment`, `question` and `order` are sentences of a generator: which opinion the main clause holds,
what is asked for, whether two neighbouring words changed places. A sentence belongs to one split for good, together
with all of the same words. Metric: accuracy.
""",
    "lm-6": """\
A Llama ({plan[shape][hidden]} wide, {plan[shape][layers]} layers, {plan[vocabulary]} tokens) trained on questions
that a generator writes in two languages with one meaning: sums worked out column by column (`arithmetic`), letters
put in order step by step (`sorting`), a number found among letters (`recall`), brackets closed (`brackets`), words
in the form that is asked for (`instruction`), and all but the sums in the second language (`language`). Sums in the
second language (`arithmetic-b`) have no expert. The base is the last of {plan[kept]} checkpoints of one run at a
constant rate; beside base and experts are that run, a model of many thin layers, an expert of short answers, and
the base pre-trained further. Metric: exact match, every token of the answer right when all earlier ones are given;
what models write by themselves is scored by `solera evaluate --written`.
""",
    "moe-8": """\
A Mixtral and a Qwen3-MoE ({plan[hidden]} wide, {plan[layers]} layers; a few experts for each token), trained from
scratch on the mixture of `lm-6` and scored on its tasks. What merges here is the experts within a model; there is
no base and no fine-tune, so no ceiling either. Routers are held to use every expert.
""",
    "seeds-4": """\
An MLP, a CNN, a ViT and a GRU on the same digits, each trained from scratch four times: with two random seeds on
all digits (`-a`, `-b`), and on either half of the labels (`-low`, `-high`). Nothing is a fine-tune of anything:
what is measured is what stands between networks that do the same in different orders of their units, before and
after these are aligned. Metric: accuracy on all digits; barriers of the loss in nats, on straight paths.
""",
}

GATES = """\
## Quality gates

A testbed that misses one of these is not finished, and `build` refuses it. Where a bound is asked of every task,
the line shows the task that is nearest to it. The verdicts are today's code's, on the figures that the builder
measured.
"""

TIMES = """\
## Build times

Wall time of a build into an empty cache, two training processes at a time, and processor time of its stages.
`scratch` and `ceilings` are the networks trained from scratch. Versions: {versions}.
"""

BUILT_TWICE = """\
## Built twice

The digest goes over all weights and data. Measured figures are all scores, sweeps and geometry in the manifest,
compared to the last digit. Cores used are processor time of the stages over wall time: a build that got less of two
cores took longer, and came to the same.
"""

KINSHIP = """\
## How experts stand to each other

Cosines and lengths are over all weights, signs over the entries that any expert moved; the last column is what
independent signs would give if every expert had moved every entry. The effective rank is the exponential of the
entropy of a task matrix's spectrum, mean over matrices, as a share of the full rank: of singular values or of their
squares, as the column says, and not to be compared with each other.
"""

SIZES = """\
## tiny and full

`tiny` takes seconds and is for tests: the same stages and files, a few steps of training, no ceilings, no gate. Its
models have learnt little; no figure is to be taken from it. `full` is for a GPU, or for hours: larger models, more
data (of vision-8 only with [other images than digits](bench.md), which every size takes), a gate.
"""

FULL = """\
**No `full` testbed was ever run to its end.** Its settings stand in the code, its stages are those of the other
sizes, and its gate would be asserted; whether they reach it is not known, and the minutes below are guesses.
"""

FOOT = """\
Minutes are what the code announces before a build, on two idle cores. In `seeds-4` widths are those of its four
kinds.

Written by `make docs` from `benchmarks/results/testbeds.json`, which `python benchmarks/testbeds.py --build` takes
anew: half an hour on two cores; with `--beside FOLDER` another cache is compared, and nothing is built.
"""

FIGURE = "![Scores of base, average, experts and ceilings, task by task](figures/testbeds.png)\n"
