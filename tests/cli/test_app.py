"""The program as a whole: help, exit codes, errors of one message, and how little it takes to tell of itself."""

import json
import os
import subprocess
import sys
import warnings
from importlib.metadata import version

import pytest

import microjoule as mj
from microjoule.cli import app
from microjoule.cli.commands import __all__ as names
from microjoule.errors import MicrojouleWarning

WIDE = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
HEAVY = {"torch", "numpy", "scipy", "sklearn", "onnx", "onnxruntime", "plotly", "PIL"}


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_explains_itself_with_an_example(command, name):
    code, out, err = command(name, "--help")
    assert (code, err) == (0, "")
    assert f"microjoule {name}" in out.partition("Usage")[2].partition("\n")[2]


def test_every_command_is_in_the_table_with_a_line():
    assert set(app.COMMANDS) == set(names)
    assert all(line.endswith(".") and len(line) < 90 for line in app.COMMANDS.values())


@pytest.mark.parametrize("name", app.COMMANDS)
def test_examples_and_help_are_written_for_eighty_columns(name):
    """Lines are shown as they are; one that folds cannot be copied. A bracket would be read as markup, and be gone."""
    command = app.imported(name)
    _, *lines = command.help.splitlines()
    assert [line for line in lines if len(line) > 78] == []
    for option in command.params:
        assert option.help, option.name
        assert option.help.endswith("."), option.help
        assert "[" not in option.help, option.help


def test_help_shows_what_is_taken_where_nothing_is_given(command):
    _, out, _ = command("quantize", "--help")
    told = " ".join(out.split())
    for default in ("(the target's)", "data-free", "(all)", "(the data's, or", "0"):
        assert f"default: {default}" in told


@pytest.mark.parametrize("words", [["--version"], ["--help"], [], *([name, "--help"] for name in app.COMMANDS)])
def test_to_tell_of_itself_it_imports_nothing_heavy(words):
    code = (
        f"import sys; from microjoule.cli.app import main; main({words}); "
        f"assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_nor_to_refuse_what_cannot_be(tmp_path):
    code = (
        "import sys; from microjoule.cli.app import main; assert main(['quantize']) == main(['nonsense']) == 2; "
        f"assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("", "quantize"), ("qu", "quickstart"), ("quantize --rec", "--recipe"), ("auto x --metric mi", "miou")],
)
def test_a_shell_completes_commands_options_and_names_without_loading_torch(words, expected):
    line = f"microjoule {words}"
    environment = {
        **WIDE,
        "_MICROJOULE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    code = "import sys\nfrom microjoule.cli.app import main\ntry: main([])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    *completed, heavy = done.stdout.split()
    assert expected in completed
    assert heavy == "False"


def test_the_version_is_that_of_the_package(command):
    assert command("--version") == (0, f"microjoule {version('microjoule')}\n", "")


def test_without_a_command_help_is_shown_and_nothing_was_done(command):
    code, out, err = command()
    assert (code, err) == (2, "")
    assert "quickstart" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["quantize", "--out", "x.mj"], "interrupted\n"),
        (["auto", "--data", "zoo:digits_test", "--out", "x"], "interrupted; the same command goes on from its work"),
    ],
    ids=["nothing kept", "kept"],
)
def test_an_interruption_is_told_and_where_it_goes_on(command, tmp_path, monkeypatch, words, told):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mj.recipes, "auto", interrupted)
    monkeypatch.setattr(mj.recipes, "data_free", interrupted)
    name, *rest = words
    code, out, err = command(name, "zoo:digits_mobilenet_v2", *rest)
    assert (code, out) == (130, "")
    assert err.startswith(told)
    assert list(tmp_path.iterdir()) == []


def test_auto_sees_at_once_that_a_folder_is_missing(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mj.recipes, "auto", None)
    code, _, err = command("auto", "zoo:digits_mobilenet_v2", "--data", "zoo:digits_test", "--out", "nowhere/x.mj")
    assert (code, "make the folder first" in err) == (2, True)


def warned(*_, **__):
    warnings.warn("noise", UserWarning, stacklevel=1)
    warnings.warn(MicrojouleWarning("x.mj: may be wrong"), stacklevel=1)
    raise KeyboardInterrupt


@pytest.mark.parametrize("verbose", [[], ["-v"]], ids=["", "verbose"])
def test_warnings_of_ours_are_shown_and_those_of_libraries_to_who_asks(command, tmp_path, monkeypatch, verbose):
    monkeypatch.setattr(mj.recipes, "data_free", warned)
    words = ["quantize", "zoo:digits_mobilenet_v2", "--out", tmp_path / "x.mj", *verbose, "--json"]
    code, out, err = command(*words)
    assert (code, json.loads(out)["exit_code"]) == (130, 130)
    assert ("Warning: x.mj: may be wrong\n" in err, "noise" in err) == (True, bool(verbose))


def test_what_users_code_prints_is_not_in_the_document(document, tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import torch\nprint('loading')\n\ndef net():\n    print('made')\n    return torch.nn.Linear(4, 3)\n"
    )
    assert document("inspect", f"{path}:net", "--shape", "4")["inputs"] == [[1, 4]]
