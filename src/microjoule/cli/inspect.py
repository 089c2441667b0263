"""`microjoule inspect`: what a network is made of, what was done to it, and what to mind."""

from dataclasses import asdict
from typing import Annotated

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.options import Json, ModelSource, Shape, ZooData

Channels = Annotated[
    bool,
    typer.Option(
        "--channels", metavar="", help="Print which channels go together, and which must stay, in place of layers."
    ),
]


def inspect(
    *,
    model: ModelSource,
    channels: Channels = False,
    shape: Shape = None,
    zoo_data: ZooData = None,
    json: Json = False,
) -> None:
    """Print the layers of a model with shapes, parameters and MACs, what was done to it, and warnings.

    \b
    microjoule inspect zoo:mobilenet_v3_small
    microjoule inspect model.mj --channels
    microjoule inspect net.py:trained --shape 3,224,224 --json
    """
    found = work.find_model(model, shape=shape, zoo_data=zoo_data)
    network, history = found.network, list(found.network.history)
    counted = mj.costs(network, stage=work.stage_name(network))
    notes = work.warnings(network)
    groups = mj.channel_groups(network) if channels else None
    work.finish(
        [*history, counted],
        *([work.layers_table(network, counted)] if groups is None else work.channels_tables(network, groups)),
        work.totals_table(found, counted),
        work.rich_table(work.history_table(history)),
        *(f"Warning: {note}" for note in notes),
        as_json=json,
        source=model,
        inputs=[list(tensor.shape) for tensor in network.example.tensors],
        bits={layer.path: work.bits_of(network, layer.path)[0] for layer in network.layers},
        warnings=notes,
        **({} if groups is None else {"channels": asdict(groups)}),
    )
