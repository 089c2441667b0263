"""Networks made smaller in one shot, at 25 % and 50 % fewer multiply-accumulates, against AIMET and torch-pruning.

What `compression_cifar10`, `compression_imagenet` and `compression_by_aimet` have in common.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks import aimet_recipe
from benchmarks.against_aimet import AIMET, MORE, NEEDS
from benchmarks.compression_cases import RESNET20, Case, case
from benchmarks.compression_plot import Point, draw
from benchmarks.environment import ROOT, environment, run_module
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2, score
from microjoule.deploy.measure import measure_together

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
        accuracy: on the images that judge, in per cent.
        left: the share of multiply-accumulates.
    """

    tool: str
    accuracy: float
    left: float

    @property
    def words(self) -> str:
        """For what a figure was compared with."""
        return f"{self.tool} {self.accuracy:.2f} with {self.left:.1%} of the MACs"


def figures_of(names: Sequence[str], data: Path, plot: str) -> Iterator[Figure]:
    """Network by network and share by share; the plot is written at the end.

    Args:
        names: of the networks.
        data: a folder of the layout that the zoo reads.
        plot: the name of its file, among `PLOTS`.
    """
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        folder = Path(place)
        python = environment(folder / "torch_pruning", (TORCH_PRUNING,), ("numpy",))
        for name in names:
            given = case(name, data)
            others = by_torch_pruning(python, name, data, folder)
            yield from _network(given, others, folder, points)
    draw(points, PLOTS / plot)


def ours(given: Case, share: float, *, multiple: int = 1) -> mj.Network:
    """What is measured: one call. It fits to the first four fifths of the images, and scores ways on the others.

    Args:
        given: the network and the images that it may look at.
        share: of multiply-accumulates that may be left.
        multiple: of which widths and ranks are.
    """
    images = given.images.inputs, given.images.labels
    return mj.compress(given.given.network, images, given.given.metric, macs=share, multiple=multiple)


def _network(given: Case, others: dict[float, Outcome], folder: Path, points: list[Point]) -> Iterator[Figure]:
    """A network at every share, against the best of what the recipe gives and the best of torch-pruning."""
    subject, whole = given.given, macs_of(given.given.network)
    exact = score(subject.network, subject)
    yield Figure(f"{subject.name} before", exact, "%", None, f"{len(subject.labelled)} samples, {whole:,} MACs")
    timed = {"original": subject.network}
    schemes = SCHEMES[1:2] if subject.name in ONE_TAP else SCHEMES
    known = {one: aimet_recipe.scores_of(subject.network, given.images, one) for one in schemes if one != "both"}
    outcomes = [Outcome("original", exact, 1.0)]
    for share in SHARES:
        mine = ours(given, share)
        own = Outcome("microjoule", score(mine, subject), macs_of(mine) / whole)
        recipes = list(_recipes(given, schemes, known, share, whole))
        best, network = max(recipes, key=lambda pair: pair[0].accuracy)
        yield from compared(subject.name, share, exact, own, [one for one, _ in recipes], others[share])
        timed |= {f"microjoule {share:.0%}": mine, f"AIMET's recipe {share:.0%}": network}
        outcomes += [own, best]
    yield from latencies(given, timed, outcomes, folder, points)


def _recipes(
    given: Case, schemes: Sequence[aimet_recipe.Scheme], known: Any, share: float, whole: int
) -> Iterator[tuple[Outcome, mj.Network]]:
    """What each scheme of AIMET's recipe gives."""
    for scheme in schemes:
        found = aimet_recipe.compressed(given.given.network, given.images, macs=share, scheme=scheme, known=known)
        yield Outcome(f"recipe, {scheme}", score(found, given.given), macs_of(found) / whole), found


def compared(
    name: str, share: float, exact: float, own: Outcome, recipes: Sequence[Outcome], other: Outcome
) -> Iterator[Figure]:
    """The points above the best of AIMET's recipe and above torch-pruning, and what is left of the work.

    Args:
        name: of the network.
        share: of multiply-accumulates that may be left.
        exact: the accuracy before.
        own: ours.
        recipes: of AIMET's recipe, by scheme.
        other: the best of torch-pruning.
    """
    name = f"{name}, {share:.0%} of the MACs"
    top, told = max(one.accuracy for one in recipes), f"before {exact:.2f}, {own.words}"
    words = "; ".join(one.words for one in recipes)
    yield Figure(f"{name}, above AIMET's recipe", own.accuracy - top, "points", BETTER, f"{told}; {words}")
    yield Figure(
        f"{name}, above torch-pruning", own.accuracy - other.accuracy, "points", ">= 3", f"{told}; {other.words}"
    )
    yield Figure(f"{name}, left", own.left, "share", f"<= {share}", "multiply-accumulates of the original")


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
        lost[name] = score(integer, subject)
        for kind, one in (("fp32", plain), ("int8", integer)):
            paths.append(folder / f"{subject.name}-{number}-{kind}.onnx")
            mj.export(one, paths[-1])
    times = [one.latency_low_ms for one in measure_together(paths, runs=RUNS, threads=1)]
    pairs = list(zip(times[::2], times[1::2], strict=True))
    for (name, _), (exact_ms, integer_ms), outcome in zip(networks.items(), pairs, outcomes, strict=True):
        points.append(Point(subject.name, name, outcome.accuracy, outcome.left, exact_ms, lost[name], integer_ms))
        told = f"{exact_ms:.3f} ms, the original {pairs[0][0]:.3f} ms; {outcome.left:.1%} of the MACs"
        yield Figure(f"{subject.name}, {name}, FP32 latency", exact_ms / pairs[0][0], "x", None, told)
        told = f"{integer_ms:.3f} ms, the original {pairs[0][1]:.3f} ms; {lost[name]:.2f} % right"
        yield Figure(f"{subject.name}, {name}, int8 latency", integer_ms / pairs[0][1], "x", None, told)


def macs_of(network: mj.Network) -> int:
    """Multiply-accumulates of a network, which is left as it is."""
    return mj.costs(network.copy()).macs


# Other tools ----------------------------------------------------------------------------------------------------------


def by_torch_pruning(python: Path, name: str, data: Path, folder: Path) -> dict[float, Outcome]:
    """The best of torch-pruning's methods at each share, with and without batch norms measured anew.

    Args:
        python: of its environment.
        name: of the network.
        data: a folder of the layout that the zoo reads.
        folder: for its result.
    """
    result = folder / f"{name}-torch-pruning.json"
    words = (name, "--data", str(data), "--result", str(result), "--shares", *map(str, SHARES))
    found = run_module(python, "benchmarks.torch_pruning_run", words, result, place=f"torch-pruning on {name}")
    return {share: best(one for one in found["outcomes"] if one["share"] == share) for share in SHARES}


def best(outcomes: Iterable[dict[str, Any]]) -> Outcome:
    """The most accurate of what torch-pruning gives.

    Args:
        outcomes: as `benchmarks.torch_pruning_run` writes them.
    """
    each = []
    for one in outcomes:
        each.append(Outcome(f"torch-pruning, {one['method']}", one["accuracy"], one["left"]))
        if one["accuracy_norms"] is not None:
            each.append(Outcome(f"{each[-1].tool}, norms anew", one["accuracy_norms"], one["left"]))
    return max(each, key=lambda outcome: outcome.accuracy)


def by_aimet(data: Path) -> Iterator[Figure]:
    """What aimet-torch itself makes of ResNet-20, for comparison with the recipe.

    Args:
        data: a folder of the layout that the zoo reads.
    """
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
                told = f"{one['left']:.1%} of the MACs"
                yield Figure(f"{RESNET20}, {share:.0%} by {AIMET} itself, {scheme}", one["accuracy"], "%", None, told)
