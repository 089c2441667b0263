"""Random small networks: captured at three batches, saved, folded, equalized, quantized; some exported and verified.

What is found of each seed is kept in the system's folder for temporary files, so that an interrupted benchmark goes on
where it was.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from benchmarks.figure import Figure
from benchmarks.partial_results import state_of
from benchmarks.random_checks import check
from microjoule.execution.tasks import Jobs, Work, run_tasks
from microjoule.jobs.identity import Identity, option_facts
from microjoule.jobs.run_folder import RunFolder

NETWORKS, DEPLOYED = 10_000, 1_000
"""Networks, and how many of them are exported and verified."""

REFUSED = "refused"


def figures(data: Path) -> Iterator[Figure]:
    """How many come out right, are refused, or are wrong.

    Args:
        data: is not read; its name tells results of one state from another's.
    """
    place = Path(tempfile.gettempdir()) / "microjoule-random-networks"
    with RunFolder(place, lambda: Identity.of(option_facts({"state": state_of(data)}))) as kept:
        names, jobs = [str(seed) for seed in range(NETWORKS)], Jobs(os.cpu_count() or 1)
        found = run_tasks(_work, names, kept, _parsed, label="random networks", jobs=jobs)
    yield from told({int(seed): outcome for seed, outcome in found.items()})


def told(found: Mapping[int, tuple[str, str]]) -> Iterator[Figure]:
    """What the outcomes say.

    Args:
        found: by seed the stage at which something was wrong, or refused, and what was said; empty if all was right.
    """
    refused = {seed: said for seed, (stage, said) in found.items() if stage.startswith(REFUSED)}
    wrong = {seed: (stage, said) for seed, (stage, said) in found.items() if stage and seed not in refused}
    for seed, (stage, said) in wrong.items():
        sys.stderr.write(f"seed {seed}, {stage}: {said}\n")
    stages = ", ".join(f"{count} {stage}" for stage, count in Counter(stage for stage, _ in wrong.values()).items())
    deployed = sum(seed < DEPLOYED for seed in found)
    compared = (
        f"{len(found) - len(wrong) - len(refused):,} right, {len(refused):,} refused, {deployed:,} of all verified"
    )
    yield Figure(
        "random networks, wrong at any stage", len(wrong), f"of {len(found):,}", "== 0", f"{compared}; {stages}"
    )
    share = len(refused) / len(found)
    yield Figure("random networks, refused", share, "share", "<= 0.02", "; ".join(list(refused.values())[:2]))


def _work() -> Work:
    torch.set_num_threads(1)
    return lambda seed: json.dumps(check(int(seed), deploy=int(seed) < DEPLOYED)[1:])


def _parsed(text: str) -> tuple[str, str]:
    stage, said = json.loads(text)
    if not isinstance(stage, str) or not isinstance(said, str):
        raise TypeError("it is no outcome")
    return stage, said
