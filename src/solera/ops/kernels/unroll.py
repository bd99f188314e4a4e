"""Writes `loops/unrolled.py`: the commonest merges of bfloat16 with all models in one loop, for 1 to 8 models.

python -m solera.ops.kernels.unroll > src/solera/ops/kernels/loops/unrolled.py
"""

# ruff: noqa: FBT003

from __future__ import annotations

import sys

MOST = 8

HEAD = '''"""The commonest merges of bfloat16, all models in one loop. Made by `unroll.py`; do not edit.

Each reads its operands once, keeps every value in a register and writes the result over the tile that held the base.
Returns 1 where something is not finite: an input, or a sum of finite inputs, which `write` tells apart.
"""

# ruff: noqa: E501, D103, ANN001, ANN201, PLR0915, C901, F841
# fmt: off
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.numbers import OPTIONS, TILE, bits_of, marked, of_brain, pointer_2, wide
from solera.ops.kernels.loops.reading import narrow, widen

INFINITE = np.int32(0x7F800000)
NONE, ONE = np.float32(0), np.float32(1)
'''

FRAME = """

@njit(**OPTIONS)
def {name}_{k}(n, reading, {arguments}scalars, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    tile = np.empty(TILE, np.float32)
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
{unpack}
    verdict = 0
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
{open}
        bad = np.int32(0)
{loops}
        if bad != 0:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict
"""


def source() -> str:
    """The module's text."""
    parts = [HEAD]
    for k in range(1, MOST + 1):
        parts += [_add(k), _elect(k), _changed(k)]
    return "".join(parts)


def _add(k: int) -> str:
    loops = []
    for test, base, divided in (
        ("delta and divisor == 1", True, False),
        ("delta", True, True),
        ("divisor == 1", False, False),
        (None, False, True),
    ):
        body = [f"v = {_value(0, base)} * w0", *[f"v = v + {_value(i, base)} * w{i}" for i in range(1, k)]]
        body += ["bad |= marked(bits_of(v), INFINITE)"]
        result = f"{'(v / divisor)' if divided else 'v'} * factor"
        loops.append((test, _loop(base, body, result)))
    return _frame("add", k, ["weights"], ["w"], _branches(loops))


def _elect(k: int) -> str:
    values = [f"t{i} = {_value(i, base=True)}" for i in range(k)]
    values += [f"bad |= marked(bits_of({' + '.join(f't{i}' for i in range(k))}), INFINITE)"]
    values += [f"t{i} = (t{i} if abs(t{i}) >= l{i} else NONE) * w{i}" for i in range(k)]
    values += [f"vote = {' + '.join(f't{i}' for i in range(k))}", "vote = even if vote == 0 else vote"]
    values += ["up, down = vote > 0, vote < 0"]
    values += [f"a{i} = ((t{i} > 0) & up) | ((t{i} < 0) & down)" for i in range(k)]
    values += [f"v = {' + '.join(f'(t{i} if a{i} else NONE)' for i in range(k))}"]
    shares = [f"d = {' + '.join(f'(s{i} if a{i} else NONE * s{i})' for i in range(k))}"]
    divide = "v / (instead if abs(d) <= small else d) * factor"
    loops = [("divide", _loop(True, [*values, *shares], divide)), (None, _loop(True, values, "v * factor"))]
    return _frame("elect", k, ["low", "weights", "shares", "even", "divide"], ["l", "w", "s"], _branches(loops))


def _changed(k: int) -> str:
    values = [f"t{i} = {_value(i, base=True)}" for i in range(k)]
    values += [f"bad |= marked(bits_of({' + '.join(f't{i}' for i in range(k))}), INFINITE)"]
    values += [f"a{i} = ONE if abs(t{i}) > small else NONE" for i in range(k)]
    values += [f"sharing = {' + '.join(f'a{i}' for i in range(k))}"]
    values += [f"v = {' + '.join(f't{i} * a{i}' for i in range(k))}"]
    result = "v / (sharing if sharing > 1 else ONE) * factor"
    return _frame("changed", k, [], [], _branches([(None, _loop(True, values, result))]))


def _value(i: int, base: bool) -> str:
    return f"(of_brain(x{i}[i]) - base)" if base else f"of_brain(x{i}[i])"


def _loop(base: bool, body: list[str], result: str) -> list[str]:
    lines = ["base = row[i]"] if base else []
    lines += [*body, f"row[i] = {'base + ' if base else ''}{result}"]
    return ["for i in range(m):", *["    " + line for line in lines]]


def _branches(loops: list[tuple[str | None, list[str]]]) -> str:
    lines: list[str] = []
    for number, (test, loop) in enumerate(loops):
        if len(loops) == 1:
            lines += loop
            continue
        lines.append(("if " if number == 0 else "elif ") + test + ":" if test else "else:")
        lines += ["    " + line for line in loop]
    return "\n".join("        " + line for line in lines)


def _frame(name: str, k: int, arguments: list[str], letters: list[str], loops: str) -> str:
    rows = zip(letters, arguments, strict=False)
    unpack = [
        f"    {', '.join(f'{x}{i}' for i in range(k))} = {', '.join(f'{row}[{i}]' for i in range(k))}"
        for x, row in rows
    ]
    opened = [f"        x{i} = carray(pointer_2(addresses[first + {i}] + 2 * at), (m,))" for i in range(k)]
    return FRAME.format(
        name=name,
        k=k,
        arguments="".join(f"{row}, " for row in arguments),
        unpack="\n".join(unpack),
        open="\n".join(opened),
        loops=loops,
    )


if __name__ == "__main__":
    sys.stdout.write(source())
