"""Where files go: their suffix, their folder, and what they must not overwrite."""

import os
from pathlib import Path

import pytest

from microjoule.cli.places import base_of, check_outputs, outputs
from microjoule.errors import FileError, MicrojouleError, SettingError


def check(path, suffixes=".mj .onnx", inputs=()):
    check_outputs(outputs(("--out", path, suffixes)), inputs)


@pytest.mark.parametrize("name", ["x.mj", "x.onnx", "x.ONNX", "v1.2.mj"])
def test_a_suffix_that_can_be_written_passes(tmp_path, name):
    check(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "x",
            "has no suffix that says what it shall be\n  end it in .mj for a network, .*; end it in .onnx for an ONNX",
        ),
        ("x.tflite", r"which ends in .tflite \(LiteRT files cannot be written yet\)\n  end it in .mj"),
        ("x.pt2", "which ends in .pt2\n"),
        ("x.mj.gz", "which ends in .gz\n"),
    ],
)
def test_any_other_suffix_is_refused_with_those_that_can(tmp_path, name, message):
    with pytest.raises(SettingError, match=f"--out: is .*{message}"):
        check(tmp_path / name)


def test_files_that_were_not_asked_for_are_left_out(tmp_path):
    assert [one.option for one in outputs(("--a", None, ".mj"), ("--b", tmp_path / "b.mj", ".mj"))] == ["--b"]


def test_a_folder_must_be_there_and_may_be_written_to(tmp_path, monkeypatch):
    with pytest.raises(FileError, match="make the folder first"):
        check(tmp_path / "nowhere" / "x.mj")
    monkeypatch.setattr(os, "access", lambda folder, how: (folder, how) != (tmp_path.resolve(), os.W_OK))
    with pytest.raises(FileError, match="is in a folder that you may not write to"):
        check(tmp_path / "x.mj")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "x.mj").mkdir()
    with pytest.raises(FileError, match="is a folder"):
        check(tmp_path / "x.mj")


@pytest.mark.parametrize("way", ["same", "relative", "symlink", "hard link", "function of it"])
def test_what_is_read_is_not_written_over(tmp_path, monkeypatch, way):
    source = tmp_path / "x.py"
    source.write_text("")
    monkeypatch.chdir(tmp_path)
    out, given = source, str(source)
    if way == "relative":
        out = Path("x.py")
    elif way == "symlink":
        out = tmp_path / "y.py"
        out.symlink_to(source)
    elif way == "hard link":
        out = tmp_path / "y.py"
        out.hardlink_to(source)
    elif way == "function of it":
        given = f"{source}:trained"
    with pytest.raises(SettingError, match="which this command reads\n  choose another name"):
        check(out, ".py", [None, "zoo:digits", given])


def test_one_place_is_for_one_file(tmp_path):
    path = tmp_path / "x.onnx"
    with pytest.raises(SettingError, match=r"--onnx: is .*x.onnx, as --out is"):
        check_outputs(outputs(("--out", path, ".onnx"), ("--onnx", path, ".onnx")))


@pytest.mark.parametrize(
    ("given", "base"),
    [("digits", "digits"), ("a/digits.mj", "a/digits"), ("x.onnx", "x"), ("x.html", "x"), ("v1.2", "v1.2")],
)
def test_a_name_for_several_files(given, base):
    assert base_of("--out", Path(given), (".mj", ".onnx", ".html")) == Path(base)


@pytest.mark.parametrize("given", ["x.tflite", "x.pt2", "x.JSON", "", ".", "..", "/"])
def test_a_name_that_is_none_is_refused(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MicrojouleError, match="--out: is"):
        base_of("--out", Path(given), (".mj", ".onnx", ".html"))
