"""Whether Hexagon takes what is exported for it, and gives what was simulated: an embedded network on the emulator."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import microjoule as mj
from benchmarks.figure import Figure
from microjoule.deploy.hexagon import devices
from microjoule.deploy.verify import HEXAGON
from microjoule.errors import ExportError, SettingError
from microjoule.records.measured import Verified

TARGET = "qualcomm-htp"
WIDTHS = ((8, 8), (8, 16), (4, 8), (4, 16))
"""Bits of weights and activations."""

SAMPLES = 200


def figures() -> Iterator[Figure]:
    """The share of widths that run without falling back, and each one's agreement; a line where the extra is missing.

    The processor rounds otherwise than the simulation, so that values inside the network are not the same; with 16 bits
    a step is small, and the output is nearer.
    """
    try:
        devices()
    except SettingError as error:
        sys.stderr.write(f"Hexagon is left out: {error.fact}\n")
        return
    dataset = mj.zoo.dataset("digits_test", limit=SAMPLES)
    images = torch.stack([dataset[index][0] for index in range(SAMPLES)])
    network = mj.capture(mj.zoo.load("digits_mobilenet_v2"), images[:2])
    found = {bits: verified(network, images, *bits) for bits in WIDTHS}
    refused = [f"W{w}A{a}: {record}" for (w, a), record in found.items() if isinstance(record, str)]
    share = 1 - len(refused) / len(found)
    told = "; ".join(refused) or "W8A8, W8A16, W4A8 and W4A16 of the digits' MobileNetV2, nothing on the CPU"
    yield Figure("widths that run on Hexagon's emulator", share, "share", ">= 1", told)
    for (weights, activations), record in found.items():
        if isinstance(record, Verified):
            name = f"digits W{weights}A{activations} on Hexagon's emulator: top-1 agreement"
            (output,) = record.layers
            about = f"{record.runtime}, against the simulation, {record.samples} samples"
            compared = f"{about}; the output's SQNR is {output.sqnr_db:.1f} dB"
            yield Figure(name, record.top1_agreement or 0.0, "share", ">= 0.97", compared)


def verified(network: mj.Network, images: torch.Tensor, weights: int, activations: int) -> Verified | str:
    """Quantize, export, with weights of 4 bits in half a byte, and compare; the reason where Hexagon does not take it.

    Args:
        network: captured.
        images: (n, 1, 8, 8), in 0 to 1.
        weights: bits.
        activations: bits.
    """
    quantized = mj.recipes.data_free(
        network, target=TARGET, weights=weights, activations=activations, input_range=(0, 1)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        mj.export(quantized, path, packed=weights < 8)
        try:
            (record,) = mj.verify(quantized, path, images, runtimes=[HEXAGON])
        except ExportError as error:
            return error.fact
    return record
