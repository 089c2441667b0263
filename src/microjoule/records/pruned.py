"""What was left away of a network."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChannelsRemoved:
    """Channels that were left away, as (before, after).

    Args:
        units: of each channel group that lost some, by its name.
        channels: that each layer makes, by its path, where they are fewer.
        parameters_before: of the whole network.
        parameters_after: likewise.
    """

    units: dict[str, tuple[int, int]]
    channels: dict[str, tuple[int, int]]
    parameters_before: int
    parameters_after: int
