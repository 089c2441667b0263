"""Options that several commands share, so that a word means the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from microjoule.cli.names import NORMALISATIONS

PREPARE = ("resize", "interpolation", "colours", "layout")
"""What `--prepare` can say of images, beside `--normalise` and `--size`."""

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
DataSource = Annotated[str, typer.Option("--data", metavar="DATA", help=DataHelp)]
MaybeDataSource = Annotated[str | None, typer.Option("--data", metavar="DATA", help=DataHelp)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Seed = Annotated[int, typer.Option(help="Of every random number.", min=0, max=2**32 - 1)]
Shape = Annotated[
    str | None,
    typer.Option(metavar="C,H,W", help="Shape of one sample, for a function that returns a module without inputs."),
]
ZooData = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The zoo's data folder.  [default: $MICROJOULE_DATA]", show_default=False),
]
Samples = Annotated[
    int | None, typer.Option(metavar="N", help="Use N samples, spread over the classes.  [default: all]")
]
Size = Annotated[str | None, typer.Option(metavar="H,W", help="Size of images.  [default: the model's]")]
Normalise = Annotated[
    str | None,
    typer.Option(
        "--normalise",
        "--normalize",
        metavar="MEAN STD",
        help=f"Of pixels: numbers, a channel or all, or {', '.join(NORMALISATIONS)}.  [default: the model's card]",
    ),
]
Prepare = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help=f"Of images: {', '.join(PREPARE)}, such as resize=256. Repeatable.  [default: the model's card]",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The classes in the order of outputs: a name or WordNet id a line."),
]
InputRange = Annotated[
    str | None,
    typer.Option(metavar="LOW HIGH", help="Smallest and largest input.  [default: the data's, or the model's card]"),
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where to run: cpu, cuda, cuda:1, mps.  [default: cpu]")
]
Stage = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What to call this network in records.  [default: recipe and bits, or fp32]"),
]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="NETWORK", help="Add what was found to the history of this saved network."),
]
