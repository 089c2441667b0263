"""`microjoule quantize`: a network in floating point to one with quantizers, saved in one file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import BUDGETS, FITTED, MIXED, RECIPES, RULES, one_of
from microjoule.cli.options import (
    BITS,
    FILES,
    Classes,
    Device,
    InputRange,
    Json,
    LayerBits,
    MaybeDataSource,
    ModelSource,
    Normalise,
    Prepare,
    Samples,
    Seed,
    Shape,
    Size,
    TargetName,
    ZooData,
    among,
)
from microjoule.errors import SettingError

if TYPE_CHECKING:
    from microjoule.cli.data import Reading
    from microjoule.cli.models import Model
    from microjoule.execution.batches import Batches

OUT_HELP = "What to write: model.mj, a network that can be verified and reported, or model.onnx, its integers."
BUDGET_HELP = "What the network may cost: a number, or what it would with bits such as W4A8 everywhere; for mixed."
CANDIDATES_HELP = "Bits to choose from, for example W3A8,W4A8,W8A8; for mixed."
WORK_HELP = f"Keeps each layer as soon as it is done; the same command then goes on; for {', '.join(FITTED)}."

Out = Annotated[Path, typer.Option("--out", metavar="FILE", help=OUT_HELP, rich_help_panel=FILES)]
RecipeName = Annotated[
    str, typer.Option(metavar="NAME", help=f"How it is quantized: {', '.join(RECIPES)}.", autocompletion=among(RECIPES))
]
WeightBits = Annotated[
    int | None, typer.Option(metavar="BITS", help="Bits of weights.", show_default="the target's", rich_help_panel=BITS)
]
ActivationBits = Annotated[
    int | None,
    typer.Option(metavar="BITS", help="Bits of activations.", show_default="the target's", rich_help_panel=BITS),
]
RuleName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"How ranges are chosen from --data: {', '.join(RULES)}.",
        show_default="the recipe's",
        autocompletion=among(RULES),
    ),
]
WorkFolder = Annotated[Path | None, typer.Option(metavar="FOLDER", help=WORK_HELP, rich_help_panel=FILES)]
Budget = Annotated[str | None, typer.Option(metavar="AMOUNT", help=BUDGET_HELP, rich_help_panel=BITS)]
CostName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"What the budget counts: {', '.join(BUDGETS)}; for mixed.",
        show_default="bops",
        autocompletion=among(BUDGETS),
        rich_help_panel=BITS,
    ),
]
Candidates = Annotated[
    str | None,
    typer.Option(metavar="BITS", help=CANDIDATES_HELP, show_default="W4A8,W8A8,W8A16", rich_help_panel=BITS),
]


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
    """Quantize a model: save the network that simulates the integer one, or write its integers as ONNX.

    \b
    data-free    needs no data; with --data, ranges come from inputs
    naive        batch norms folded, smallest and largest values; needs --data
    gptq         weights of 2 to 5 bits, by default 4; needs --data
    adaround     the same, learned; needs --data
    qdrop        activations of 4 bits, learned; needs --data
    mixed        bits for each layer, within a --budget; needs --data

    Some hundred inputs are enough as --data; labels are not read.

    \b
    microjoule quantize zoo:digits_resnet --out digits.mj
    microjoule quantize model.pt2 --input-range -1,1 --out model.onnx
    microjoule quantize net.py:trained --recipe naive --data images/ --out net.mj
    microjoule quantize zoo:digits_resnet --recipe gptq --weights 3 \\
        --data zoo:digits_train --out digits3.mj
    microjoule quantize model.pt2 --recipe mixed --budget W4A8 \\
        --candidates W3A8,W4A8,W6A8 --data images/ --out model.mj
    microjoule quantize model.pt2 --layer classifier=none \\
        --layer features.0=4/8 --out model.mj
    """
    bits = _given(layers=work.layer_bits(layer or []), weights=weights, activations=activations)
    choice = _given(budget=budget, cost=cost, candidates=candidates)
    _check(recipe, data, rule, work_folder, samples)
    settings = _settings(recipe, target, bits, choice)
    work.check_outputs(work.outputs(("--out", out, ".mj .onnx")), [model, data])
    work.seed_everything(seed)
    found = work.find_model(model, shape=shape, zoo_data=zoo_data, device=device)
    reading = work.Reading(size, normalise, prepare, input_range, classes, samples, zoo_data, seed)
    batches, inputs = _described(found, data, reading)
    result = _quantized(recipe, found.network, batches, settings, inputs=inputs, seed=seed, folder=work_folder)
    if batches is not None and rule is not None:
        mj.calibrate(result, batches, rule=work.RULES[rule])
    _finish(result, out, as_json=json)


def _finish(network: "mj.Network", out: Path, *, as_json: bool) -> None:
    """Write and print what was made."""
    stage, history = work.stage_name(network.history), network.history
    wrote = work.write_network(network, out, stage)
    work.finish(
        history, work.rich_table(work.history_table(history)), wrote, as_json=as_json, out=str(out), stage=stage
    )


def _quantized(
    recipe: str,
    network: "mj.Network",
    data: Any,
    settings: dict[str, Any],
    *,
    inputs: tuple[float, float] | None,
    seed: int,
    folder: Path | None,
) -> "mj.Network":
    """What a recipe makes."""
    if recipe == "naive":
        return mj.recipes.naive(network, data, **settings)
    if recipe == "data-free":
        return mj.recipes.data_free(network, data=data, **settings, input_range=inputs, seed=seed)
    fit: Callable[..., mj.Network] = getattr(mj.recipes, "mixed_precision" if recipe == MIXED else recipe)
    return fit(network, data, **settings, input_range=inputs, seed=seed, folder=folder)


def _described(
    model: "Model", data: str | None, reading: "Reading"
) -> "tuple[Batches | None, tuple[float, float] | None]":
    """The data and the range of inputs that was given; what the user says is on the network's card afterwards."""
    work.describe(model.network, reading.words)
    _check_range(model, data)
    found = None if data is None else work.find_data(data, model, reading)
    return found, work.range_of("--input-range", reading.input_range)


def _check_range(model: "Model", data: str | None) -> None:
    """See that the range of inputs is known where the example inputs are ours."""
    signature = work.Signature.of(model.network)
    needed = signature.needed if signature is not None else ()
    unknown = [entry.name for entry in needed if model.network.card.range_of(entry.name) is None]
    if model.drawn and data is None and unknown:
        remedy = "give --input-range LOW HIGH, --normalise MEAN STD, or --data"
        raise SettingError("--shape", f"tells nothing of the range of {', '.join(unknown)}", remedy=remedy)


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others are left to the recipe."""
    return {name: value for name, value in options.items() if value not in (None, {})}


def _check(recipe: str, data: str | None, rule: str | None, work_folder: Path | None, samples: int | None) -> None:
    one_of("--recipe", recipe, RECIPES)
    if recipe != "data-free" and data is None:
        raise SettingError(f"--recipe {recipe}", "needs data for the ranges of activations", remedy="give --data")
    if work_folder is not None and recipe not in FITTED:
        remedy = f"leave it out, or give one of these as --recipe: {', '.join(FITTED)}"
        raise SettingError("--work-folder", f"has no use for the recipe {recipe}", remedy=remedy)
    if rule is not None:
        one_of("--rule", rule, RULES)
    if samples is not None and data is None:
        raise SettingError("--samples", "is for --data, and there is none", remedy="give --data, or leave it out")
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
    if "cost" in choice:
        one_of("--cost", choice["cost"], BUDGETS)
    read: dict[str, Callable[[str], Any]] = {"budget": work.amount_or_bits, "candidates": work.bit_pairs}
    return {"target": target, **bits, **{name: read.get(name, str)(text) for name, text in choice.items()}}
