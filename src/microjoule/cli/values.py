"""The values of options, as text, to numbers; what cannot be read is said with the option's name."""

from collections.abc import Sequence

from microjoule.cli.pairs import numbers
from microjoule.errors import SettingError
from microjoule.quantization.bit_costs import uniform_widths
from microjoule.quantization.simulate import Bits

FLOAT = "none"
NORMALISE_FORM = "0.485,0.456,0.406 0.229,0.224,0.225"
LAYER_FORM = "write --layer PATH=BITS, PATH=WEIGHTS/OUTPUTS or PATH=none"


def whole_numbers(option: str, text: str, *, at_least: int) -> tuple[int, ...]:
    """Numbers between commas, such as "3,224,224" """
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(option, f"is {text!r}", remedy="write whole numbers with commas between") from error
    if any(number < at_least for number in found):
        raise SettingError(option, f"is {text!r}", remedy=f"every number must be at least {at_least}")
    return found


def range_of(option: str, text: str | None) -> tuple[float, float] | None:
    """Two numbers "LOW,HIGH" or "LOW HIGH", the first below the second; None stays None."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise SettingError(option, f"is {text!r}", remedy="write it as LOW,HIGH, for example 0,1") from error
    if not -float("inf") < low < high < float("inf"):
        raise SettingError(option, f"is {text!r}", remedy="the first number must be below the second, and both finite")
    return low, high


def normalisation(option: str, text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation "MEAN STD", each a number or a list with commas, one a channel; of pixels of 0 to 1.

    Numbers that cannot be those of pixels of 0 to 1, as they are above 1, are of pixels of 0 to 255.
    """
    parts = [numbers(part) for part in text.replace("/", " ").split()]
    if len(parts) != 2 or not parts[0] or not parts[1] or 1 != len(parts[0]) != len(parts[1]) != 1:
        raise SettingError(option, f"is {text!r}", remedy=f"write MEAN STD, for example {NORMALISE_FORM}, or a name")
    channels = max(map(len, parts))
    mean, std = ((*part,) * (channels // len(part)) for part in parts)
    whole = 255.0 if max(map(abs, (*mean, *std))) > 1 else 1.0
    return tuple(value / whole for value in mean), tuple(value / whole for value in std)


def named_values(option: str, settings: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Each "NAME=VALUE" as an entry; a name is one of those that are known."""
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not value or name not in known or name in found:
            remedy = f"write NAME=VALUE, each of {', '.join(known)} at most once"
            raise SettingError(option, f"is {setting!r}", remedy=remedy)
        found[name] = value
    return found


def bit_pairs(text: str) -> tuple[tuple[int, int], ...]:
    """Candidates, as bits of weights and inputs: "W4A8,W8A8"."""
    try:
        return tuple(uniform_widths(part) for part in text.split(","))
    except SettingError as error:
        raise SettingError(
            "--candidates", f"is {text!r}", remedy="write bits with commas between, for example W4A8,W8A8"
        ) from error


def amount_or_bits(text: str) -> float | str:
    """A budget: a number, or a text such as "W4A8", which the recipe reads."""
    try:
        return float(text)
    except ValueError:
        return text


def layer_bits(settings: Sequence[str]) -> dict[str, Bits]:
    """Each "PATH=BITS", "PATH=WEIGHTS/OUTPUTS" or "PATH=none" as an entry of what `quantize(layers=...)` takes."""
    found: dict[str, Bits] = {}
    for setting in settings:
        path, equals, value = setting.rpartition("=")
        if not equals or not path:
            raise SettingError("--layer", f"is {setting!r}", remedy=LAYER_FORM)
        if path in found:
            raise SettingError("--layer", f"names {path} twice", remedy="give a layer once")
        found[path] = _bits(setting, value)
    return found


def _bits(setting: str, value: str) -> Bits:
    if value == FLOAT:
        return None
    try:
        widths = [int(part) for part in value.split("/")]
    except ValueError as error:
        raise SettingError("--layer", f"is {setting!r}", remedy=LAYER_FORM) from error
    if len(widths) > 2:
        raise SettingError("--layer", f"is {setting!r}", remedy=LAYER_FORM)
    return widths[0] if len(widths) == 1 else (widths[0], widths[1])
