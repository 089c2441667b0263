"""Sound files of each kind, small, from which the damaged ones are made."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import microjoule as mj
from microjoule.deploy.onnx_order import onnx_computation
from microjoule.records.json_io import to_json
from microjoule.scheduling import write_graph
from tests.deploy.litert_models import ADD, CONV, RELU, RESHAPE, SOFTMAX, Op, T, litert_file
from tests.fuzz.mutate import CODE

SHAPE = (1, 8, 8)


def convolutional() -> nn.Module:
    """For inputs (n, 1, 8, 8)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()


class Tokens(nn.Module):
    """Numbers of words to a dict, with masks, sizes computed from sizes, and an output that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.head = nn.Embedding(20, 8), nn.LayerNorm(8), nn.Linear(8, 4)
        self.register_buffer("places", torch.arange(16).float()[:, None].repeat(1, 8))

    def forward(self, tokens: Tensor) -> dict[str, Any]:
        x = self.words(tokens) + self.places[: tokens.shape[1]]
        x = nn.functional.scaled_dot_product_attention(x, x, x)
        wide = nn.functional.pad(self.head(self.norm(x)), (0, 2)).transpose(1, 2)
        return {"scores": wide.softmax(1), "pair": (x.mean(1), torch.zeros(tokens.shape[0], 3))}


class Recurrent(nn.Module):
    """A sequence through an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def networks() -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    """Modules and example inputs."""
    torch.manual_seed(0)
    return {
        "convolutional": (convolutional(), (torch.rand(2, *SHAPE),)),
        "tokens": (Tokens().eval(), (torch.randint(0, 20, (2, 7)),)),
        "recurrent": (Recurrent().eval(), (torch.rand(2, 4, 5),)),
    }


def write_seeds(folder: Path) -> None:
    """All of them, each kind in a folder of its own."""
    made = {
        kind: folder / kind for kind in ("mj", "pt2", "onnx", "tflite", "encodings", "graph", "records", "npz", "toml")
    }
    for place in (*made.values(), folder / "images"):
        place.mkdir(parents=True, exist_ok=True)
    for name, (module, args) in networks().items():
        mj.capture(module, args).save(made["mj"] / f"{name}.mj")
        torch.export.save(torch.export.export(module, args, strict=False), made["pt2"] / f"{name}.pt2")
    network = mj.load(made["mj"] / "convolutional.mj")
    quantized = mj.recipes.data_free(network, input_range=(0.0, 1.0))
    quantized.save(made["mj"] / "int8.mj")
    mj.export(quantized, made["onnx"] / "int8.onnx", encodings=made["encodings"] / "int8.json")
    mj.export(network, made["onnx"] / "float.onnx")
    (made["records"] / "records.json").write_text(to_json(quantized.history))
    write_graph(onnx_computation(made["onnx"] / "float.onnx"), made["graph"] / "graph.json")
    (made["tflite"] / "small.tflite").write_bytes(_litert())
    _write_arrays(made["npz"])
    _write_images(folder / "images")
    for name in ("onnxruntime", "tflite-micro"):
        text = (Path(mj.__file__).parent / "costs" / "targets" / f"{name}.toml").read_text("utf-8")
        (made["toml"] / f"{name}.toml").write_text(text)
    energy = next((Path(mj.__file__).parent / "costs" / "energy").glob("*.toml"))
    (made["toml"] / "energy.toml").write_text(energy.read_text("utf-8"))
    (made["mj"] / "evil.mj").write_bytes(evil((made["mj"] / "convolutional.mj").read_bytes()))


def evil(content: bytes) -> bytes:
    """A network whose graph runs Python if names in it are looked up anywhere."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        document, tensors = json.loads(archive.read("network.json")), archive.read("tensors.safetensors")
    out = document["nodes"].pop()
    last = document["nodes"][-1]["name"]
    for name, op, target, args in (
        ("b", "get_attr", "add_module.__func__.__builtins__", []),
        ("e", "call_function", "python.getitem", [{"node": "b"}, "exec"]),
        ("t", "call_function", "aten.__class__.__class__", ["X", {"tuple": []}, {"dict": [["f", {"node": "e"}]]}]),
        ("r", "call_function", "python.getitem", [{"node": "t"}, CODE]),
    ):
        document["nodes"].append(
            {"name": name, "op": op, "target": target, "args": {"tuple": args}, "kwargs": {"dict": []}}
        )
    out["args"] = {"tuple": [{"tuple": [{"node": last}]}]}
    document["nodes"].append(out)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("network.json", json.dumps(document))
        archive.writestr("tensors.safetensors", tensors)
    return buffer.getvalue()


def _litert() -> bytes:
    weight = np.linspace(-1, 1, 4 * 9, dtype=np.float32).reshape(4, 3, 3, 1)
    tensors = [
        *(T((1, 8, 8, 1)), T(weight.shape, weight), T((4,), np.zeros(4, np.float32)), T((1, 6, 6, 4)), T((1, 6, 6, 4))),
        *(T((1, 6, 6, 4)), T((2,), np.array([1, 144], np.int32), 2), T((1, 144)), T((1, 144))),
    ]
    stride = {1: ("Int32", 1), 2: ("Int32", 1), 0: ("Int8", 1)}
    operators = [
        Op(CONV, (0, 1, 2), (3,), stride),
        Op(RELU, (3,), (4,)),
        Op(ADD, (3, 4), (5,)),
        Op(RESHAPE, (5, 6), (7,)),
        Op(SOFTMAX, (7,), (8,)),
    ]
    return litert_file(tensors, operators, [0], [8])


def _write_arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((6, *SHAPE), dtype=np.float32), np.arange(6)
    np.savez(folder / "plain.npz", x=x, y=y)
    np.savez_compressed(folder / "packed.npz", x=(255 * x).astype(np.uint8), y=y.astype(np.float64))
    np.savez(folder / "texts.npz", x=x, y=np.array(["a"] * 6), z=np.asfortranarray(x))


def _write_images(folder: Path) -> None:
    values = np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)
    colour = Image.fromarray(values)
    turned = Image.Exif()
    turned[274] = 6
    colour.save(folder / "colour.png")
    colour.save(folder / "turned.jpg", exif=turned)
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    colour.convert("P").save(folder / "palette.gif", save_all=True, append_images=[colour.convert("P")])
    colour.save(folder / "small.webp")
    colour.save(folder / "small.bmp")
    colour.save(folder / "packed.tif", compression="tiff_lzw")
    Image.fromarray((np.arange(48 * 64) * 21).astype(np.uint16).reshape(48, 64)).save(folder / "deep.png")
    colour.save(folder / "small.ppm")
