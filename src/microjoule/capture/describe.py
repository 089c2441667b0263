"""What a module says of itself: a card that it carries, or the configuration that its library hung on it.

Configurations are read as plain values, so no library is imported: timm's `pretrained_cfg` and `default_cfg` (mean,
std, sizes), the configuration of an image processor of transformers (`image_processor`, `preprocessor_config`), and
the names of classes in `config.id2label`.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from microjoule.graph.card import ATTRIBUTE, MODEL_CARD, ModelCard
from microjoule.graph.preprocessing import Preprocessing

TIMM = ("pretrained_cfg", "default_cfg")
PROCESSORS = ("image_processor", "preprocessor_config")

PIXELS = 255
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers for ways to resize."""

PLACEHOLDER = re.compile(r"LABEL_\d+")
"""What transformers calls a class that has no name."""


def described(module: nn.Module, given: ModelCard | None = None) -> ModelCard:
    """All that is known of a module: what the caller gives, its card, its library's configuration, in this order.

    Args:
        module: that may carry a card, or a configuration.
        given: by the caller; or None.
    """
    own = getattr(module, ATTRIBUTE, None)
    found = _from_configuration(module)
    if isinstance(own, ModelCard):
        found = _as_model_card(own).over(found)
    return found if given is None else given.over(found)


def _as_model_card(card: ModelCard) -> ModelCard:
    """A card whose range is said to be from a model's card."""
    return ModelCard(card.input_range, card.preprocessing, card.labels, card.metric, card.name, MODEL_CARD)


def _from_configuration(module: nn.Module) -> ModelCard:
    prepared = next((p for name in PROCESSORS if (p := _processed(_plain(module, name))) is not None), None)
    if prepared is None:
        prepared = next((p for name in TIMM if (p := _timm(_plain(module, name))) is not None), None)
    return ModelCard(preprocessing=prepared, labels=_labels(getattr(getattr(module, "config", None), "id2label", None)))


def _plain(module: nn.Module, name: str) -> Mapping[str, Any]:
    """A configuration as a mapping; an empty one where there is none."""
    found = getattr(module, name, None)
    to_dict = getattr(found, "to_dict", None)
    if not isinstance(found, Mapping) and callable(to_dict):
        found = to_dict()
    return found if isinstance(found, Mapping) else {}


def _timm(config: Mapping[str, Any]) -> Preprocessing | None:
    """From timm's configuration of a model; None where it tells nothing that can be used."""
    try:
        mean, std = (tuple(float(value) for value in config[name]) for name in ("mean", "std"))
        size = tuple(int(side) for side in config.get("input_size", ())[-2:])
        share, cut = float(config.get("crop_pct") or 1.0), config.get("crop_mode", "center") == "center"
        return Preprocessing(
            mean,
            std,
            size=(size[0], size[1]) if len(size) == 2 else None,
            resize=int(min(size) / share) if len(size) == 2 and cut else None,
            interpolation=str(config.get("interpolation") or "bilinear"),
            colours="L" if len(mean) == 1 else "RGB",
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _processed(config: Mapping[str, Any]) -> Preprocessing | None:
    """From the configuration of an image processor of transformers; None where it tells nothing that can be used."""
    try:
        scaled = float(config["rescale_factor"]) if config.get("do_rescale", True) else 1.0
        normalised = config.get("do_normalize", True)
        mean, std = (config["image_mean"], config["image_std"]) if normalised else ([0.0], [1.0])
        size, cut = config.get("size") or {}, config.get("crop_size") or {}
        shown = cut if config.get("do_center_crop") and cut else size
        whole = scaled * PIXELS
        return Preprocessing(
            tuple(float(value) / whole for value in mean),
            tuple(float(value) / whole for value in std),
            size=(int(shown["height"]), int(shown["width"])) if "height" in shown else None,
            resize=int(size["shortest_edge"]) if "shortest_edge" in size else None,
            interpolation=RESAMPLING[int(config.get("resample", 2))],
            colours="L" if len(mean) == 1 and normalised else "RGB",
        )
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        return None


def _labels(names: Any) -> tuple[str, ...]:
    """The names of classes 0, 1, ...; none where some are missing or stand for no name."""
    if not isinstance(names, Mapping):
        return ()
    try:
        known = {int(number): str(name) for number, name in names.items()}
    except (TypeError, ValueError):
        return ()
    if sorted(known) != list(range(len(known))) or all(PLACEHOLDER.fullmatch(name) for name in known.values()):
        return ()
    return tuple(known[number] for number in range(len(known)))
