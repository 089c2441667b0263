"""A model of the zoo by its name."""

from pathlib import Path

from torch import nn

from microjoule.graph.card import ATTRIBUTE
from microjoule.zoo.cards import EMBEDDED, Card, card
from microjoule.zoo.weights import data_folder, filled, seeded


def load(name: str, data: str | Path | None = None) -> nn.Module:
    """A model of the zoo in eval mode: with its trained weights, or with random ones from a fixed seed if it has none.

    It carries its card, `model_card`, which `mj.capture` hands on: the range of its inputs and their preprocessing.

    Args:
        name: one of `names()`.
        data: the folder that holds `weights`; if None, the environment variable MICROJOULE_DATA, else `../shared/data`.

    Raises:
        SettingError: there is no such model.
        FileError: its weights are missing or damaged.
    """
    entry = card(name)
    module = _with_weights(entry, data)
    setattr(module, ATTRIBUTE, entry.model_card)
    return module


def _with_weights(entry: Card, data: str | Path | None) -> nn.Module:
    if entry.licence is None:
        return seeded(entry.build)
    if entry.name in EMBEDDED:
        return filled(entry.build(), Path(__file__).with_name("embedded") / f"{entry.name}.safetensors")
    path = data_folder(data) / "weights" / f"{entry.name}.safetensors"
    return filled(entry.build(), path, entry.rename)
