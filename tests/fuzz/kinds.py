"""What is done with a damaged file of each kind: it is read, and what was read is used."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf import json_format

import microjoule as mj
from microjoule.cli.app import main
from microjoule.cli.data import Reading, find_data
from microjoule.cli.models import Model, find_model
from microjoule.costs.energy import energy_table
from microjoule.deploy.litert_file import read_litert
from microjoule.deploy.litert_order import OPTIMIZED_KERNELS, litert_computation
from microjoule.deploy.litert_plan import litert_plan
from microjoule.deploy.onnx_order import onnx_computation
from microjoule.deploy.session import open_session, read_model
from microjoule.formats.images import decode_image
from microjoule.records.json_io import records_from_json
from microjoule.report.page import report as write_report
from microjoule.scheduling import read_graph
from tests.fuzz import mutate

Draw = random.Random
LONG_NAME = "x" * 300


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        change: what is drawn from, a sound file's name and content -> a damaged one.
        use: what is drawn from, the damaged file, the folder of sound files -> uses it; raises what it meets.
    """

    change: Callable[[Draw, str, bytes], bytes]
    use: Callable[[Draw, Path, Path], None]


class CodeThreeError(Exception):
    """A command ended with the exit code for an error of ours."""


def command(*words: str | Path) -> None:
    """A command line, which may refuse."""
    code = main([str(word) for word in words])
    if code not in (0, 1, 2):
        raise CodeThreeError(f"exit code {code}: {' '.join(map(str, words))}")


# Networks -------------------------------------------------------------------------------------------------------------


def use_network(rng: Draw, path: Path, _: Path) -> None:
    """Load it, run it on its example, and now and then inspect, export and save it."""
    network = mj.load(path)
    with torch.no_grad():
        network(*network.example.args, **network.example.kwargs)
    if rng.random() < 0.1:
        mj.costs(network)
    if rng.random() < 0.05:
        network.save(path.parent / "again.mj")
        mj.load(path.parent / "again.mj")
    if rng.random() < 0.03:
        command("inspect", path)
    if rng.random() < 0.01:
        mj.export(network, path.parent / "new.onnx")


def change_network(rng: Draw, _: str, content: bytes) -> bytes:
    inside = {"network.json": _text(mutate.json_text), "tensors.safetensors": mutate.safetensors}
    return mutate.archive(rng, content, inside)


def change_program(rng: Draw, _: str, content: bytes) -> bytes:
    def inputs(rng: Draw, content: bytes) -> bytes:
        return mutate.archive(rng, content, {"data.pkl": mutate.raw, "data/0": mutate.raw}) if content else content

    inside = {"model.json": _text(mutate.json_text), "_config.json": _text(mutate.json_text), "model.pt": inputs}
    return mutate.archive(rng, content, {**inside, "_0": mutate.raw})


def _text(change: Callable[[Draw, str], str]) -> Callable[[Draw, bytes], bytes]:
    return lambda rng, content: change(rng, content.decode()).encode("utf-8", "surrogatepass")


# Files of runtimes ----------------------------------------------------------------------------------------------------


def use_onnx(rng: Draw, path: Path, seeds: Path) -> None:
    """Read it as a computation; now and then let ONNX Runtime take it, order it, verify it."""
    onnx_computation(path)
    if rng.random() < 0.1:
        open_session(read_model(path).SerializeToString(), str(path))
    if rng.random() < 0.01:
        command("schedule", path, "--out", path.parent / "new.onnx", "--seconds", "1")
    if rng.random() < 0.01:
        data = seeds / "npz" / "plain.npz"
        command("verify", seeds / "mj" / "int8.mj", path, "--data", data, "--runtime", "onnxruntime")


def use_litert(rng: Draw, path: Path, _: Path) -> None:
    """Read it as a computation and plan its arena; now and then order it."""
    read_litert(path)
    litert_plan(litert_computation(path, OPTIMIZED_KERNELS))
    if rng.random() < 0.02:
        command("schedule", path, "--out", path.parent / "new.tflite", "--seconds", "1")


# Texts ----------------------------------------------------------------------------------------------------------------


def use_encodings(_: Draw, path: Path, seeds: Path) -> None:
    mj.load_encodings(_quantized(seeds).copy(), path)


def use_graph(rng: Draw, path: Path, _: Path) -> None:
    read_graph(path)


def use_records(rng: Draw, path: Path, _: Path) -> None:
    if rng.random() < 0.05:
        command("report", path, "--out", path.parent / "page.html")
        return
    found = records_from_json(path.read_text("utf-8", errors="surrogateescape"), source=str(path))
    if rng.random() < 0.05:
        write_report(found, path.parent / "page.html")


def use_toml(rng: Draw, path: Path, seeds: Path) -> None:
    if path.stem.startswith("energy"):
        mj.costs(_float(seeds), energy=energy_table(path))
        return
    found = mj.target(path)
    if rng.random() < 0.2:
        mj.quantize(_float(seeds).copy(), target=found)


# Data -----------------------------------------------------------------------------------------------------------------


def use_arrays(rng: Draw, path: Path, seeds: Path) -> None:
    if rng.random() < 0.05:
        command("evaluate", seeds / "mj" / "convolutional.mj", "--data", path)
        return
    for _ in find_data(str(path), _model(seeds), Reading()):
        pass


def use_images(rng: Draw, path: Path, seeds: Path) -> None:
    """A folder with one image, and perhaps something else that lies in folders."""
    folder = path.parent / "images"
    (folder / "a").mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "a" / f"0{rng.choice((path.suffix, '.png', '.jpg'))}")
    _add_to(rng, folder)
    try:
        decode_image(path.read_bytes(), str(path), rng.choice(("RGB", "L")), upright=True)
        for _ in find_data(str(folder), _model(seeds), Reading(size=rng.choice((None, "8", "5,7")), normalise="none")):
            pass
    finally:
        shutil.rmtree(folder)


def _add_to(rng: Draw, folder: Path) -> None:
    kind, place = rng.randrange(12), folder / "a" / "1.png"
    if kind == 0:
        place.symlink_to(place)
    elif kind == 1:
        (folder / "b").symlink_to(folder)
    elif kind == 2:
        os.mkfifo(place)
    elif kind == 3:
        place.mkdir()
    elif kind == 4:
        (folder / "a" / b"\xff\xfe.png".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    elif kind == 5:
        place.symlink_to("/dev/zero")
    elif kind == 6:
        place.touch()


_LOADED: dict[str, Any] = {}


def _once(name: str, load: Callable[[], Any]) -> Any:
    if name not in _LOADED:
        _LOADED[name] = load()
    return _LOADED[name]


def _quantized(seeds: Path) -> mj.Network:
    return _once("int8", partial(mj.load, seeds / "mj" / "int8.mj"))


def _float(seeds: Path) -> mj.Network:
    return _once("float", partial(mj.load, seeds / "mj" / "convolutional.mj"))


def _model(seeds: Path) -> Model:
    return _once("model", partial(find_model, str(seeds / "mj" / "convolutional.mj")))


def change_arrays(rng: Draw, _: str, content: bytes) -> bytes:
    def array(rng: Draw, content: bytes) -> bytes:
        if rng.random() < 0.5:
            return mutate.raw(rng, content)
        length = int.from_bytes(content[8:10], "little")
        header = mutate.toml(rng, content[10 : 10 + length].decode("latin1")).encode("latin1", "replace")
        return content[:8] + (len(header) % 65536).to_bytes(2, "little") + header + content[10 + length :]

    return mutate.archive(rng, content, {".npy": array})


def change_image(rng: Draw, name: str, content: bytes) -> bytes:
    return mutate.png(rng, content) if name.endswith(".png") else mutate.raw(rng, content)


def _json(rng: Draw, _: str, content: bytes) -> bytes:
    return mutate.json_text(rng, content.decode()).encode("utf-8", "surrogatepass")


def _bytes(rng: Draw, _: str, content: bytes) -> bytes:
    return mutate.raw(rng, content)


def change_onnx(rng: Draw, _: str, content: bytes) -> bytes:
    """Bytes, or fields by the schema."""
    if rng.random() < 0.4:
        return mutate.raw(rng, content)
    document = json_format.MessageToDict(onnx.load_model_from_string(content))
    try:
        for _ in range(rng.choice((1, 1, 2, 3))):
            document = mutate.json_value(rng, document)
        return json_format.ParseDict(document, onnx.ModelProto(), ignore_unknown_fields=True).SerializeToString()
    except Exception:  # what the schema does not allow, or nests too deep
        return mutate.raw(rng, content)


KINDS: dict[str, Kind] = {
    "mj": Kind(change_network, use_network),
    "pt2": Kind(change_program, use_network),
    "onnx": Kind(change_onnx, use_onnx),
    "tflite": Kind(_bytes, use_litert),
    "encodings": Kind(_json, use_encodings),
    "graph": Kind(_json, use_graph),
    "records": Kind(_json, use_records),
    "npz": Kind(change_arrays, use_arrays),
    "toml": Kind(lambda rng, _, content: mutate.toml(rng, content.decode()).encode("utf-8", "surrogatepass"), use_toml),
    "images": Kind(change_image, use_images),
}
