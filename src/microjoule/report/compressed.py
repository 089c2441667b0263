"""What was left away of a network, in words."""

from collections.abc import Callable
from typing import Any

from microjoule.records.pruned import ChannelsRemoved
from microjoule.report import units
from microjoule.report.step import Step
from microjoule.report.units import many


def channels_removed(record: ChannelsRemoved) -> Step:
    """Which layers make fewer channels."""
    before, after = record.parameters_before, record.parameters_after
    lost = sum(size - left for size, left in record.units.values())
    share = units.percent(1 - after / before) if before else "0 %"
    summary = (
        f"{many(lost, 'unit')} of {many(len(record.units), 'group')}: {share} fewer parameters, {after:,} are left"
    )
    details = tuple((path, f"{left:,} of {size:,} channels") for path, (size, left) in record.channels.items())
    return Step("Removed channels", summary, details)


WORDS: dict[type[Any], Callable[[Any], Step]] = {ChannelsRemoved: channels_removed}
"""By the kind of record."""
