"""What a command line says of a model's inputs and classes, noted on the network's card for later commands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from microjoule.cli.choices import PREPARE
from microjoule.cli.classes import read_classes
from microjoule.cli.names import NORMALISATIONS
from microjoule.cli.values import named_values, normalisation, range_of, whole_numbers
from microjoule.errors import SettingError
from microjoule.graph.card import DECLARED
from microjoule.graph.network import Network
from microjoule.graph.notice import notice
from microjoule.graph.preprocessing import Preprocessing
from microjoule.records.noticed import Noticed


@dataclass(frozen=True, slots=True)
class Words:
    """What the user wrote of inputs and classes; None where nothing was.

    Args:
        size: height and width of images.
        normalise: a name of cli.names, or MEAN STD.
        prepare: NAME=VALUE of `PREPARE`.
        input_range: LOW,HIGH.
        classes: a class list.
    """

    size: str | None = None
    normalise: str | None = None
    prepare: Sequence[str] | None = None
    input_range: str | None = None
    classes: Path | None = None


def describe(network: Network, words: Words) -> None:
    """Note on a network's card what the user says of it; what contradicts what was known is told.

    Raises:
        SettingError: for what cannot be.
        FileError: if the class list cannot be read.
    """
    known, card = network.card, network.card
    if words.classes is not None:
        card = replace(card, labels=read_classes(words.classes))
        _tell(network, "labels", known.labels, card.labels)
    prepared = _prepared(network, words)
    if prepared is not None and prepared != card.preprocessing:
        card = replace(card, preprocessing=prepared)
        _tell(network, "preprocessing", _plain(known.preprocessing), _plain(prepared))
        if _plain(known.preprocessing) != _plain(prepared) and known.origin != DECLARED:
            card = replace(card, input_range=None, origin=DECLARED)
    bounds = range_of("--input-range", words.input_range)
    if bounds is not None:
        _tell(network, "input range", known.input_range, bounds)
        card = replace(card, input_range=bounds, origin=DECLARED)
    network.card = card


def _prepared(network: Network, words: Words) -> Preprocessing | None:
    """How images are prepared; None if nobody says so."""
    channels, known = image_channels(network), network.card.preprocessing
    chosen = named_values("--prepare", words.prepare or (), PREPARE)
    if words.normalise is None and known is None:
        if words.size is not None or chosen:
            raise normalise_needed("--size" if words.size is not None else "--prepare")
        return None
    if channels is None:
        if words.normalise is None:
            return known
        raise SettingError("--normalise", "is for images, and the network takes none", remedy="leave it out")
    base = known if words.normalise is None else _normalised(words.normalise, channels, known)
    assert base is not None
    given: dict[str, Any] = {name: value for name, value in chosen.items() if name != "resize"}
    if "resize" in chosen:
        given["resize"] = whole_numbers("--prepare resize", chosen["resize"], at_least=1)[0]
    if words.size is not None:
        sizes = whole_numbers("--size", words.size, at_least=1)
        if len(sizes) > 2:
            remedy = "write HEIGHT,WIDTH, or one number for a square"
            raise SettingError("--size", f"is {words.size!r}", remedy=remedy)
        given["size"] = sizes[0], sizes[-1]
    return replace(base.for_channels(channels), **given)


def _normalised(text: str, channels: int, known: Preprocessing | None) -> Preprocessing:
    """Mean and deviation by name or by number, and all else as it was known."""
    if text in NORMALISATIONS:
        named = NORMALISATIONS[text]
        mean, std, peak = named.mean[:1], named.std[:1], named.peak
        if channels == len(named.mean):
            mean, std = named.mean, named.std
    elif any(letter.isdigit() for letter in text):
        (mean, std), peak = normalisation("--normalise", text), 255.0
    else:
        names = ", ".join(NORMALISATIONS)
        raise SettingError("--normalise", f"is {text!r}", remedy=f"use one of {names}, or write MEAN STD")
    if len(mean) == 1:
        mean, std = mean * channels, std * channels
    if len(mean) != channels:
        fact = f"has {len(mean)} means, and the network takes {channels} channels"
        raise SettingError("--normalise", fact, remedy="write a mean and a deviation for each channel, or one for all")
    if known is None or len(known.mean) != channels:
        return Preprocessing(mean, std, peak, colours="L" if channels == 1 else "RGB")
    return replace(known, mean=mean, std=std, peak=peak)


def image_channels(network: Network) -> int | None:
    """How many channels the images have that a network takes; None if it takes something else."""
    tensors: list[Tensor] = network.example.tensors
    if len(tensors) != 1 or tensors[0].dim() != 4:
        return None
    last = network.card.preprocessing is not None and network.card.preprocessing.layout == "NHWC"
    channels = tensors[0].shape[-1 if last or tensors[0].shape[1] not in (1, 3) else 1]
    return int(channels) if channels in (1, 3) else None


def normalise_needed(place: str) -> SettingError:
    """The error for images of which nothing tells how they become inputs."""
    fact = "nothing tells how pixels become inputs of this network, and a wrong guess costs accuracy without an error"
    remedy = "give --normalise imagenet, none (0 to 1), or MEAN STD; what quantize saves remembers it"
    return SettingError(place, fact, remedy=remedy)


def _tell(network: Network, what: str, known: Any, given: Any) -> None:
    if known and known != given:
        fact = f"its {what} is {_short(given)} from now on, and was {_short(known)}"
        notice(network, Noticed("model card", "the model's card", fact, "leave the option out if the card was right"))


def _plain(how: Preprocessing | None) -> str:
    """What decides an input's values, in words."""
    if how is None:
        return ""
    mean, std = (",".join(f"{value:.4g}" for value in values) for values in (how.mean, how.std))
    return f"(pixel / {how.peak:g} - {mean}) / {std}, {how.colours} {how.layout}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
