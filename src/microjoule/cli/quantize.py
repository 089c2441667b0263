"""`microjoule quantize`: a network in floating point to one with quantizers, saved in one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from microjoule.cli.data import Reading, find_data
from microjoule.cli.describe import Words, describe
from microjoule.cli.models import Model, find_model, stage_name
from microjoule.cli.names import FITTED, MIXED, RECIPES, RULES
from microjoule.cli.options import (
    Classes,
    Device,
    InputRange,
    Json,
    MaybeDataSource,
    ModelSource,
    Normalise,
    Prepare,
    Samples,
    Seed,
    Shape,
    Size,
    ZooData,
)
from microjoule.cli.output import finish
from microjoule.cli.seed import seed_everything
from microjoule.cli.values import amount_or_bits, bit_pairs, layer_bits, range_of
from microjoule.costs.target import names as target_names
from microjoule.errors import SettingError
from microjoule.execution.signature import Signature
from microjoule.graph.network import Network
from microjoule.quantization.bit_costs import COSTS
from microjoule.quantization.calibrate import calibrate
from microjoule.recipes.data_free import data_free, naive
from microjoule.recipes.learned_rounding import adaround, gptq, qdrop
from microjoule.recipes.mixed_precision import mixed_precision
from microjoule.report.terminal import history_table, rich_table

LAYER_HELP = "An exception: PATH=BITS of weights, PATH=WEIGHTS/OUTPUTS, or PATH=none for floating point. Repeatable."
BUDGET_HELP = "What the network may cost: a number, or what it would with bits such as W4A8 everywhere.  [mixed]"
CANDIDATES_HELP = "To choose from, for example W3A8,W4A8,W8A8.  [mixed; default: W4A8,W8A8,W8A16]"

Out = Annotated[Path, typer.Option(metavar="FILE", help="Where to save the network, for example model.mj.")]
RecipeName = Annotated[str, typer.Option(metavar="NAME", help=f"How: {', '.join(RECIPES)}.")]
TargetName = Annotated[
    str, typer.Option(metavar="NAME", help=f"What it shall run on: {', '.join(target_names())}, or a .toml file.")
]
WeightBits = Annotated[int | None, typer.Option(metavar="BITS", help="Of weights.  [default: the target's]")]
ActivationBits = Annotated[int | None, typer.Option(metavar="BITS", help="Of activations.  [default: the target's]")]
LayerBits = Annotated[list[str] | None, typer.Option(metavar="PATH=BITS", help=LAYER_HELP)]
RuleName = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"How ranges are chosen from the data: {', '.join(RULES)}.")
]
WorkFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help=f"Keeps each layer as soon as it is done ({', '.join(FITTED)}).")
]
Budget = Annotated[str | None, typer.Option(metavar="AMOUNT", help=BUDGET_HELP)]
CostName = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"Of the budget: {', '.join(COSTS)}.  [mixed; bops]")
]
Candidates = Annotated[str | None, typer.Option(metavar="BITS", help=CANDIDATES_HELP)]

FIT: dict[str, Callable[..., Network]] = {"gptq": gptq, "adaround": adaround, "qdrop": qdrop, MIXED: mixed_precision}
"""The recipes that fit, by name."""


def quantize(
    *,
    model: ModelSource,
    out: Out,
    recipe: RecipeName = "data-free",
    target: TargetName = "onnxruntime",
    weights: WeightBits = None,
    activations: ActivationBits = None,
    layer: LayerBits = None,
    budget: Budget = None,
    cost: CostName = None,
    candidates: Candidates = None,
    data: MaybeDataSource = None,
    rule: RuleName = None,
    input_range: InputRange = None,
    size: Size = None,
    normalise: Normalise = None,
    prepare: Prepare = None,
    classes: Classes = None,
    samples: Samples = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    device: Device = None,
    work_folder: WorkFolder = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Quantize a model, and save the network that simulates it.

    The recipe data-free needs no data; with --data, it goes by those inputs, unlabelled, and not by statistics.
    The recipe naive folds batch norms and takes the smallest and largest values, with no further care.
    The recipes gptq and adaround need some hundred unlabelled inputs, and are for weights of 2 to 5 bits (by default
    4); with --work-folder an interrupted run goes on where it was. The recipe qdrop is for activations of 4 bits.
    The recipe mixed needs them, too. It gives each layer its own bits, within a --budget.

    \b
    microjoule quantize zoo:digits_mobilenet_v2 --target per-tensor --out digits.mj
    microjoule quantize model.pt2 --weights 8 --activations 8 --input-range -1,1 --out model.mj
    microjoule quantize net.py:trained --recipe naive --data images/ --rule mse --out net.mj
    microjoule quantize zoo:digits_mobilenet_v2 --recipe gptq --weights 3 --data zoo:digits_train --out digits3.mj
    microjoule quantize model.pt2 --recipe mixed --budget W4A8 --candidates W3A8,W4A8,W6A8 --data images/ --out model.mj
    microjoule quantize model.pt2 --layer classifier=none --layer features.0=4/8 --out model.mj
    """
    seed_everything(seed)
    bits = _given(layers=layer_bits(layer or []), weights=weights, activations=activations)
    choice = _given(budget=budget, cost=cost, candidates=candidates)
    _check(recipe, data, rule, work_folder)
    settings = _settings(recipe, target, bits, choice)
    found = find_model(model, shape=shape, zoo_data=zoo_data, device=device)
    words = Words(size, normalise, tuple(prepare or ()), input_range, classes)
    describe(found.network, words)
    batches = find_data(data, found, Reading(words, samples, zoo_data, seed)) if data is not None else None
    inputs = range_of("--input-range", input_range)
    _check_range(found, data)
    result = _quantized(recipe, found.network, batches, settings, inputs=inputs, seed=seed, folder=work_folder)
    if batches is not None and rule is not None:
        calibrate(result, batches, rule=RULES[rule])
    result.save(out)
    wrote = f"Saved {stage_name(result)} as {out}"
    table = rich_table(history_table(result.history))
    finish(result.history, table, wrote, as_json=json, out=str(out), stage=stage_name(result))


def _quantized(
    recipe: str,
    network: Network,
    data: Any,
    settings: dict[str, Any],
    *,
    inputs: tuple[float, float] | None,
    seed: int,
    folder: Path | None,
) -> Network:
    """What a recipe makes."""
    if recipe == "naive":
        return naive(network, data, **settings)
    if recipe == "data-free":
        return data_free(network, data=data, **settings, input_range=inputs, seed=seed)
    return FIT[recipe](network, data, **settings, input_range=inputs, seed=seed, folder=folder)


def _check_range(model: Model, data: str | None) -> None:
    """See that the range of inputs is known where the example inputs are ours."""
    signature = Signature.of(model.network)
    needed = signature.needed if signature is not None else ()
    unknown = [entry.name for entry in needed if model.network.card.range_of(entry.name) is None]
    if model.drawn and data is None and unknown:
        remedy = "give --input-range LOW HIGH, --normalise MEAN STD, or --data"
        raise SettingError("--shape", f"tells nothing of the range of {', '.join(unknown)}", remedy=remedy)


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others are left to the recipe."""
    return {name: value for name, value in options.items() if value not in (None, {})}


def _check(recipe: str, data: str | None, rule: str | None, work_folder: Path | None) -> None:
    if recipe not in RECIPES:
        raise SettingError("--recipe", f"is {recipe!r}", remedy=f"use one of {', '.join(RECIPES)}")
    if recipe != "data-free" and data is None:
        raise SettingError(f"--recipe {recipe}", "needs data for the ranges of activations", remedy="give --data")
    if work_folder is not None and recipe not in FITTED:
        raise SettingError("--work-folder", f"is for {' and '.join(FITTED)}", remedy="leave it out")
    if rule is not None and rule not in RULES:
        raise SettingError("--rule", f"is {rule!r}", remedy=f"use one of {', '.join(RULES)}")
    if rule is not None and data is None:
        raise SettingError("--rule", "chooses ranges from data, and there is none", remedy="give --data")


def _settings(recipe: str, target: str, bits: dict[str, Any], choice: dict[str, str]) -> dict[str, Any]:
    """What a recipe takes: bits that are given, or what to choose them by."""
    if recipe != MIXED and choice:
        raise SettingError(f"--{next(iter(choice))}", f"is for the recipe {MIXED}", remedy=f"give --recipe {MIXED}")
    if recipe == MIXED and "budget" not in choice:
        raise SettingError(f"--recipe {MIXED}", "needs a budget", remedy="give --budget, for example W4A8")
    if recipe == MIXED and bits:
        remedy = "leave out --weights, --activations and --layer"
        raise SettingError(f"--recipe {MIXED}", "chooses the bits itself", remedy=remedy)
    read: dict[str, Callable[[str], Any]] = {"budget": amount_or_bits, "candidates": bit_pairs}
    return {"target": target, **bits, **{name: read.get(name, str)(text) for name, text in choice.items()}}
