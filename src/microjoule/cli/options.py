"""Options that several commands share, so that a word means the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from microjoule.cli.names import NORMALISATIONS

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
Samples = Annotated[int | None, typer.Option(metavar="N", help="Use only the first N samples.")]
Size = Annotated[str | None, typer.Option(metavar="H,W", help="Size of images.  [default: the model's]")]
Normalise = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Of pixels: {', '.join(NORMALISATIONS)}.  [default: the zoo model's, else imagenet; unit for grey]",
    ),
]
Stage = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What to call this network in records.  [default: recipe and bits, or fp32]"),
]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="NETWORK", help="Add what was found to the history of this saved network."),
]
