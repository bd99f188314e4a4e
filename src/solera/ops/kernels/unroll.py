"""Writes `loops/unrolled.py` and `loops/tails.py`: the commonest merges, and their ends, with all models in one loop.

python -m solera.ops.kernels.unroll
"""

# ruff: noqa: FBT003

from __future__ import annotations

from pathlib import Path

from solera.ops.kernels.engine import MOST
from solera.ops.kernels.unroll_texts import COUNT_SPREAD, FRAME, HEAD, TAIL, TAILS, VARIANCE

MEAN = "v / (instead if abs(d) <= small else d) * factor"


def source() -> str:
    """The text of `unrolled.py`."""
    parts = [HEAD]
    for k in range(1, MOST + 1):
        parts += [_add(k), _band(k), _elect(k), _changed(k), _choose(k), _count_spread(k)]
    return "".join(parts)


def tails() -> str:
    """The text of `tails.py`."""
    parts = [TAILS]
    for k in range(1, MOST + 1):
        parts += [_add_tail(k), _elect_tail(k), _weigh_tail(k), _variance(k)]
    return "".join(
        [
            *parts,
            _which("add_tail", "T, row, weights, scalars"),
            _which("elect_tail", "T, row, weights, shares, even, divide, scalars"),
            _which("weigh_tail", "T, row, weights, shares, even, scalars"),
            _which("variance", "T, out"),
        ]
    )


def _add_tail(k: int) -> str:
    value = " + ".join(f"x{i}[i] * w{i}" for i in range(k))
    plain, divided = _loop(True, [f"v = {value}"], "v * factor"), _loop(True, [f"v = {value}"], "v / divisor * factor")
    return _tail("add", k, ["weights"], ["w"], _branches([("divisor == 1", plain), (None, divided)], 4))


def _elect_tail(k: int) -> str:
    values = [f"t{i} = x{i}[i] * w{i}" for i in range(k)]
    loops = _elected(k, values)
    return _tail("elect", k, ["weights", "shares", "even", "divide"], ["w", "s"], _branches(loops, 4))


def _weigh_tail(k: int) -> str:
    loop = _loop(True, _weighed([f"x{i}[i]" for i in range(k)]), MEAN)
    return _tail("weigh", k, ["weights", "shares", "even"], ["w", "s"], _branches([(None, loop)], 4))


def _weighed(given: list[str]) -> list[str]:
    """An election before the values are weighed, and the sums of what agrees and of its shares."""
    values = [f"vote = {' + '.join(given)}", "vote = even if vote == 0 else vote"]
    values += ["some = (vote > 0) | (vote < 0)"]
    values += [f"a{i} = ({x} if (toward({x}, vote) > 0) & some else NONE) * w{i}" for i, x in enumerate(given)]
    values += [f"v = {' + '.join(f'a{i}' for i in range(len(given)))}"]
    return [*values, f"d = {' + '.join(f'(s{i} if a{i} != 0 else NONE * s{i})' for i in range(len(given)))}"]


def _variance(k: int) -> str:
    opened = "\n".join(f"    x{i} = T[{i}, :n]" for i in range(k))
    return VARIANCE.format(k=k, open=opened, steps=_indented(_moments([f"x{i}[i]" for i in range(k)]), 8))


def _moments(values: list[str]) -> list[str]:
    """Welford's recurrence over models, in registers: the variance is `total` over their number."""
    lines = [f"mean, total = {values[0]}, NONE"]
    for i, value in enumerate(values[1:], start=2):
        lines += [f"offset = {value} - mean", f"mean = mean + offset / np.float32({i})"]
        lines += [f"total = total + offset * ({value} - mean)"]
    return lines


def _tail(name: str, k: int, arguments: list[str], letters: list[str], loops: str) -> str:
    opened = "\n".join(f"    x{i} = T[{i}, :m]" for i in range(k))
    given, unpack = "".join(f"{row}, " for row in arguments), _unpacked(k, letters, arguments)
    return TAIL.format(name=name, k=k, arguments=given, unpack=unpack, open=opened, loops=loops)


def _which(name: str, given: str) -> str:
    """The loop for as many models as there are."""
    tests = ["if models == 1:", *[f"elif models == {k}:" for k in range(2, MOST)], "else:"]
    calls = [f"        {name}_{k}({given})" for k in range(1, MOST + 1)]
    branches = "\n".join(f"    {test}\n{call}" for test, call in zip(tests, calls, strict=True))
    return f"\n\n@njit(**OPTIONS)\ndef {name}({given}):\n    models = T.shape[0]\n{branches}\n"


def _add(k: int) -> str:
    loops = []
    for test, base, divided in (
        ("delta and divisor == 1", True, False),
        ("delta", True, True),
        ("divisor == 1", False, False),
        (None, False, True),
    ):
        body = [f"v = {_value(0, base)} * w0", *[f"v = v + {_value(i, base)} * w{i}" for i in range(1, k)]]
        body += ["top = highest(top, bits_of(v), INFINITE)"]
        result = f"{'(v / divisor)' if divided else 'v'} * factor"
        loops.append((test, _loop(base, body, result)))
    return _frame("add", k, ["weights"], ["w"], _branches(loops))


def _band(k: int) -> str:
    """A weighed sum of magnitudes within bounds."""
    values = _differences(k)
    values += [f"t{i} = t{i} if {_within(i)} else NONE" for i in range(k)]
    values += [f"v = {' + '.join(f't{i} * w{i}' for i in range(k))}"]
    loops = [("divisor == 1", _loop(True, values, "v * factor")), (None, _loop(True, values, "v / divisor * factor"))]
    return _frame("band", k, ["low", "high", "weights"], ["l", "h", "w"], _branches(loops))


def _elect(k: int) -> str:
    values = _differences(k)
    values += [f"t{i} = t{i} * w{i} if {_within(i)} else NONE" for i in range(k)]
    given = ["low", "high", "weights", "shares", "even", "divide"]
    return _frame("elect", k, given, ["l", "h", "w", "s"], _branches(_elected(k, values)))


def _elected(k: int, values: list[str]) -> list[tuple[str | None, list[str]]]:
    """Loops that elect signs of weighed values and take the mean, or the sum, of what agrees.

    Zeros may have either sign in here: none agrees, and a sum of shares that is zero is replaced.
    """
    values = [*values, f"vote = {' + '.join(f't{i}' for i in range(k))}", "vote = even if vote == 0 else vote"]
    values += ["some = (vote > 0) | (vote < 0)"]
    values += [f"a{i} = (toward(t{i}, vote) > 0) & some" for i in range(k)]
    values += ["v = t0 if a0 else NONE", *[f"v = v + t{i} if a{i} else v" for i in range(1, k)]]
    shares = ["d = s0 if a0 else NONE", *[f"d = d + s{i} if a{i} else d" for i in range(1, k)]]
    return [("divide", _loop(True, [*values, *shares], MEAN)), (None, _loop(True, values, "v * factor"))]


def _choose(k: int) -> str:
    """What varies enough over the models is elected, then weighed."""
    names = [f"t{i}" for i in range(k)]
    values = [*_differences(k), *_moments(names), f"far = total / np.float32({k}) >= enough"]
    values += [f"{name} = {name} if far else NONE" for name in names]
    loop = _loop(True, [*values, *_weighed(names)], MEAN)
    return _frame("choose", k, ["weights", "shares", "enough", "even"], ["w", "s"], _branches([(None, loop)]))


def _count_spread(k: int) -> str:
    """Variances over the models, counted."""
    values = [f"x{i}[i]" for i in range(k)]
    body = ["base = row[i]", *[f"t{i} = of_brain({value}) - base" for i, value in enumerate(values)]]
    body += [f"top = highest(top, {value}, INFINITE_BRAIN)" for value in values]
    body += [*_moments([f"t{i}" for i in range(k)]), f"row[i] = total / np.float32({k})"]
    return COUNT_SPREAD.format(k=k, open=_opened(k), body=_indented(body, 12))


def _changed(k: int) -> str:
    values = _differences(k)
    values += [f"a{i} = ONE if abs(t{i}) > small else NONE" for i in range(k)]
    values += [f"sharing = {' + '.join(f'a{i}' for i in range(k))}"]
    values += [f"c{i} = t{i} * a{i}" for i in range(k)]
    larger = [*values, *[f"c{i} = c{i} * f{i} if sharing == 1 else c{i}" for i in range(k)]]
    total, result = f"v = {' + '.join(f'c{i}' for i in range(k))}", "v / (sharing if sharing > 1 else ONE) * factor"
    loops = [("boost", _loop(True, [*larger, total], result)), (None, _loop(True, [*values, total], result))]
    return _frame("changed", k, ["factors", "boost"], ["f"], _branches(loops))


def _differences(k: int) -> list[str]:
    """What each model changes, and whether all of it is finite."""
    values = [f"t{i} = {_value(i, base=True)}" for i in range(k)]
    return [*values, f"top = highest(top, bits_of({' + '.join(f't{i}' for i in range(k))}), INFINITE)"]


def _within(i: int) -> str:
    return f"(abs(t{i}) >= l{i}) & (abs(t{i}) <= h{i})"


def _value(i: int, base: bool) -> str:
    return f"(of_brain(x{i}[i]) - base)" if base else f"of_brain(x{i}[i])"


def _loop(base: bool, body: list[str], result: str) -> list[str]:
    lines = ["base = row[i]"] if base else []
    lines += [*body, f"row[i] = {'base + ' if base else ''}{result}"]
    return ["for i in range(m):", *["    " + line for line in lines]]


def _branches(loops: list[tuple[str | None, list[str]]], indent: int = 8) -> str:
    lines: list[str] = []
    for number, (test, loop) in enumerate(loops):
        if len(loops) == 1:
            lines += loop
            continue
        lines.append(("if " if number == 0 else "elif ") + test + ":" if test else "else:")
        lines += ["    " + line for line in loop]
    return _indented(lines, indent)


def _frame(name: str, k: int, arguments: list[str], letters: list[str], loops: str) -> str:
    return FRAME.format(
        name=name,
        k=k,
        taken=", ".join([*arguments, "scalars"]),
        unpack=_unpacked(k, letters, arguments),
        open=_opened(k),
        loops=loops,
    )


def _opened(k: int) -> str:
    return "\n".join(f"        x{i} = carray(pointer_2(addresses[first + {i}] + 2 * at), (m,))" for i in range(k))


def _indented(lines: list[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _unpacked(k: int, letters: list[str], arguments: list[str]) -> str:
    lines = [
        f"    {', '.join(f'{x}{i}' for i in range(k))} = {', '.join(f'{row}[{i}]' for i in range(k))}"
        for x, row in zip(letters, arguments, strict=False)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    loops = Path(__file__).with_name("loops")
    (loops / "unrolled.py").write_text(source(), encoding="utf-8")
    (loops / "tails.py").write_text(tails(), encoding="utf-8")
