"""Random networks come out right or are refused; what is told of them is what was found."""

import pytest

from benchmarks import random_networks
from benchmarks.random_checks import check
from benchmarks.random_networks import figures, told


@pytest.mark.survey
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_networks_are_right_at_every_stage(first):
    found = [check(seed, deploy=False) for seed in range(first, first + 20)]
    assert [one for one in found if one.stage and not one.stage.startswith("refused")] == []
    assert sum(one.stage.startswith("refused") for one in found) <= 1


@pytest.mark.survey
@pytest.mark.parametrize("seed", range(2000, 2020))
def test_random_networks_are_right_in_onnx_runtime(seed):
    found = check(seed, deploy=True)
    assert found.stage == "" or found.stage.startswith("refused")


def test_right_refused_and_wrong_are_counted(capsys):
    found = {0: ("", ""), 1: ("refused: captured", "x: no"), 2: ("saved", "differs"), 1500: ("", "")}
    wrong, refused = told(found)
    assert (wrong.value, wrong.unit, wrong.state) == (1, "of 4", "missed")
    assert wrong.compared_with == "2 right, 1 refused, 3 of all verified; 1 saved"
    assert (refused.value, refused.compared_with) == (0.25, "x: no")
    assert capsys.readouterr().err == "seed 2, saved: differs\n"


def test_each_seed_is_looked_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(random_networks, "NETWORKS", 2)
    monkeypatch.setattr(random_networks, "DEPLOYED", 0)
    monkeypatch.setattr(random_networks.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(random_networks.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    wrong, _ = figures(tmp_path / "data")
    monkeypatch.setattr(random_networks, "check", lambda *_, **__: pytest.fail("looked at again"))
    assert (wrong.value, wrong.unit) == (0, "of 2")
    assert next(figures(tmp_path / "data")) == wrong
