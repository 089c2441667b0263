"""One measured figure: a value with a unit, what it should be, and what it was compared with."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from microjoule.errors import SettingError

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
"""How a goal compares the value (left) with its bound (right)."""

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


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    Args:
        name: what was measured, for example "MobileNetV2 W8A8 below FP32".
        value: a finite number.
        unit: of the value: "points", "ms", "x" for a ratio, "share" ...
        goal: what it should be, for example "<= 1.0"; None for a figure that is only told.
        compared_with: the other side of the comparison, for example "FP32 71.9 %, 650 images".

    Raises:
        SettingError: if the value is not finite, or the goal cannot be read.
    """

    name: str
    value: float
    unit: str
    goal: str | None = None
    compared_with: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise SettingError(
                self.name, f"the value is {self.value}", remedy="measure it again; a figure is a finite number"
            )
        if self.goal is not None:
            Goal.parse(self.goal)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        return None if self.goal is None else Goal.parse(self.goal).is_met_by(self.value)

    @property
    def shown(self) -> str:
        """The value with its unit, for people: counts in full, all else with four digits."""
        number = f"{self.value:,.0f}" if float(self.value).is_integer() else f"{self.value:.4g}"
        return f"{number} {self.unit}"
