"""Numbers for people: three digits that matter, and a unit."""

import math
from collections.abc import Callable

PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"

Words = Callable[[float], str]
"""A number to what a person reads."""


def digits(value: float) -> str:
    """Three significant digits, thousands apart, no exponent between 0.001 and a million million."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: f"{MINUS}∞"}.get(value, "not a number")
    size = abs(value)
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    text = f"{value:,.{places}f}" if size >= 0.0995 or size == 0 else f"{value:.3g}"
    return ("0" if size == 0 else text).replace("-", MINUS)


def exponent(value: float) -> int:
    """The power of a thousand whose prefix suits a value: -3 for 0.02, 6 for 3 million."""
    if value == 0 or not math.isfinite(value):
        return 0
    # 999.5 would be shown as "1,000", so the next prefix starts there.
    power = 3 * math.floor(math.log10(abs(value) / 0.9995) / 3)
    return min(max(power, min(PREFIXES)), max(PREFIXES))


def si(value: float, unit: str) -> str:
    """A value with a prefix before its unit: 0.0021 J is "2.10 mJ"."""
    power = exponent(value)
    return f"{digits(value / 10.0**power)} {PREFIXES[power]}{unit}".strip()


def size(size_bytes: float) -> str:
    """Bytes as kB, MB, GB (powers of a thousand)."""
    return f"{size_bytes:.0f} B" if abs(size_bytes) < 1000 else si(size_bytes, "B")


def count(number: float) -> str:
    """A count: 320 stays, 3,504,872 is "3.50 M"."""
    return f"{number:.0f}" if abs(number) < 1000 else si(number, "")


def many(number: int, noun: str) -> str:
    """A number of things: "1 layer", "2 layers"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def energy(energy_pj: float) -> str:
    """Picojoule as nJ, µJ, mJ."""
    return si(energy_pj * 1e-12, "J")


def latency(latency_ms: float) -> str:
    """Milliseconds as µs, ms, s."""
    return si(latency_ms * 1e-3, "s")


def cost_name(cost: str) -> str:
    """What a budget counts, as people write it."""
    return {"macs": "MACs", "bops": "bit operations"}.get(cost, cost)


def cost_axis(cost: str, unit: str) -> str:
    """A cost with its unit, where that says more."""
    name = cost_name(cost)
    return with_unit(name, "" if unit == name else unit)


def with_unit(name: str, unit: str) -> str:
    """A name for an axis, with its unit if there is one: "mIoU (%)"."""
    return f"{name} ({unit})" if unit else name


def amount(cost: float, unit: str) -> str:
    """A cost in "pJ", "B" or "ms"; in another unit it is a count."""
    words: dict[str, Words] = {"pJ": energy, "B": size, "ms": latency}
    return words.get(unit, count)(cost)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds >= 90:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return si(seconds, "s")


def ratio(after: float, before: float) -> str:
    """How many times: "0.26×", "51×"; a dash where there is nothing to divide by."""
    return times(after / before) if before else NONE


def times(factor: float) -> str:
    """A factor with two digits that matter."""
    if not math.isfinite(factor) or factor >= 9.95:
        return f"{digits(factor) if not math.isfinite(factor) else format(factor, ',.0f')}×"
    return f"{factor:.1f}×" if factor >= 0.995 else f"{factor:.2g}×"


def decibel(ratio_db: float) -> str:
    """A ratio in dB with one decimal."""
    return f"{ratio_db:.1f}".replace("-", MINUS) if math.isfinite(ratio_db) else digits(ratio_db)


def fixed(value: float, largest: float) -> str:
    """A value with as many decimals as the largest of its column needs for three digits, so that columns line up."""
    places = 0 if abs(largest) >= 99.95 else 1 if abs(largest) >= 9.995 else 2
    if value != 0 and abs(value) < 0.5 * 10.0**-places:
        return f"< {10.0**-places:.{places}f}"
    return f"{value:,.{places}f}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share of 0 to 1 as percent; never "100 %" for less than all, nor "0 %" for more than none."""
    if share < 1 and round(share * 100, 2) >= 100:
        return "> 99.99 %"
    if share > 0 and round(share * 100, 2) <= 0:
        return "< 0.01 %"
    return f"{share * 100:.2f} %" if 0 < share < 1 else f"{share * 100:.0f} %"


def rounded_percent(share: float) -> str:
    """A share in a sentence, two digits that matter: "26 %", "5.4 %"."""
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.2g} %"


def score(value: float, unit: str) -> str:
    """A metric's value in its unit, with two decimals."""
    return f"{_two(value)} {unit}".strip()


def difference(change: float, unit: str) -> str:
    """A change with its sign; percent differ by points."""
    sign = "+" if change > 0 else ""
    return f"{sign}{_two(change)} {'points' if unit == '%' else unit}".strip()


def with_error(change: float, error: float | None, unit: str) -> str:
    """A change with its standard error: "-0.46 ± 0.71 points"; None for an error that is not known."""
    told = difference(change, unit)
    if error is None:
        return told
    amount_, _, name = told.partition(" ")
    return f"{amount_} ± {_two(error)} {name}".strip()


def value_with_error(value: float, error: float | None, unit: str) -> str:
    """A value with the standard error of its difference to another: "77.08 ± 0.71 %"; None for one not known."""
    return score(value, unit) if error is None else f"{_two(value)} ± {_two(error)} {unit}".strip()


def rough(number: int) -> str:
    """A count with two digits that matter: 6,093 is "6,100"."""
    power = max(0, len(str(number)) - 2)
    return f"{round(number, -power):,}"


def _two(value: float) -> str:
    if not math.isfinite(value):
        return digits(value)
    return f"{round(value, 2) + 0.0:.2f}".replace("-", MINUS)
