"""What a network is for: the range of its inputs, how they are prepared, what its outputs mean.

A quantizer's grid has to be laid over the values that occur, so the range of the inputs must be known: from data, from
what the user declares, from the preprocessing, or from the card that a model brings along. Example inputs tell shapes;
their values are whatever was at hand.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, Protocol

from microjoule.errors import SettingError
from microjoule.graph.preprocessing import Preprocessing, preprocessing_of
from microjoule.records.facts import Record, Run

Range = tuple[float, float]
"""The smallest and the largest value."""

Ranges = Range | Mapping[str, Range]
"""Of all inputs, or of each by its name."""

DECLARED, MODEL_CARD, PREPROCESSING, DATA, EXAMPLE = "declared", "model card", "preprocessing", "data", "example"
"""Where the range of an input comes from; the last is no knowledge."""

ATTRIBUTE = "model_card"
"""Where a module carries its card."""

ORIGINS = (DECLARED, MODEL_CARD, PREPROCESSING, DATA, EXAMPLE)
REMEDY = "give the smallest and the largest value of real inputs, input_range=(low, high)"


class InputRange(NamedTuple):
    """The range of one input, and where that comes from."""

    low: float
    high: float
    origin: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a network beside its graph; it stays with the network, its file and what is exported of it.

    Args:
        input_range: the smallest and the largest value of real inputs: of all inputs, or of each by its name.
        preprocessing: how images become inputs; the range follows from it where it is not given.
        labels: the names of the classes, in the order of the outputs.
        metric: how the network is scored: "top1", "miou", "psnr", "ap50".
        name: of the model.
        origin: where `input_range` comes from.
        recipe: that made a network that was read from a file.
        version: of microjoule, that wrote the file.
    """

    input_range: Ranges | None = None
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    metric: str | None = None
    name: str | None = None
    origin: str = DECLARED
    recipe: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """See that it is one, and take lists for tuples."""
        object.__setattr__(self, "labels", _texts(self.labels))
        object.__setattr__(self, "input_range", _ranges(self.input_range))
        if self.origin not in ORIGINS:
            raise SettingError("origin", f"is {self.origin!r}", remedy=f"use one of {', '.join(ORIGINS)}")

    def range_of(self, name: str) -> InputRange | None:
        """The range of an input, and where it comes from; None if nothing but an example told it."""
        given = self.input_range
        known = given.get(name) if isinstance(given, Mapping) else given
        if known is not None and self.origin != EXAMPLE:
            return InputRange(*known, self.origin)
        if self.preprocessing is not None:
            return InputRange(*self.preprocessing.value_range, PREPROCESSING)
        return None

    def over(self, other: "ModelCard") -> "ModelCard":
        """This card, with what another one knows where this one knows nothing."""
        ranged = other if self.input_range is None and self.preprocessing is None else self
        return replace(
            self,
            input_range=ranged.input_range,
            origin=ranged.origin,
            preprocessing=self.preprocessing or other.preprocessing,
            labels=self.labels or other.labels,
            metric=self.metric or other.metric,
            name=self.name or other.name,
        )


class Described(Protocol):
    """A network, as far as `metadata` looks at it."""

    @property
    def card(self) -> ModelCard:
        """What is known of it."""

    @property
    def history(self) -> Sequence[Record]:
        """What was done to it."""


def range_in(ranges: Ranges, name: str) -> Range:
    """The range of one input.

    Raises:
        SettingError: if there is none for it.
    """
    if not isinstance(ranges, Mapping):
        return ranges
    if name not in ranges:
        fact = f"has no entry for {name}, but for {', '.join(ranges) or 'none'}"
        raise SettingError("input_range", fact, remedy="give the range of each input by its name")
    return ranges[name]


def metadata(network: Described) -> dict[str, Any]:
    """A network's card as plain values for JSON, with the recipe that made it and the version of microjoule."""
    runs = [record.recipe for record in network.history if isinstance(record, Run)]
    made = replace(network.card, recipe=runs[-1] if runs else network.card.recipe, version=_version())
    content = asdict(made)
    return {key: value for key, value in content.items() if value not in (None, ())}


def card_of(content: Any) -> ModelCard:
    """Read what `metadata` made, through JSON.

    Raises:
        ValueError: if it is something else.
        TypeError: likewise.
    """
    if not isinstance(content, Mapping) or not content.keys() <= set(ModelCard.__dataclass_fields__):
        raise ValueError("the card has fields that it cannot have")
    given = dict(content)
    for name in ("metric", "name", "origin", "recipe", "version"):
        if not isinstance(given.get(name), str | None):
            raise TypeError(f"the card's {name} is no text")
    if given.get("preprocessing") is not None:
        given["preprocessing"] = preprocessing_of(given["preprocessing"])
    return ModelCard(**given)


def _version() -> str | None:
    try:
        return version("microjoule")
    except PackageNotFoundError:
        return None


def _ranges(given: Any) -> Range | dict[str, Range] | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {str(name): _range(one, f"input_range of {name}") for name, one in given.items()}
    return _range(given, "input_range")


def _range(given: Any, place: str) -> Range:
    try:
        low, high = (float(bound) for bound in given)
    except (TypeError, ValueError) as error:
        raise SettingError(place, f"is {given!r}", remedy=REMEDY) from error
    if not -math.inf < low < high < math.inf:
        raise SettingError(place, f"is {(low, high)}", remedy=REMEDY)
    return low, high


def _texts(given: Iterable[Any]) -> tuple[str, ...]:
    labels = tuple(given)
    if isinstance(given, str) or not all(isinstance(label, str) for label in labels):
        raise SettingError("labels", f"are {given!r}", remedy="give the names of the classes, in the order of outputs")
    return labels
