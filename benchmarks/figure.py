"""One measured figure: a value with a unit and its error, what it should be, and what it was compared with."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from microjoule.errors import SettingError

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
"""How a goal compares the value (left) with its bound (right)."""

MET, MISSED, UNDECIDED = "met", "missed", "undecided"
"""Whether a goal is met; undecided, if what was measured is within its error of the bound."""

GOAL = re.compile(r"(<=|>=|==|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a value should be, for example "<= 1.0"."""

    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Read a goal.

        Raises:
            SettingError: if the text is not a comparison followed by a number.
        """
        match = GOAL.fullmatch(text.strip())
        if match is None:
            raise SettingError(
                "goal",
                f"{text!r} is not a comparison with a number",
                remedy=f"write one of {', '.join(COMPARISONS)} and a number",
            )
        return cls(match[1], float(match[2]))

    def is_met_by(self, value: float) -> bool:
        """Whether a value is what it should be."""
        return COMPARISONS[self.sign](value, self.bound)

    def state(self, low: float, high: float) -> str:
        """Whether a value that lies somewhere between two others is what it should be.

        Args:
            low: the smaller one.
            high: the larger one.
        """
        met = {self.is_met_by(end) for end in (low, high)}
        if self.sign == "==" and low < self.bound < high:
            return UNDECIDED
        return UNDECIDED if len(met) > 1 else MET if met.pop() else MISSED


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    Args:
        name: what was measured, for example "MobileNetV2 W8A8 below FP32".
        value: a finite number.
        unit: of the value: "points", "ms", "x" for a ratio, "share" ...
        goal: what it should be, for example "<= 1.0"; None for a figure that is only told.
        compared_with: the other side of the comparison, for example "FP32 71.9 %, 650 images".
        error: its standard error; None for a figure without one, such as a count.
        interval: where the true value lies with 95 %; None takes two standard errors to each side.
        evidence: what the error is from: seeds, samples won and lost, and so on.

    Raises:
        SettingError: if the value is not finite, or the goal cannot be read.
    """

    name: str
    value: float
    unit: str
    goal: str | None = None
    compared_with: str = ""
    error: float | None = None
    interval: tuple[float, float] | None = None
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise SettingError(
                self.name, f"the value is {self.value}", remedy="measure it again; a figure is a finite number"
            )
        if self.goal is not None:
            Goal.parse(self.goal)

    @property
    def state(self) -> str:
        """`MET`, `MISSED` or `UNDECIDED`; empty if there is no goal."""
        if self.goal is None:
            return ""
        width = 2 * (self.error or 0.0)
        low, high = self.interval or (self.value - width, self.value + width)
        return Goal.parse(self.goal).state(low, high)

    @property
    def shown(self) -> str:
        """The value with its unit, for people: counts in full, all else with four digits, or with its error."""
        if self.error is not None:
            return f"{self.value:.2f} ± {self.error:.2f} {self.unit}"
        number = f"{self.value:,.0f}" if float(self.value).is_integer() else f"{self.value:.4g}"
        return f"{number} {self.unit}"
