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
