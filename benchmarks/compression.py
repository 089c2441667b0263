"""Networks made smaller in one shot, at 25 % and 50 % fewer multiply-accumulates, against AIMET and torch-pruning.

What `compression_cifar10`, `compression_imagenet` and `compression_by_aimet` have in common.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks import aimet_recipe
from benchmarks.against_aimet import AIMET, MORE, NEEDS
from benchmarks.compression_cases import RESNET20, Case, case
from benchmarks.compression_plot import Point, draw
from benchmarks.differences import SEEDS, above, below, difference_in_words
from benchmarks.differences import score as plain
from benchmarks.environment import ROOT, environment, run_module
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import MOBILENET_V2, last_score, scored
from microjoule.deploy.measure import measure_together
from microjoule.records.json_io import records_from_json
from microjoule.records.measured import Evaluated

SHARES = (0.75, 0.5)

SCHEMES: tuple[aimet_recipe.Scheme, ...] = ("svd", "pruning", "both")

ONE_TAP = frozenset([MOBILENET_V2])
"""Networks of which spatial SVD applies to the first layer alone: the recipe is pruning."""

BETTER = ">= 3"
"""Points above AIMET's recipe."""

TORCH_PRUNING = "torch-pruning==1.6.1"

RUNS, RANGED = 200, 48
"""Timed runs, on one thread, as two wait for each other beside other work; and images for the ranges of int8."""

PLOTS = ROOT / "build" / "benchmarks"
"""Where plots go: they are made anew with each run, and not kept with the project."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A smaller network of one tool.

    Args:
        tool: and how, in words.
        evaluated: on the images that judge.
        left: the share of multiply-accumulates.
    """

    tool: str
    evaluated: Evaluated
    left: float

    @property
    def accuracy(self) -> float:
        """In per cent."""
        return self.evaluated.value

    @property
    def words(self) -> str:
        """For what a figure was compared with."""
        return f"{self.tool} {self.accuracy:.2f} with {self.left:.1%} of the MACs"


def parts_of(names: Sequence[str], data: Path, minutes: float) -> Sequence[Part]:
    """A part for each network, with a plot of its own among `PLOTS`.

    Args:
        names: of the networks.
        data: a folder of the layout that the zoo reads.
        minutes: that each takes.
    """
    return [Part(name, minutes, partial(_network, name, data)) for name in names]


def ours(given: Case, share: float, *, multiple: int = 1, seed: int = 0) -> mj.Network:
    """What is measured: one call. It fits to four fifths of the images, and scores ways on the others.

    Args:
        given: the network, the images that it may look at, and those that judge.
        share: of multiply-accumulates that may be left.
        multiple: of which widths and ranks are.
        seed: of what is looked at.
    """
    images, how = (given.images.inputs, given.images.labels), {"macs": share, "multiple": multiple, "seed": seed}
    judged: dict[str, Any] = {"confirm": given.judges, **how}
    return mj.compress(given.given.network, images, given.given.metric, **judged)


def _network(name: str, data: Path, kept: Partial) -> Iterator[Figure]:
    """A network at every share, against the best of what the recipe gives and the best of torch-pruning."""
    given = case(name, data)
    subject, whole = given.given, macs_of(given.given.network)
    exact = kept.evaluated(f"{name} original", lambda: scored(subject.network, subject, "original"))
    yield plain(f"{name} before", exact, f"{whole:,} MACs")
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        folder = Path(place)
        others = by_torch_pruning(name, data, folder, kept)
        timed, outcomes = {"original": subject.network}, [Outcome("original", exact, 1.0)]
        schemes = SCHEMES[1:2] if name in ONE_TAP else SCHEMES
        known = {one: aimet_recipe.scores_of(subject.network, given.images, one) for one in schemes if one != "both"}
        for share in SHARES:
            mine = ours(given, share)
            found = [last_score(mine, "microjoule")]
            found += [
                kept.evaluated(f"{name} {share} {seed}", partial(_again, name, data, share, seed)) for seed in SEEDS[1:]
            ]
            own = Outcome("microjoule", found[0], macs_of(mine) / whole)
            recipes = list(_recipes(given, schemes, known, share, whole))
            best_recipe, network = max(recipes, key=lambda pair: pair[0].accuracy)
            yield from compared(
                f"{name}, {share:.0%} of the MACs", exact, found, [one for one, _ in recipes], others[share]
            )
            yield Figure(
                f"{name}, {share:.0%} of the MACs, left", own.left, "share", f"<= {share}", "of the original's"
            )
            timed |= {f"microjoule {share:.0%}": mine, f"AIMET's recipe {share:.0%}": network}
            outcomes += [own, best_recipe]
        yield from latencies(given, timed, outcomes, folder, points)
    draw(points, PLOTS / f"{name}.html")


def _again(name: str, data: Path, share: float, seed: int) -> Evaluated:
    """The score of ours with another seed, and other images to look at."""
    return last_score(ours(case(name, data, seed), share, seed=seed), "microjoule")


def _recipes(
    given: Case, schemes: Sequence[aimet_recipe.Scheme], known: Any, share: float, whole: int
) -> Iterator[tuple[Outcome, mj.Network]]:
    """What each scheme of AIMET's recipe gives."""
    for scheme in schemes:
        found = aimet_recipe.compressed(given.given.network, given.images, macs=share, scheme=scheme, known=known)
        name = f"recipe, {scheme}"
        yield Outcome(name, scored(found, given.given, name), macs_of(found) / whole), found


def compared(
    name: str, exact: Evaluated, found: Sequence[Evaluated], recipes: Sequence[Outcome], other: Outcome
) -> Iterator[Figure]:
    """What is lost, and the points above the best of AIMET's recipe and above torch-pruning.

    The best of the others is chosen on the images that judge, which flatters it.

    Args:
        name: of the network and its share.
        exact: the original's score.
        found: ours, with each seed.
        recipes: of AIMET's recipe, by scheme.
        other: the best of torch-pruning.
    """
    yield below(f"{name}, below the original", exact, found)
    top, words = max(recipes, key=lambda one: one.accuracy), "; ".join(one.words for one in recipes)
    yield above(f"{name}, above AIMET's recipe", top.evaluated, found, goal=BETTER, told=words)
    yield above(f"{name}, above torch-pruning", other.evaluated, found, goal=BETTER, told=other.words)


# Latency --------------------------------------------------------------------------------------------------------------


def latencies(
    given: Case, networks: dict[str, mj.Network], outcomes: Sequence[Outcome], folder: Path, points: list[Point]
) -> Iterator[Figure]:
    """Milliseconds of every network in FP32 and int8, in turns, as shares of the original's.

    Args:
        given: the original, and images for the ranges of int8.
        networks: by what made them; the original first.
        outcomes: of each.
        folder: for their files.
        points: of a plot; one is added for each.
    """
    subject, paths, lost = given.given, [], {}
    for number, (name, network) in enumerate(networks.items()):
        plain = network.copy()
        mj.fold_batch_norms(plain)
        ranged = given.images.inputs[:RANGED]
        integer = mj.recipes.data_free(network, input_range=subject.input_range, data=ranged)
        lost[name] = scored(integer, subject, f"int8 {name}")
        for kind, one in (("fp32", plain), ("int8", integer)):
            paths.append(folder / f"{subject.name}-{number}-{kind}.onnx")
            mj.export(one, paths[-1])
    times = [one.latency_low_ms for one in measure_together(paths, runs=RUNS, threads=1)]
    pairs = list(zip(times[::2], times[1::2], strict=True))
    for (name, _), (exact_ms, integer_ms), outcome in zip(networks.items(), pairs, outcomes, strict=True):
        accuracy = outcome.accuracy, outcome.left, exact_ms, lost[name].value
        points.append(Point(subject.name, name, *accuracy, integer_ms))
        told = f"{exact_ms:.3f} ms, the original {pairs[0][0]:.3f} ms; {outcome.left:.1%} of the MACs"
        yield Figure(f"{subject.name}, {name}, FP32 latency", exact_ms / pairs[0][0], "x", None, told)
        right = difference_in_words(lost[name], outcomes[0].evaluated)
        told = f"{integer_ms:.3f} ms, the original {pairs[0][1]:.3f} ms; {right}"
        yield Figure(f"{subject.name}, {name}, int8 latency", integer_ms / pairs[0][1], "x", None, told)


def macs_of(network: mj.Network) -> int:
    """Multiply-accumulates of a network, which is left as it is."""
    return mj.costs(network.copy()).macs


# Other tools ----------------------------------------------------------------------------------------------------------


def by_torch_pruning(name: str, data: Path, folder: Path, kept: Partial) -> dict[float, Outcome]:
    """The best of torch-pruning's methods at each share, with and without batch norms measured anew.

    Args:
        name: of the network.
        data: a folder of the layout that the zoo reads.
        folder: for its environment and its result.
        kept: what is done already.
    """

    def measured() -> str:
        python = environment(folder / "torch_pruning", (TORCH_PRUNING,), ("numpy",))
        result = folder / f"{name}-torch-pruning.json"
        words = (name, "--data", str(data), "--result", str(result), "--shares", *map(str, SHARES))
        run_module(python, "benchmarks.torch_pruning_run", words, result, place=f"torch-pruning on {name}")
        return result.read_text(encoding="utf-8")

    found = json.loads(kept.text(f"{name} torch-pruning", measured))["outcomes"]
    return {share: best(one for one in found if one["share"] == share) for share in SHARES}


def best(outcomes: Iterable[dict[str, Any]]) -> Outcome:
    """The most accurate of what torch-pruning gives.

    Args:
        outcomes: as `benchmarks.torch_pruning_run` writes them.
    """
    each = []
    for one in outcomes:
        name = f"torch-pruning, {one['method']}"
        each.append(Outcome(name, evaluation(one["evaluated"]), one["left"]))
        if one["evaluated_norms"] is not None:
            each.append(Outcome(f"{name}, norms anew", evaluation(one["evaluated_norms"]), one["left"]))
    return max(each, key=lambda outcome: outcome.accuracy)


def evaluation(content: dict[str, Any]) -> Evaluated:
    """An evaluation that another process wrote.

    Args:
        content: of its JSON.
    """
    (record,) = records_from_json(json.dumps(content))
    assert isinstance(record, Evaluated)
    return record


def aimet_parts(data: Path) -> Sequence[Part]:
    """What aimet-torch itself makes of ResNet-20, for comparison with the recipe.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part("aimet-torch", 20, partial(_by_aimet, data))]


def _by_aimet(data: Path, kept: Partial) -> Iterator[Figure]:
    given = case(RESNET20, data).given
    exact = kept.evaluated("original", lambda: scored(given.network, given, "original"))
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        folder = Path(place)
        python = environment(folder / "aimet", (AIMET,), (*NEEDS, *MORE))
        for scheme in SCHEMES[:2]:
            for share in SHARES:
                result = folder / f"aimet-{scheme}-{share}.json"
                words = (RESNET20, scheme, str(share), "--data", str(data), "--result", str(result))
                run, told = "benchmarks.aimet_compression_run", f"{AIMET} on {RESNET20}"
                found = run_module(python, run, words, result, place=told)
                (one,) = found["outcomes"]
                name = f"{RESNET20}, {share:.0%} by {AIMET} itself, {scheme}, below the original"
                left = f"{one['left']:.1%} of the MACs"
                yield below(name, exact, [evaluation(one["evaluated"])], told=left)
