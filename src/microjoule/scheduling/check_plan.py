"""What is wrong with a plan: every pair of buffers is looked at, in the plainest way, and nothing is believed."""

from collections.abc import Sequence

from microjoule.scheduling.arena import Buffer, Plan


def problems(plan: Plan, buffers: Sequence[Buffer], *, alignment: int = 1) -> list[str]:
    """What is wrong with a plan, in words; empty if it is sound.

    Args:
        alignment: what the offsets must be multiples of, in bytes.
    """
    if len(plan.offsets) != len(buffers):
        return [f"places {len(plan.offsets)} buffers of {len(buffers)}"]
    wrong = []
    for one, offset in zip(buffers, plan.offsets, strict=True):
        if offset < 0:
            wrong.append(f"{one.name!r} starts before the arena, at {offset}")
        if offset + one.size_bytes > plan.size_bytes:
            wrong.append(f"{one.name!r} ends at {offset + one.size_bytes}, after the arena of {plan.size_bytes} bytes")
        if offset % alignment:
            wrong.append(f"{one.name!r} starts at {offset}, which is no multiple of {alignment}")
    for second, other in enumerate(buffers):
        for first, one in enumerate(buffers[:second]):
            together = range(max(one.lower, other.lower), min(one.upper, other.upper))
            start = max(plan.offsets[first], plan.offsets[second])
            end = min(plan.offsets[first] + one.size_bytes, plan.offsets[second] + other.size_bytes)
            if together and start < end:
                wrong.append(f"{one.name!r} and {other.name!r} share the bytes {start} to {end} at {together.start}")
    return wrong
