"""What a target can run in integer, as data: a TOML file read into a frozen value.

A target says which bit widths and grids it takes, which operators run in integer, which activations fuse into the
operator before them, and through which operators a scale passes unchanged. Techniques and exporters ask it; none knows
a target by name.
"""

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from microjoule.errors import TargetError
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
[0, 1] a step less in up to half of the values; on a grid that ends below 1 a 1.0 can come out as 0."""


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
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(str(path), f"cannot be read: {error}", remedy="check the path") from error


def _folder() -> Any:
    return resources.files("microjoule.costs") / "targets"


def parse(text: str, place: str) -> Target:
    """Read a target's TOML text.

    Raises:
        TargetError: naming the place, the entry and what is wrong with it.
    """
    try:
        entries = tomllib.loads(text)
        made = Target(
            name=entries["name"],
            description=entries["description"],
            weight_bits=_widths(entries["weights"]),
            activation_bits=_widths(entries["activations"]),
            weights=_scheme(entries["weights"]),
            activations=_scheme(entries["activations"]),
            integer=_words(entries, "integer", place),
            fused=_words(entries, "fused", place),
            fusing=_words(entries, "fusing", place),
            passing=_words(entries, "passing", place),
            sharing=_words(entries, "sharing", place),
            accumulator_bits=int(entries["accumulator_bits"]),
            opset=int(entries["opset"]),
            fixed=_fixed(entries),
            demanded=frozenset(entries.get("fixed", {})),
            unrounded=_words(entries, "unrounded", place) if "unrounded" in entries["operators"] else frozenset(),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise TargetError(
            place,
            f"does not describe a target: {error!r}",
            remedy="compare it with the files in microjoule/costs/targets",
        ) from error
    return made


def _widths(entry: dict[str, Any]) -> tuple[int, ...]:
    if not entry["bits"]:
        raise ValueError("bits names no width")
    return tuple(IntGrid(bits).bits for bits in entry["bits"])


def _scheme(entry: dict[str, Any]) -> Scheme:
    grid = IntGrid(entry["bits"][0], signed=entry["signed"], narrow=entry.get("narrow", False))
    return Scheme(
        grid,
        symmetric=entry["symmetric"],
        axis=0 if entry.get("per_channel", False) else None,
        power_of_two=entry.get("power_of_two", False),
    )


def _fixed(entries: dict[str, Any]) -> tuple[tuple[str, Interval], ...]:
    given = entries.get("fixed", {})
    if set(given) - set(FIXED):
        raise ValueError(f"fixed names {', '.join(sorted(set(given) - set(FIXED)))}, choose among {', '.join(FIXED)}")
    return tuple((FIXED | {name: Interval.parse(text) for name, text in given.items()}).items())


def _words(entries: dict[str, Any], key: str, place: str) -> frozenset[str]:
    words = frozenset(entries["operators"][key])
    if words - WORDS:
        raise TargetError(
            place,
            f"operators.{key} names {', '.join(sorted(words - WORDS))}",
            remedy="use the names of operators that `microjoule inspect` prints",
        )
    return words
