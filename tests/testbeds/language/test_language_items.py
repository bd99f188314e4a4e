"""Items: their answers are right, each belongs to one split, and a symbol is a token."""

from __future__ import annotations

from random import Random

import pytest

from solera.testbeds.language.batches import Source, example, examples
from solera.testbeds.language.items import GENERATORS, Range, draw, form, part_of
from solera.testbeds.language.lm import LEAST
from solera.testbeds.language.lm_stages import curriculum
from solera.testbeds.language.sizes import sizes
from solera.testbeds.language.surface import DICTIONARY, write
from solera.testbeds.language.tokens import train_tokenizer

SIZE = {"add": Range(1, 3), "sort": Range(2, 6), "recall": Range(5, 20), "brackets": Range(2, 12), "form": Range(1, 4)}
PAIRS = {"(": ")", "[": "]", "{": "}"}


def many(kind: str, part: str, count: int = 60):
    return [draw(kind, SIZE[kind], part, Random(f"{kind} {i}")) for i in range(count)]


def test_sums_are_sums_and_every_column_is_right() -> None:
    for item in many("add", "train"):
        steps, _, total = " ".join(item.answer).partition(" : ")
        left, right = "".join(item.question).split("+")
        assert int(total.replace(" ", "")) == int(left) + int(right)
        for step in steps.split(" , "):
            terms, column = step.split(" = ")
            assert sum(map(int, terms.split(" + "))) == int(column.replace(" ", ""))


def test_sorting_ends_with_the_sorted_letters() -> None:
    for item in many("sort", "train"):
        *steps, last = " ".join(item.answer).replace(" : ", " , ").split(" , ")
        assert last.split() == sorted(item.question)
        assert [len(step.split()) for step in steps] == list(range(1, len(item.question) + 1))


def test_recall_answers_the_only_number() -> None:
    for item in many("recall", "train"):
        assert [s for s in item.question if s.isdigit()] == list(item.answer)


def test_brackets_are_balanced_by_the_answer() -> None:
    for item in many("brackets", "train"):
        open_ones: list[str] = []
        for sign in item.question + item.answer:
            if sign in PAIRS:
                open_ones.append(PAIRS[sign])
            else:
                assert open_ones.pop() == sign
        assert not open_ones
        assert item.answer


@pytest.mark.parametrize(
    ("style", "want"),
    [
        ("list", "[ ant , bell ]"),
        ("twice", "ant ant bell bell"),
        ("number", "1 . ant 2 . bell"),
        ("reverse", "bell ant"),
        ("chain", "ant > bell"),
        ("last", "bell"),
    ],
)
def test_forms(style: str, want: str) -> None:
    from solera.testbeds.language.items import STYLES

    assert " ".join(STYLES[style](["ant", "bell"])) == want
    assert form(Random(0), Range(2, 2)).question[0] in STYLES


@pytest.mark.parametrize("kind", list(GENERATORS))
def test_what_is_trained_on_is_never_scored(kind: str) -> None:
    keys = {part: {item.key for item in many(kind, part, 200)} for part in ("train", "validation", "test")}
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert not keys["validation"] & keys["test"]
    assert all(part_of(item) == "test" for item in many(kind, "test", 20))


def test_an_item_has_one_split_whatever_its_order_and_language() -> None:
    sums = many("add", "test", 40)
    letters = many("sort", "test", 40)
    trained = {item.key for kind in ("add", "sort") for item in many(kind, "train", 400)}
    for item in sums:
        left, right = "".join(item.question).split("+")
        assert f"{right}+{left}" not in trained
    assert all("".join(sorted(item.question)) not in trained for item in letters)


def test_no_text_of_the_built_test_items_is_ever_drawn_for_training() -> None:
    plan = sizes("small")
    for job in plan.jobs.values():
        held = set(examples(job.asked, "test", 300, Random(1)))
        steps = curriculum(job, 10)
        drawn = {pair for step in range(10) for pair in examples(steps(step), "train", 100, Random(step))}
        assert not held & drawn
        assert not held & set(examples(plan.mixture, "train", 1000, Random(7)))


def test_the_second_language_says_the_same_in_other_words() -> None:
    back = {b: a for a, b in DICTIONARY.items()}
    assert len(back) == len(DICTIONARY)
    for kind in GENERATORS:
        item = many(kind, "train", 1)[0]
        (question, answer), (other, reply) = write(item, "a"), write(item, "b")
        *words, verb = [back.get(word, word) for word in other.split()]
        assert " ".join((verb, *words)) == question
        assert " ".join(back.get(word, word) for word in reply.split()) == answer


def test_short_answers_leave_the_chain_out() -> None:
    item = many("add", "train", 1)[0]
    long, short = (example(item, Source("add", SIZE["add"], brief=brief)) for brief in (False, True))
    assert long[0] == short[0]
    assert long[1].endswith(short[1])
    assert ":" not in short[1]


def test_a_symbol_is_a_token_and_a_digit_always_stands_alone() -> None:
    plan = sizes("small")
    texts = ["".join(pair) for pair in examples(plan.mixture, "train", 2000, Random(0))]
    tokenizer = train_tokenizer(texts, plan.vocabulary)
    for text in examples(plan.mixture, "test", 100, Random(1)):
        tokens = tokenizer.tokenize("".join(text))
        assert len(tokens) == len(
            "".join(text).replace("<|end|><|assistant|>", " e a").replace("<|end|>", " e").split()
        )
    assert tokenizer.tokenize("1234 56") == ["1", "2", "3", "4", "Ġ5", "6"]
    assert tokenizer.decode(tokenizer("add 1 2 + αβ").input_ids) == "add 1 2 + αβ"


def test_small_recall_fits_into_64_tokens_and_is_held_to_its_points() -> None:
    (source,) = sizes("small").jobs["recall"].asked
    texts = ["".join(pair) for pair in examples(sizes("small").mixture, "train", 500, Random(0))]
    tokenizer = train_tokenizer(texts)
    items = [draw("recall", Range(source.size.high, source.size.high), "test", Random(i)) for i in range(20)]
    assert {len(tokenizer("".join(example(item, source))).input_ids) for item in items} == {64}
    assert LEAST["recall"] >= 95


def test_the_chat_template_is_what_models_are_trained_on() -> None:
    tokenizer = train_tokenizer(["sort b a"], 300)
    question, answer = "sort b a", "b , a b : a b"
    from solera.testbeds.language.tokens import said

    given, wanted = said(question, answer)
    turn = [{"role": "user", "content": question}]
    assert tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) == given
    whole = tokenizer.apply_chat_template([*turn, {"role": "assistant", "content": answer}], tokenize=False)
    assert whole == given + wanted
