"""A folder of sound and unsound files, for tests of what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import microjoule as mj

PYTHON = """
import torch
from torch import nn

def trained():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)), torch.rand(2, 1, 8, 8)

def alone():
    return trained()[0]

def holding(value):
    module, inputs = trained()
    with torch.no_grad():
        module[0].weight[0] = value
    return module, inputs

def nan():
    return holding(float("nan"))

def infinite():
    return holding(float("inf"))

class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def branching():
    return Branching(), torch.rand(2, 3)

def misfit():
    return trained()[0], torch.rand(2, 3, 8, 8)

def nan_inputs():
    return trained()[0], torch.full((2, 1, 8, 8), float("nan"))

def no_inputs():
    return trained()[0], ()

def text():
    return "a model"

def nothing():
    return None

def failing():
    raise RuntimeError("the disk with the weights is away")

def leaving():
    raise SystemExit(3)

NUMBER = 3
"""

TARGET = (Path(mj.__file__).parent / "costs" / "targets" / "onnxruntime.toml").read_text("utf-8")


def small() -> nn.Module:
    """A network of a convolution and a linear layer, for inputs (n, 1, 8, 8)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()


def write_sound(folder: Path) -> None:
    """What the cases start from: a network, quantized and not, as files, and data for it."""
    network = mj.capture(small(), torch.rand(2, 1, 8, 8))
    network.save(folder / "float.mj")
    quantized = mj.recipes.data_free(network, input_range=(0, 1))
    quantized.save(folder / "int8.mj")
    mj.export(quantized, folder / "int8.onnx", encodings=folder / "int8.json")
    other = mj.capture(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.rand(2, 1, 8, 8))
    mj.export(other, folder / "other.onnx")
    program = torch.export.export(small(), (torch.rand(2, 1, 8, 8),))
    torch.export.save(program, folder / "program.pt2")
    torch.save(small().state_dict(), folder / "weights.pt")
    x, y = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32), np.arange(6)
    np.savez(folder / "sound.npz", x=x, y=y)
    (folder / "net.py").write_text(PYTHON)


def write_unsound(folder: Path) -> None:
    """Files that something is wrong with, each named for it."""
    for name in ("int8.mj", "program.pt2", "int8.onnx", "sound.npz"):
        content, path = (folder / name).read_bytes(), Path(name)
        (folder / f"{path.stem}_truncated{path.suffix}").write_bytes(content[: len(content) // 2])
    for suffix in ("mj", "pt2", "onnx", "npz"):
        (folder / f"empty.{suffix}").touch()
        (folder / f"text.{suffix}").write_text("this is no model and no data\n")
    (folder / "broken.py").write_text("def trained(:\n    pass\n")
    (folder / "importing.py").write_text("import a_package_that_nobody_has\n")
    (folder / "text.txt").write_text("1,2,3\n")
    _write_arrays(folder)
    _write_images(folder)
    _write_texts(folder)
    _write_zoo(folder)


def _write_arrays(folder: Path) -> None:
    sound = np.load(folder / "sound.npz")
    x, y = sound["x"], sound["y"]
    nan, infinite = x.copy(), x.copy()
    nan[3, 0, 0, 0], infinite[3, 0, 0, 0] = np.nan, np.inf
    cases: dict[str, dict[str, object]] = {
        "no_x": {"images": x, "labels": y},
        "no_y": {"x": x},
        "no_samples": {"x": x[:0], "y": y[:0]},
        "wrong_shape": {"x": x[:, :, :5], "y": y},
        "no_batch": {"x": np.float32(1), "y": y},
        "nan": {"x": nan, "y": y},
        "infinite": {"x": infinite, "y": y},
        "out_of_step": {"x": x, "y": y[:4]},
        "pairs_of_labels": {"x": x, "y": np.stack([y, y], 1)},
        "texts": {"x": np.array(["a", "b"]), "y": y},
        "objects": {"x": np.array([{}, None], dtype=object), "y": y},
        "bytes": {"x": (255 * x).astype(np.uint8), "y": y},
    }
    for name, arrays in cases.items():
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]


def _write_images(folder: Path) -> None:
    for name in ("images/a", "no_images/a", "not_an_image/a", "truncated_image/a", "nothing"):
        (folder / name).mkdir(parents=True)
    picture = Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64))
    picture.save(folder / "images" / "a" / "0.png")
    (folder / "no_images" / "a" / "notes.txt").write_text("no image here")
    (folder / "not_an_image" / "a" / "0.jpg").write_text("no image either")
    content = (folder / "images" / "a" / "0.png").read_bytes()
    (folder / "truncated_image" / "a" / "0.png").write_bytes(content[: len(content) // 2])


def _write_texts(folder: Path) -> None:
    encodings = json.loads((folder / "int8.json").read_text())
    changed: dict[str, Callable[[dict[str, object]], object]] = {
        "encodings_version": lambda e: {**e, "version": "0.4"},
        "encodings_missing": lambda e: {"version": e["version"]},
        "encodings_scale": lambda e: {
            **e,
            "activation_encodings": [{**encodings["activation_encodings"][0], "scale": [0]}],
        },
        "encodings_bits": lambda e: {**e, "activation_encodings": [{**encodings["activation_encodings"][0], "bw": 99}]},
        "encodings_name": lambda e: {
            **e,
            "param_encodings": [{**encodings["param_encodings"][0], "name": "nowhere.weight"}],
        },
        "unknown_record": lambda _: [{"record": "Weather", "celsius": 21}],
        "no_records": lambda _: {"records": []},
    }
    for name, change in changed.items():
        (folder / f"{name}.json").write_text(json.dumps(change(encodings)))
    (folder / "truncated.json").write_text((folder / "int8.json").read_text()[:100])
    (folder / "truncated.toml").write_text(TARGET[: len(TARGET) // 2] + '"')
    (folder / "empty.toml").touch()
    (folder / "operator.toml").write_text(TARGET.replace('"conv"', '"convolve"'))
    (folder / "bits.toml").write_text(TARGET.replace("bits = [8", "bits = [88"))


def _write_zoo(folder: Path) -> None:
    """Data folders of the zoo: weights that differ from their manifest, and weights that are no weights."""
    name = "resnet8_cifar10_mlperftiny.safetensors"
    for kind in ("zoo_checksum", "zoo_damaged", "zoo_manifest"):
        (folder / kind / "weights").mkdir(parents=True)
        (folder / kind / "weights" / name).write_bytes(b"not the weights")
    (folder / "zoo_checksum" / "weights" / "MANIFEST.json").write_text(
        json.dumps({"files_sha256": {name: {"sha256": "0" * 64}}})
    )
    (folder / "zoo_manifest" / "weights" / "MANIFEST.json").write_text("{")
