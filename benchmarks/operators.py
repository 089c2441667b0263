"""Operators x attributes: each ATen overload with attributes off their defaults, from capture to integers.

A case is one overload with values for its attributes; what PyTorch itself refuses is none. At each step the outputs are
what they were at the step before, or the step is refused with place, fact and remedy. A step that gives something else
is a silent difference, of which there are to be none. What is found is kept in the system's folder for temporary files,
so that an interrupted benchmark goes on where it was.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.figure import Figure
from benchmarks.operator_cases import Case
from benchmarks.operator_trials import BROKEN, DIFFERENT, REFUSED, SAME, STEPS, Outcomes, outcomes
from benchmarks.operators_of_images import IMAGES
from benchmarks.operators_of_layers import LAYERS
from benchmarks.operators_of_shapes import SHAPES
from benchmarks.operators_of_values import VALUES
from benchmarks.partial_results import state_of
from microjoule.execution.tasks import Jobs, Work, run_tasks
from microjoule.jobs.identity import Identity, option_facts
from microjoule.jobs.run_folder import RunFolder

OPERATORS = (*LAYERS, *IMAGES, *SHAPES, *VALUES)

AT_ONCE = 12
"""Cases that go into one file."""

MET_IN_MODELS = Path(__file__).parent / "overloads.json"
"""Every overload that a model of `coverage` was captured to."""

NO_VALUES = frozenset(("sym_size.int", "arange.default", "arange.start", "to.device"))
"""Overloads that read no values of tensors, or change none."""


def figures(data: Path) -> Iterator[Figure]:
    """How many cases come out alike, are refused, or differ, at each step.

    Args:
        data: is not read; its name tells results of one state from another's.
    """
    place = Path(tempfile.gettempdir()) / "microjoule-operators"
    known = list(cases())
    groups = {known[at]: known[at : at + AT_ONCE] for at in range(0, len(known), AT_ONCE)}
    with RunFolder(place, lambda: Identity.of(option_facts({"state": state_of(data)}))) as kept:
        jobs = Jobs(os.cpu_count() or 1)
        found = run_tasks(partial(_work, groups), list(groups), kept, _parsed, label="operators", jobs=jobs)
    yield from told({name: one for group in found.values() for name, one in group.items()})
    met = json.loads(MET_IN_MODELS.read_text(encoding="utf-8"))
    without = sorted(set(met) - NO_VALUES - {operator.name for operator in OPERATORS})
    yield Figure("overloads met in models that no case tries", len(without), "overloads", "== 0", ", ".join(without))


def cases() -> dict[str, Case]:
    """Every case that PyTorch takes, by name."""
    return {case.name: case for operator in OPERATORS for case in operator.cases() if _is_one(case)}


def _is_one(case: Case) -> bool:
    """Whether PyTorch computes a case."""
    try:
        case.module()(*case.inputs())
    except (RuntimeError, IndexError, ValueError):
        return False
    return True


def told(found: Mapping[str, Outcomes]) -> Iterator[Figure]:
    """What the outcomes say.

    Args:
        found: by case and step, the outcome, and after a colon what there is to say of it.
    """
    yield Figure(
        "cases", len(found), "cases", None, f"{len(OPERATORS)} entries, {len({o.name for o in OPERATORS})} overloads"
    )
    for step in STEPS:
        outcomes = {case: one[step].partition(":")[0] for case, one in found.items() if step in one}
        counts = Counter(outcomes.values())
        wrong = [case for case, outcome in outcomes.items() if outcome in (DIFFERENT, BROKEN)]
        compared = f"{counts[SAME]:,} the same, {counts[REFUSED]:,} refused; {', '.join(wrong[:5]) or 'none'}"
        yield Figure(f"{step}, silent differences", len(wrong), f"of {len(outcomes):,} cases", "== 0", compared)


def _work(groups: Mapping[str, Sequence[str]]) -> Work:
    torch.set_num_threads(1)
    known = {case.name: case for operator in OPERATORS for case in operator.cases()}
    return lambda first: json.dumps(outcomes([known[name] for name in groups[first]]))


def _parsed(text: str) -> dict[str, Outcomes]:
    content = json.loads(text)
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise TypeError("it is no object of objects")
    return content
