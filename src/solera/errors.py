"""Every error that Solera raises on purpose, in one tree.

::

    SoleraError                     exit code 1
    ├── RecipeError                 2   the recipe's text is wrong
    │   ├── BadParameter                a value out of range or of the wrong type
    │   ├── UnknownName                 no such method, key, preset, tensor
    │   └── RecipeFaults                several of the above, found together
    ├── CheckpointError             3   an input cannot be used
    │   ├── CorruptFile                 truncated, lying, not what it says
    │   ├── UnsafeFile                  would run code, leaves its folder, is too large
    │   ├── MissingTensor
    │   ├── ShapeMismatch
    │   └── NotFound                    no such model, file or revision
    ├── PlanError                   4   recipe and models do not fit
    ├── RunError                    5   the run could not finish
    │   ├── NonFinite               3   NaN or infinity in an input: that model cannot be used
    │   ├── TargetInUse                 target not empty, or another run writes it
    │   ├── NoSpace                     disk full or too small
    │   ├── SourceChanged               an input was replaced while being read
    │   └── Interrupted                 stopped by the user; resumable
    └── MissingExtra                6   an optional dependency is needed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, in the house form: what, where, got, want, fix."""

    what: str
    where: str = ""
    got: str = ""
    want: str = ""
    fix: str = ""

    def __str__(self) -> str:
        """Lay the fault out over at most four lines.

        Example:
            >>> print(Fault("`density` is not usable.", got="20", want="a share in (0, 1]"))
            `density` is not usable.
              got:   20
              want:  a share in (0, 1]
        """
        rows = [("where", self.where), ("got", self.got), ("want", self.want), ("fix", self.fix)]
        return "\n".join([self.what, *(f"  {label + ':':<6} {text}" for label, text in rows if text)])


class SoleraError(Exception):
    """Base of all errors raised on purpose; carries one `Fault`."""

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", got: object = "", want: object = "", fix: str = "") -> None:
        """Build the error from the parts of the house form; empty parts are left out."""
        self.fault = Fault(what, str(where), str(got), str(want), fix)
        super().__init__(f"{type(self).__name__}: {self.fault}")

    @classmethod
    def of(cls, fault: Fault) -> SoleraError:
        """Raise-able error from a fault."""
        return cls(fault.what, where=fault.where, got=fault.got, want=fault.want, fix=fault.fix)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults carried (one, except for `RecipeFaults`)."""
        return (self.fault,)

    def at(self, where: str) -> SoleraError:
        """Return the same error with its place put in front; used once, at a boundary."""
        place = f"{where}, {self.fault.where}" if self.fault.where else where
        return type(self).of(Fault(self.fault.what, place, self.fault.got, self.fault.want, self.fault.fix))


class RecipeError(SoleraError):
    """The recipe's text is wrong; found before any model is opened."""

    exit_code = 2


class BadParameter(RecipeError):
    """A parameter's value is out of range or of the wrong type."""


class UnknownName(RecipeError):
    """A name that nothing answers to; the fix suggests the nearest known one."""


class RecipeFaults(RecipeError):
    """Several faults, reported together."""

    def __init__(self, faults: Sequence[Fault], *, source: str = "") -> None:
        """Collect `faults` (at least one) found in `source`."""
        self._faults = tuple(faults)
        count = len(self._faults)
        noun = "fault" if count == 1 else "faults"
        head = f"{count} {noun} in {source or 'the recipe'}"
        SoleraError.__init__(self, head)
        self.args = ("\n".join([f"RecipeFaults: {head}", *map(str, self._faults)]),)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults, in the order of the text."""
        return self._faults


class CheckpointError(SoleraError):
    """An input model cannot be used."""

    exit_code = 3


class CorruptFile(CheckpointError):
    """A file is truncated, or its header lies."""


class UnsafeFile(CheckpointError):
    """Reading the file would run code, leave its folder, or exhaust the machine."""


class MissingTensor(CheckpointError):
    """A tensor that the merge needs is not in the model."""


class ShapeMismatch(CheckpointError):
    """Shapes that must agree do not."""


class NotFound(CheckpointError):
    """No such model, file or revision."""


class PlanError(SoleraError):
    """Recipe and models do not fit together."""

    exit_code = 4


class RunError(SoleraError):
    """The run could not finish; the target is as it was before."""

    exit_code = 5


class NonFinite(RunError):
    """NaN or infinity in an input tensor, or a result that its type cannot hold."""

    exit_code = 3


class TargetInUse(RunError):
    """The target is not empty, or another run is writing it."""


class NoSpace(RunError):
    """The disk is full, or too small for the output."""


class SourceChanged(RunError):
    """An input file was replaced while it was being read."""


class Interrupted(RunError):
    """Stopped by the user; the staging folder can be resumed."""

    exit_code = 130


class MissingExtra(SoleraError):
    """An optional dependency is needed."""

    exit_code = 6

    def __init__(self, extra: str, *, needed_for: str) -> None:
        """Name the extra and print the line that installs it."""
        self.extra = extra
        super().__init__(f"{needed_for} needs the extra `{extra}`.", fix=f'pip install "solera[{extra}]"')


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a "did you mean" sentence for a misspelt name, or a list of what is known.

    Example:
        >>> nearest("tise", ["ties", "linear"])
        'did you mean `ties`?'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else "known: " + ", ".join(names)
