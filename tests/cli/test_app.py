"""The program as a whole: help, exit codes, errors of one message."""

import pytest


@pytest.mark.parametrize(
    "name",
    ["inspect", "quantize", "evaluate", "export", "verify", "measure", "report", "quickstart", "compress", "tradeoff"],
)
def test_every_command_explains_itself_with_an_example(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"microjoule {name}" in out


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "nowhere.pt2"),
        ("inspect", "zoo:nothing"),
        ("quantize", "zoo:digits_mobilenet_v2", "--weights", "17", "--out", "x.mj"),
        ("quantize", "zoo:digits_mobilenet_v2", "--target", "abacus", "--out", "x.mj"),
        ("quantize", "zoo:digits_mobilenet_v2", "--layer", "nowhere=4", "--out", "x.mj"),
        ("quantize", "zoo:digits_mobilenet_v2", "--recipe", "magic", "--out", "x.mj"),
        ("report", "nowhere.mj", "--out", "x.html"),
    ],
    ids=["file", "zoo", "bits", "target", "layer", "recipe", "report"],
)
def test_a_users_error_is_one_message_without_a_traceback_and_writes_nothing(command, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*words)
    assert code == 2
    assert "Traceback" not in out + err
    assert ": " in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "interrupted\n"),
        (["--work-folder", "work"], "interrupted; the same command goes on from its work folder\n"),
    ],
    ids=["nothing kept", "kept"],
)
def test_an_interruption_is_told_and_where_it_goes_on(command, tmp_path, monkeypatch, words, told):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("microjoule.cli.auto.reach", interrupted)
    asked = ["auto", "zoo:digits_mobilenet_v2", "--data", "zoo:digits_test", "--out", "x.mj", *words]
    code, _, err = command(*asked)
    assert (code, err.lstrip()) == (130, told)


def test_auto_sees_at_once_that_a_folder_is_missing(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("microjoule.cli.auto.reach")
    code, _, err = command("auto", "zoo:digits_mobilenet_v2", "--data", "zoo:digits_test", "--out", "nowhere/x.mj")
    assert (code, "make the folder first" in err) == (2, True)
