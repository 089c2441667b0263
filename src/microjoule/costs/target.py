"""What a target can run in integer, as data: a TOML file read into a frozen value.

A target says which bit widths and grids it takes, which operators run in integer, which activations fuse into the
operator before them, and through which operators a scale passes unchanged. Techniques and exporters ask it; none knows
a target by name.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from microjoule.errors import FileError, MicrojouleError, TargetError
from microjoule.formats.bounded_file import read_text
from microjoule.formats.bounded_text import LONGEST_TOML, read_toml
from microjoule.graph.ops import FUNCTION_KINDS, MODULE_KINDS
from microjoule.numerics.grid import Interval, IntGrid, Scheme

WORDS = frozenset({name for _, name in MODULE_KINDS} | set(FUNCTION_KINDS.values())) - {"size", "constant", "quantizer"}
"""Names of operators that a target may use (those of microjoule.graph.ops)."""

FIXED = {
    "softmax": Interval(0, 1, open_end=True),
    "sigmoid": Interval(0, 1),
    "hardsigmoid": Interval(0, 1),
    "tanh": Interval(-1, 1),
}
"""What the outputs of operators lie in, whatever they read, so that no data need tell.

Softmax in steps of 1/256: in ONNX Runtime 1.31 QLinearSoftmax is then the rounded softmax, integer by integer; on
[0, 1] a step less in up to half of the values; on a grid of int8 that ends below 1 versions before 1.29 can make the
lowest value of a 1.0."""

KEYS = frozenset(("name", "description", "weights", "activations", "operators", "accumulator_bits", "opset", "fixed"))
OPERATOR_KEYS = frozenset(("integer", "fused", "fusing", "passing", "sharing"))
SCHEME_KEYS = frozenset(("bits", "signed", "narrow", "symmetric", "per_channel", "power_of_two"))
"""What a target's file may say, of itself, of operators, and of weights or activations."""

REMEDY = "compare it with the files in microjoule/costs/targets, and use names of operators that inspect prints"


@dataclass(frozen=True, slots=True)
class Target:
    """A machine or runtime that runs integer networks.

    Args:
        name: what it is called.
        description: one sentence for people.
        weight_bits: widths that it takes for weights; the first is its default.
        activation_bits: likewise for activations.
        weights: grid and layout of weights at the default width; axis 0 stands for "per output channel".
        activations: the same for activations.
        integer: operators that run in integer.
        fused: activations that fuse into a layer or an addition directly before them.
        fusing: operators that activations fuse into.
        passing: operators that pass their input's scale through.
        sharing: operators whose inputs and output must have one scale.
        accumulator_bits: the width of sums.
        opset: of ONNX files written for it.
        fixed: operators whose outputs have a grid that no data changes, with what it is laid over.
        demanded: those among them whose grid the target's kernels demand.
        unrounded: operators whose integer sums it can hand on in floating point, where what reads them wants that.
    """

    name: str
    description: str
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    weights: Scheme
    activations: Scheme
    integer: frozenset[str]
    fused: frozenset[str]
    fusing: frozenset[str]
    passing: frozenset[str]
    sharing: frozenset[str]
    accumulator_bits: int
    opset: int
    fixed: tuple[tuple[str, Interval], ...] = tuple(FIXED.items())
    demanded: frozenset[str] = frozenset()
    unrounded: frozenset[str] = frozenset()

    def weight_scheme(self, bits: int | None, axis: int) -> Scheme:
        """How weights are quantized at a width, for a layer with its output channels at an axis.

        Raises:
            TargetError: if the target does not take that width.
        """
        return self._scheme(
            self.weights, bits, self.weight_bits, None if self.weights.axis is None else axis, "weights"
        )

    def activation_scheme(self, bits: int | None) -> Scheme:
        """How activations are quantized at a width.

        Raises:
            TargetError: if the target does not take that width.
        """
        return self._scheme(self.activations, bits, self.activation_bits, None, "activations")

    def _scheme(self, like: Scheme, bits: int | None, allowed: tuple[int, ...], axis: int | None, what: str) -> Scheme:
        width = allowed[0] if bits is None else bits
        grid = IntGrid(width, signed=like.grid.signed, narrow=like.grid.narrow)
        if width not in allowed:
            raise TargetError(
                f"target {self.name}",
                f"takes {what} of {', '.join(map(str, allowed))} bits, got {width}",
                remedy="choose one of these, or write a target file of your own (docs/add/a_target.md)",
            )
        return Scheme(grid, symmetric=like.symmetric, axis=axis, power_of_two=like.power_of_two)


def names() -> list[str]:
    """The targets that come with microjoule."""
    return sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))


def target(name: str | Path | Target) -> Target:
    """A target by name, or from a TOML file.

    Raises:
        TargetError: for an unknown name, a missing file, or a file that does not say what it must.
    """
    if isinstance(name, Target):
        return name
    if str(name) in names():
        return parse(_folder().joinpath(f"{name}.toml").read_text("utf-8"), str(name))
    path = Path(name)
    if path.suffix != ".toml":
        raise TargetError(
            str(name), "is no target", remedy=f"use one of {', '.join(names())}, or the path of a .toml file"
        )
    try:
        text = read_text(path, most_bytes=4 * LONGEST_TOML, remedy=REMEDY)
    except FileError as error:
        raise TargetError(error.place, error.fact, remedy=error.remedy) from error
    return parse(text, str(path))


def _folder() -> Any:
    return resources.files("microjoule.costs") / "targets"


def parse(text: str, place: str) -> Target:
    """Read a target's TOML text.

    Raises:
        TargetError: naming the place, the entry and what is wrong with it.
    """
    try:
        entries = read_toml(text, place, remedy=REMEDY)
        _require_keys(entries, KEYS, "target")
        _require_keys(entries["operators"], OPERATOR_KEYS | {"unrounded"}, "operators")
        return Target(
            name=_text(entries["name"]),
            description=_text(entries["description"]),
            weight_bits=_widths(entries["weights"]),
            activation_bits=_widths(entries["activations"]),
            weights=_scheme(entries["weights"]),
            activations=_scheme(entries["activations"]),
            **{key: _words(entries["operators"][key], key) for key in OPERATOR_KEYS},
            accumulator_bits=_whole(entries["accumulator_bits"], "accumulator_bits", 8, 128),
            opset=_whole(entries["opset"], "opset", 1, 1000),
            fixed=_fixed(entries.get("fixed", {})),
            demanded=frozenset(entries.get("fixed", {})),
            unrounded=_words(entries["operators"].get("unrounded", []), "unrounded"),
        )
    except KeyError as error:
        raise TargetError(place, f"does not describe a target: it lacks {error.args[0]!r}", remedy=REMEDY) from error
    except (MicrojouleError, TypeError, ValueError) as error:
        fact = error.fact if isinstance(error, MicrojouleError) else str(error)
        raise TargetError(place, f"does not describe a target: {fact}", remedy=REMEDY) from error


def _require_keys(entry: Any, known: frozenset[str], name: str) -> None:
    """A name that is not known may be one that was mistyped."""
    if not isinstance(entry, dict):
        raise ValueError(f"{name} is no table")
    if set(entry) - known:
        raise ValueError(f"{name} has the unknown entries {', '.join(sorted(set(entry) - known))}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is no text")
    return value


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {value!r:.80}, expected a whole number from {least} to {most}")
    return value


def _switch(entry: dict[str, Any], name: str, default: bool | None = None) -> bool:  # noqa: FBT001  one of three
    value = entry[name] if default is None else entry.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.80}, expected true or false")
    return value


def _widths(entry: Any) -> tuple[int, ...]:
    _require_keys(entry, SCHEME_KEYS, "weights or activations")
    if not isinstance(entry["bits"], list) or not entry["bits"]:
        raise ValueError("bits names no width")
    return tuple(IntGrid(bits).bits for bits in entry["bits"])


def _scheme(entry: dict[str, Any]) -> Scheme:
    grid = IntGrid(entry["bits"][0], signed=_switch(entry, "signed"), narrow=_switch(entry, "narrow", default=False))
    return Scheme(
        grid,
        symmetric=_switch(entry, "symmetric"),
        axis=0 if _switch(entry, "per_channel", default=False) else None,
        power_of_two=_switch(entry, "power_of_two", default=False),
    )


def _fixed(given: Any) -> tuple[tuple[str, Interval], ...]:
    _require_keys(given, frozenset(FIXED), "fixed")
    return tuple((FIXED | {name: Interval.parse(_text(text)) for name, text in given.items()}).items())


def _words(words: Any, key: str) -> frozenset[str]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"operators.{key} is no list of names")
    if set(words) - WORDS:
        raise TargetError(
            f"operators.{key}", f"operators.{key} names {', '.join(sorted(set(words) - WORDS))}", remedy=REMEDY
        )
    return frozenset(words)
