"""Options that several commands share, so that a word means the same everywhere."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from microjoule.cli.choices import METRICS, NORMALISATIONS, PREPARE, TARGETS

DATA = "Data"
BITS = "Bits"
FILES = "Files"
"""Under which heading help shows an option."""


def among(names: Sequence[str]) -> Callable[[], list[str]]:
    """What completes an option of such names."""
    return lambda: list(names)


ModelSource = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .pt2 file, a network that microjoule saved, module.py:function (runs your code), or zoo:NAME.",
    ),
]
DataHelp = (
    "A folder of images (a subfolder a class), an .npz file (x, y), module.py:function (runs your code), or zoo:NAME."
)
DataSource = Annotated[str, typer.Option("--data", metavar="DATA", help=DataHelp, rich_help_panel=DATA)]
MaybeDataSource = Annotated[str | None, typer.Option("--data", metavar="DATA", help=DataHelp, rich_help_panel=DATA)]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document instead of tables.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of every random number.", min=0, max=2**32 - 1)]
Shape = Annotated[
    str | None,
    typer.Option(
        metavar="C,H,W",
        help="Shape of one sample, for a function that returns a module without inputs.",
        rich_help_panel=DATA,
    ),
]
ZooData = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="The zoo's data folder.", show_default="$MICROJOULE_DATA", rich_help_panel=DATA
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(metavar="N", help="Use N samples, spread over the classes.", show_default="all", rich_help_panel=DATA),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="H,W", help="Height and width of images in pixels.", show_default="the model's", rich_help_panel=DATA
    ),
]
Normalise = Annotated[
    str | None,
    typer.Option(
        "--normalise",
        "--normalize",
        metavar="MEAN STD",
        help=f"Of pixels: numbers, a channel or all, or {', '.join(NORMALISATIONS)}.",
        show_default="the model's card",
        autocompletion=among(NORMALISATIONS),
        rich_help_panel=DATA,
    ),
]
Prepare = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help=f"Of images: {', '.join(PREPARE)}, such as resize=256. Repeatable.",
        show_default="the model's card",
        rich_help_panel=DATA,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The classes in the order of outputs: a name or WordNet id a line.",
        show_default="the model's card",
        rich_help_panel=DATA,
    ),
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where to run: cpu, cuda, cuda:1, mps.", show_default="cpu")
]
Stage = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What to call this network in records.", show_default="recipe and bits, or fp32"),
]
Keep = Annotated[
    Path | None,
    typer.Option(
        "--keep",
        metavar="NETWORK",
        help="Add what was found to the history of this saved network (.mj).",
        rich_help_panel=FILES,
    ),
]
MetricName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"How it is scored: {', '.join(METRICS)}.",
        show_default="the zoo model's own, else top1",
        autocompletion=among(METRICS),
    ),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="Inputs that the methods look at; labels are not read.",
        show_default="those of --data",
        rich_help_panel=DATA,
    ),
]
Confirm = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="Labelled data on which what was chosen is scored at the end.",
        show_default="a part of --data, at random",
        rich_help_panel=DATA,
    ),
]
CalibrationSamples = Annotated[
    int,
    typer.Option(metavar="N", help="Use N calibration inputs, spread over the classes.", min=1, rich_help_panel=DATA),
]
InputRange = Annotated[
    str | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Smallest and largest input.",
        show_default="the data's, or the model's card",
        rich_help_panel=DATA,
    ),
]
TargetName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"What the network shall run on: {', '.join(TARGETS)}, or a .toml file.",
        autocompletion=among(TARGETS),
    ),
]
LayerBits = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH=BITS",
        help="An exception: PATH=BITS of weights, PATH=WEIGHTS/OUTPUTS, or PATH=none for floating point. Repeatable.",
        rich_help_panel=BITS,
    ),
]
OnnxFile = Annotated[
    Path | None, typer.Option("--onnx", metavar="FILE.onnx", help="Write it as ONNX, too.", rich_help_panel=FILES)
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE.html", help="Write a report, too.", rich_help_panel=FILES)
]
WorkFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Keeps what is done; the same command then goes on from there.",
        rich_help_panel=FILES,
    ),
]
