"""Bad input: one clear error, exit code 2, no traceback, and nothing written."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.cli.app import main
from microjoule.errors import MicrojouleError
from microjoule.execution.batches import batches
from microjoule.numerics.grid import IntGrid
from microjoule.numerics.ranges import percentile
from tests.bad_files import small, write_sound, write_unsound

QUANTIZE = "quantize float.mj --out new.mj"
MIXED = f"{QUANTIZE} --data sound.npz --recipe mixed"
AUTO = "auto float.mj --out new.mj --data"
ON_DATA = "evaluate float.mj --data"
RESNET8 = "inspect zoo:resnet8_cifar10_mlperftiny --zoo-data"

COMMANDS = {
    # Models
    "a missing file": ("inspect nowhere.pt2", "there is no such file"),
    "a truncated network": ("inspect int8_truncated.mj", "is damaged"),
    "a truncated program": ("inspect program_truncated.pt2", "is damaged"),
    "an empty network": ("inspect empty.mj", "is damaged"),
    "an empty program": ("inspect empty.pt2", "is damaged"),
    "a text as a network": ("inspect text.mj", "is damaged"),
    "a text as a program": ("inspect text.pt2", "is damaged"),
    "a file of torch.save": ("inspect weights.pt", "is no network"),
    "data as a model": ("inspect sound.npz", "is no network"),
    "an ONNX file as a model": ("inspect int8.onnx", "ONNX"),
    "a folder as a model": ("inspect images", "is a folder"),
    "an unknown model of the zoo": ("inspect zoo:mobilenet_v9", "there is no 'mobilenet_v9' in the zoo"),
    "a zoo without its data folder": (f"{RESNET8} nowhere", "there is no such data folder"),
    "a zoo without the file": (f"{RESNET8} images", "there is no such file"),
    "weights with another checksum": (f"{RESNET8} zoo_checksum", "has the checksum"),
    "weights that are none": (f"{RESNET8} zoo_damaged", "is not a safetensors file"),
    "a damaged manifest": (f"{RESNET8} zoo_manifest", "cannot be read as a manifest"),
    # The user's own code
    "a missing Python file": ("inspect nowhere.py:trained", "there is no such file"),
    "a function that is not there": ("inspect net.py:untrained", "there is no such function"),
    "a name that is no function": ("inspect net.py:NUMBER", "there is no such function"),
    "several functions, none named": ("inspect net.py", "functions, so one must be named"),
    "a function with arguments": ("inspect net.py:holding", "takes the arguments value"),
    "a function that raises": ("inspect net.py:failing", "raises RuntimeError: the disk with the weights is away"),
    "a function that exits": ("inspect net.py:leaving", "raises SystemExit"),
    "a syntax error": ("inspect broken.py:trained", "raises SyntaxError"),
    "an import that fails": ("inspect importing.py:trained", "raises ModuleNotFoundError"),
    "a function that returns a text": ("inspect net.py:text", "returns a str"),
    "a module without inputs": ("inspect net.py:alone", "without example inputs"),
    "a shape of words": ("inspect net.py:alone --shape 1,eight,8", "--shape: is '1,eight,8'"),
    "a shape with nothing in it": ("inspect net.py:alone --shape 1,0,8", "--shape: is '1,0,8'"),
    "an enormous shape": ("inspect net.py:alone --shape 1,99999,99999", "too large"),
    "a shape that does not fit": ("inspect net.py:alone --shape 3,8,8", "does not run on the example inputs"),
    "NaN weights": ("inspect net.py:nan", "0.weight: holds NaN or infinite values"),
    "infinite weights": ("inspect net.py:infinite", "0.weight: holds NaN or infinite values"),
    "a model that cannot be exported": ("inspect net.py:branching", "torch.export cannot trace it"),
    "example inputs that do not fit": ("inspect net.py:misfit", "does not run on the example inputs"),
    "example inputs that are NaN": ("inspect net.py:nan_inputs", "hold NaN or infinite values"),
    "example inputs without a tensor": ("inspect net.py:no_inputs", "missing a required argument"),
    # Settings of quantize
    "weights of 0 bits": (f"{QUANTIZE} --weights 0", "got bits=0|1 to 16 bits"),
    "weights of 17 bits": (f"{QUANTIZE} --weights 17", "1 to 16 bits"),
    "activations of 17 bits": (f"{QUANTIZE} --activations 17", "1 to 16 bits"),
    "bits that the target lacks": (f"{QUANTIZE} --target tflite-micro --weights 3", "takes weights of"),
    "an unknown target": (f"{QUANTIZE} --target abacus", "abacus: is no target"),
    "a missing target file": (f"{QUANTIZE} --target nowhere.toml", "cannot be read"),
    "a truncated target file": (f"{QUANTIZE} --target truncated.toml", "does not describe a target"),
    "an empty target file": (f"{QUANTIZE} --target empty.toml", "does not describe a target"),
    "an unknown operator in a target file": (f"{QUANTIZE} --target operator.toml", "names convolve"),
    "88 bits in a target file": (f"{QUANTIZE} --target bits.toml", "does not describe a target"),
    "an unknown layer": (f"{QUANTIZE} --layer classifier=none", "classifier: is no layer of this network"),
    "a layer without bits": (f"{QUANTIZE} --layer 0", "--layer: is '0'"),
    "a layer of words": (f"{QUANTIZE} --layer 0=eight", "--layer: is '0=eight'"),
    "a layer of three widths": (f"{QUANTIZE} --layer 0=8/8/8", "--layer: is '0=8/8/8'"),
    "a layer of 17 bits": (f"{QUANTIZE} --layer 0=17", "1 to 16 bits"),
    "a layer twice": (f"{QUANTIZE} --layer 0=8 --layer 0=4", "names 0 twice"),
    "an unknown recipe": (f"{QUANTIZE} --recipe magic", "--recipe: is 'magic'"),
    "the naive recipe without data": (f"{QUANTIZE} --recipe naive", "needs data"),
    "an unknown range rule": (f"{QUANTIZE} --data sound.npz --rule magic", "--rule: is 'magic'"),
    "a range rule without data": (f"{QUANTIZE} --rule mse", "there is none"),
    "an input range that is reversed": (f"{QUANTIZE} --input-range 1,-1", "--input-range: is '1,-1'"),
    "an input range of words": (f"{QUANTIZE} --input-range low,high", "--input-range: is 'low,high'"),
    "an input range without end": (f"{QUANTIZE} --input-range 0,inf", "--input-range: is '0,inf'"),
    "a network that is quantized already": ("quantize int8.mj --out new.mj", "has quantizers already"),
    # Data
    "missing data": (f"{ON_DATA} nowhere.npz", "there is no such data"),
    "a truncated npz": (f"{ON_DATA} sound_truncated.npz", "is not a sound npz file"),
    "an empty npz": (f"{ON_DATA} empty.npz", "is not a sound npz file"),
    "a text as npz": (f"{ON_DATA} text.npz", "is not a sound npz file"),
    "wrong npz keys": (f"{ON_DATA} no_x.npz", "holds images, labels, and no x"),
    "data without labels": (f"{ON_DATA} no_y.npz", "has no targets"),
    "an empty data set": (f"{ON_DATA} no_samples.npz", "holds no sample"),
    "a wrongly shaped data set": (f"{ON_DATA} wrong_shape.npz", "the network takes (1, 8, 8)"),
    "data that is one number": (f"{ON_DATA} no_batch.npz", "holds x of float32 and shape ()"),
    "NaN data": (f"{ON_DATA} nan.npz", "holds NaN or infinite inputs"),
    "infinite data": (f"{ON_DATA} infinite.npz", "holds NaN or infinite inputs"),
    "NaN data to quantize with": (f"{QUANTIZE} --data nan.npz", "holds NaN or infinite inputs"),
    "a search on NaN": (f"{AUTO} nan.npz", "holds NaN or infinite inputs"),
    "a search on no data": (f"{AUTO} nowhere.npz", "there is no such data"),
    "a search from a quantized network": ("auto int8.mj --out new.mj --data sound.npz", "has quantizers already"),
    "a search for an unknown cost": (f"{AUTO} sound.npz --cost money", "is 'money'"),
    "a search by an unknown metric": (f"{AUTO} sound.npz --metric beauty", "'beauty'"),
    "a search for a drop that is no number": (f"{AUTO} sound.npz --drop nan", "drop: is not a number"),
    "a search with 99 bits": (f"{AUTO} sound.npz --weights 99", "99"),
    "mixed bits without a budget": (f"{MIXED}", "--recipe mixed: needs a budget"),
    "mixed bits with bits": (f"{MIXED} --budget W4A8 --weights 4", "--recipe mixed: chooses the bits itself"),
    "mixed bits with a layer's": (f"{MIXED} --budget W4A8 --layer 0=4", "--recipe mixed: chooses the bits itself"),
    "mixed bits without data": (f"{QUANTIZE} --recipe mixed --budget W4A8", "needs data"),
    "a budget of words": (f"{MIXED} --budget little", "budget: is 'little'"),
    "a budget of nothing": (f"{MIXED} --budget 0", "but the cheapest choice costs"),
    "a budget that is no number": (f"{MIXED} --budget nan", "but the cheapest choice costs"),
    "a budget of an unknown cost": (f"{MIXED} --budget 9 --cost luck", "cost: is 'luck'"),
    "candidates of words": (f"{MIXED} --budget W4A8 --candidates few", "--candidates: is 'few'"),
    "candidates of 99 bits": (f"{MIXED} --budget W4A8 --candidates W99A8", "a grid holds 1 to 16 bits"),
    "a budget for another recipe": (f"{QUANTIZE} --budget W4A8", "--budget: is for the recipe mixed"),
    "labels out of step": (f"{ON_DATA} out_of_step.npz", "has 6 inputs and 4 targets"),
    "two labels a sample": (f"{ON_DATA} pairs_of_labels.npz", "targets of shape (6, 2)"),
    "texts as data": (f"{ON_DATA} texts.npz", "holds x of <U1"),
    "objects as data": (f"{ON_DATA} objects.npz", "is not a sound npz file"),
    "bytes as floating-point inputs": (f"{ON_DATA} bytes.npz", "nothing tells how pixels become inputs"),
    "a file of another kind as data": (f"{ON_DATA} text.txt", "is no data that microjoule reads"),
    "an empty folder": (f"{ON_DATA} nothing --normalise none", "holds no image"),
    "a class folder without images": (f"{ON_DATA} no_images --normalise none", "holds no image"),
    "an image that is no image": (f"{ON_DATA} not_an_image --normalise none", "is not a sound image"),
    "a truncated image": (f"{ON_DATA} truncated_image --normalise none", "is not a sound image"),
    "an unknown normalisation": (f"{ON_DATA} images --normalise magic", "--normalise: is 'magic'"),
    "a normalisation of numbers": (f"{ON_DATA} sound.npz --normalise unit", "--normalise: is for stored images"),
    "a size of words": (f"{ON_DATA} images --normalise none --size big", "--size: is 'big'"),
    "images of another size than the network's": (f"{ON_DATA} images --normalise none --size 5", "is 5, not 8"),
    "no samples": (f"{ON_DATA} sound.npz --samples 0", "--samples: is 0"),
    "an unknown data set of the zoo": (f"{ON_DATA} zoo:imaginary --zoo-data images", "there is no such data set"),
    "a data set without its folder": (f"{ON_DATA} zoo:mnist --zoo-data nowhere", "there is no such data folder"),
    "a function that returns no data": (f"{ON_DATA} net.py:nothing", "is no data that microjoule can read"),
    "an unknown metric": (f"{ON_DATA} sound.npz --metric luck", "--metric: is 'luck'"),
    "a metric of something else": (f"{ON_DATA} sound.npz --metric miou", "choose the metric that fits"),
    # Deployment
    "an export into a missing folder": ("export int8.mj --out nowhere/new.onnx", "no such file or directory"),
    "an export onto a folder": ("export int8.mj --out images", "has no suffix"),
    "an export under a file": ("export int8.mj --out text.txt/new.onnx", "not a directory"),
    "an export with too long a name": (f"export int8.mj --out {'n' * 300}.onnx", "file name too long"),
    "a missing ONNX file": ("verify int8.mj nowhere.onnx --data sound.npz", "cannot be read"),
    "a truncated ONNX file": ("verify int8.mj int8_truncated.onnx --data sound.npz", "ONNX file"),
    "an empty ONNX file": ("verify int8.mj empty.onnx --data sound.npz", "ONNX file"),
    "the ONNX file of another network": ("verify int8.mj other.onnx --data sound.npz", "of the network's"),
    "an unknown runtime": ("verify int8.mj int8.onnx --data sound.npz --runtime abacus", "--runtime: is 'abacus'"),
    "a network without quantizers to verify": ("verify float.mj other.onnx --data sound.npz", "has no quantizers"),
    "data of another shape to verify": ("verify int8.mj int8.onnx --data wrong_shape.npz", "the network takes"),
    "a missing file to measure": ("measure nowhere.onnx", "is no file"),
    "a truncated file to measure": ("measure int8_truncated.onnx", "is no ONNX file, or a damaged one"),
    "a network to measure": ("measure int8.mj", "is no ONNX file, or a damaged one"),
    "no runs": ("measure int8.onnx --runs 0", "runs: is 0"),
    "no threads": ("measure int8.onnx --threads 0", "threads: is 0"),
    "no batch": ("measure int8.onnx --batch 0", "batch: is 0"),
    "a history to keep in a missing file": (f"{ON_DATA} sound.npz --keep nowhere.mj", "no such file"),
    "a history to keep in another's file": (
        f"{ON_DATA} sound.npz --keep program.pt2",
        "is no file that microjoule saved",
    ),
    # Reports
    "a report into a missing folder": ("report int8.mj --out nowhere/report.html", "no such file or directory"),
    "a report of a missing network": ("report nowhere.mj", "no such file"),
    "a report of a model without a history": ("report program.pt2", "has no history to report"),
    "a report of missing records": ("report nowhere.json", "cannot be read"),
    "a report of truncated records": ("report truncated.json", "is not valid JSON"),
    "a report of unknown records": ("report unknown_record.json", "Weather"),
    "a report of encodings": ("report int8.json", "int8.json"),
    "a report of nothing": ("report no_records.json", "there are none to report"),
    # Folders
    "a quickstart in a file": ("quickstart --out text.txt", "cannot be made"),
}

USAGE = ["", "conquer", "quantize float.mj", "inspect", "inspect float.mj --colour", f"{QUANTIZE} --weights eight"]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input")
    write_sound(folder)
    write_unsound(folder)
    return folder


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    copy = tmp_path / "work"
    shutil.copytree(prepared, copy)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MICROJOULE_DATA", raising=False)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    return copy


def listing(folder: Path) -> dict[str, str]:
    """Every file below a folder with the checksum of its content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_one_clear_error(text: str) -> None:
    """A first line "place: fact", then the remedy, indented; and that is all."""
    assert "Traceback" not in text
    first, *rest = text.rstrip("\n").splitlines()
    assert re.match(r"\S.*: \S", first), text
    assert rest, text
    assert rest[-1].startswith("  "), text
    assert len(rest[-1].strip()) > 5, text
    assert len(text) < 2000, text


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command line that must be refused; returns its message."""
    code = main(arguments)
    printed = capsys.readouterr()
    assert code == 2, printed.err
    assert printed.out == ""
    return printed.err


@pytest.mark.parametrize(("command", "fact"), COMMANDS.values(), ids=list(COMMANDS))
def test_a_command_refuses(folder, capsys, command, fact):
    before = listing(folder)
    error = refused(command.split(), capsys)
    assert_one_clear_error(error)
    assert any(part in error for part in fact.split("|")), error
    assert listing(folder) == before


@pytest.mark.parametrize("command", USAGE, ids=lambda text: text or "nothing")
def test_a_wrong_command_line_is_said_without_a_traceback(folder, capsys, command):
    before = listing(folder)
    assert main(command.split()) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert listing(folder) == before


# A disk that is full, a folder without permission ------------------------------------------------

WRITING = {
    "a network": QUANTIZE,
    "a network over another": "quantize float.mj --out int8.mj",
    "a model": "export int8.mj --out new.onnx",
    "a report": "report int8.mj --out report.html",
    "a history": f"{ON_DATA} sound.npz --keep float.mj",
}


@pytest.mark.parametrize("command", WRITING.values(), ids=list(WRITING))
def test_a_full_disk_leaves_nothing_half_written(folder, capsys, monkeypatch, command):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = listing(folder)
    monkeypatch.setattr(os, "fsync", full)
    error = refused(command.split(), capsys)
    assert_one_clear_error(error)
    assert "no space left on device" in error
    assert listing(folder) == before


@pytest.mark.parametrize("command", WRITING.values(), ids=list(WRITING))
def test_a_folder_without_permission_is_said(folder, capsys, monkeypatch, command):
    opened = os.open

    def forbidden(path, flags, *rest, **named):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, flags, *rest, **named)

    before = listing(folder)
    monkeypatch.setattr(os, "open", forbidden)
    error = refused(command.split(), capsys)
    assert_one_clear_error(error)
    assert "permission denied" in error
    assert listing(folder) == before


# The same from Python ----------------------------------------------------------------------------


def uncalibrated() -> mj.Network:
    network = mj.capture(small(), torch.rand(2, 1, 8, 8))
    mj.fold_batch_norms(network)
    mj.quantize(network)
    return network


CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "something that is no module": (lambda: mj.capture("a model", torch.rand(2, 3)), "is no nn.Module"),  # type: ignore[arg-type]
    "a module without inputs": (lambda: mj.capture(nn.ReLU(), ()), "missing a required argument"),
    "a grid of 0 bits": (lambda: IntGrid(0), "1 to 16 bits"),
    "a grid of 17 bits": (lambda: IntGrid(17), "1 to 16 bits"),
    "a percentile of 200": (lambda: percentile(200), "200"),
    "data that is none": (lambda: batches(object()), "is no data"),
    "an empty tensor": (lambda: batches(torch.rand(0, 1, 8, 8)), "holds no sample"),
    "a batch of 0": (lambda: batches(torch.rand(4, 3), batch_size=0), "batch_size: is 0"),
    "an unknown layer": (lambda: mj.load("int8.mj").layer("nowhere"), "is no layer"),
    "an export before calibration": (lambda: mj.export(uncalibrated(), "new.onnx"), "range"),
    "a calibration without quantizers": (
        lambda: mj.calibrate(mj.load("float.mj"), torch.rand(2, 1, 8, 8)),
        "has no activation quantizer",
    ),
    "a calibration on other inputs": (
        lambda: mj.calibrate(uncalibrated(), torch.rand(2, 3, 8, 8)),
        "dimension 1 is 3, not 1",
    ),
    "encodings that are missing": (lambda: mj.load_encodings(mj.load("int8.mj"), "nowhere.json"), "cannot be read"),
    "encodings that are truncated": (
        lambda: mj.load_encodings(mj.load("int8.mj"), "truncated.json"),
        "is not valid JSON",
    ),
    "encodings of another version": (
        lambda: mj.load_encodings(mj.load("int8.mj"), "encodings_version.json"),
        "version '0.4'",
    ),
    "encodings without lists": (
        lambda: mj.load_encodings(mj.load("int8.mj"), "encodings_missing.json"),
        "does not hold",
    ),
    "encodings with a scale of 0": (
        lambda: mj.load_encodings(mj.load("int8.mj"), "encodings_scale.json"),
        "a scale is not above 0",
    ),
    "encodings of 99 bits": (lambda: mj.load_encodings(mj.load("int8.mj"), "encodings_bits.json"), "bits"),
    "encodings of another network": (lambda: mj.load_encodings(mj.load("int8.mj"), "encodings_name.json"), "nowhere"),
    "mixed bits without candidates": (
        lambda: mj.mixed_precision(mj.load("float.mj"), torch.rand(2, 1, 8, 8), budget="W4A8", candidates=()),
        "candidates: is empty",
    ),
    "mixed bits of a quantized network": (
        lambda: mj.mixed_precision(mj.load("int8.mj"), torch.rand(2, 1, 8, 8), budget="W4A8"),
        "has quantizers already",
    ),
    "a front of no budgets": (
        lambda: mj.recipes.pareto(mj.load("float.mj"), torch.rand(2, 1, 8, 8), mj.zoo.metric("top1"), budgets=()),
        "budgets: is []",
    ),
    "an unknown energy table": (lambda: mj.costs(mj.load("int8.mj"), energy="magic"), "magic"),
    "an unknown data set": (lambda: mj.zoo.dataset("digits_test", limit=0), "limit: is 0"),
    "a report of nothing": (lambda: mj.report([], "report.html"), "there are none"),
}


@pytest.mark.parametrize(("call", "fact"), CALLS.values(), ids=list(CALLS))
def test_a_call_refuses(folder, call, fact):
    before = listing(folder)
    with pytest.raises(MicrojouleError) as caught:
        call()
    assert fact in str(caught.value)
    assert_one_clear_error(str(caught.value))
    assert caught.value.place
    assert caught.value.fact
    assert caught.value.remedy
    assert listing(folder) == before
