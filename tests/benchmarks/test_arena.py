"""What is told of instances; MiniMalloc's own are solved in the benchmark alone."""

import pytest

from benchmarks import arena
from microjoule.errors import FileError
from microjoule.scheduling import Packing, Plan
from tests.scheduling.random_buffers import buffers_from

BUFFERS = buffers_from((0, 2, 3), (1, 3, 5))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "scheduling" / "minimalloc"
    folder.mkdir(parents=True)
    for name in "AD":
        (folder / f"{name}.1048576.csv").write_text("id,lower,upper,size\na,0,2,3\nb,1,3,5\n", encoding="utf-8")
    return tmp_path


def test_each_instance_all_together_and_the_open_ones_are_told(data):
    found = list(arena.figures(data))
    assert [one.name for one in found] == [
        "MiniMalloc A, arena",
        "MiniMalloc A, greedy arena over load",
        "MiniMalloc D, arena",
        "MiniMalloc D, greedy arena over load",
        "MiniMalloc A to D, all",
        "MiniMalloc D at its load, arena over bound",
    ]
    assert [one.value for one in found if one.unit != "s"] == [8, 1.0, 8, 1.0, 1.0]
    assert {one.state for one in found} <= {"met", ""}


def test_an_arena_that_is_too_large_misses_its_goal():
    figure, greedy = arena.told("A", BUFFERS, Packing(Plan((0, 3), 1_048_577), 8, 5), 0.5)
    assert figure.state == "missed"
    assert figure.compared_with == "2 buffers, load 8, 5 partial plans in 0.50 s"
    assert greedy.compared_with == "TFLite's greedy by size 8; this 131072.125"


@pytest.mark.parametrize(("bound", "state"), [(8, "proved"), (6, "open, no arena is below 6")], ids=["proved", "open"])
def test_what_is_not_proved_is_said(bound, state):
    figure = arena.at_peak("D", BUFFERS, Packing(Plan((0, 3), 8), bound, 5), 0.5)
    assert figure.value == 8 / bound
    assert figure.compared_with.endswith(f"smallest found 8 in 0 s: {state}")


def test_an_unsound_plan_is_told_by_nobody(monkeypatch):
    monkeypatch.setattr(arena, "pack", lambda *_, **__: Packing(Plan((0, 2), 8), 8, 5))
    with pytest.raises(AssertionError, match="not sound"):
        arena.packed(BUFFERS, time_limit_s=1.0)


def test_a_folder_without_instances_is_refused(tmp_path):
    with pytest.raises(FileError, match="holds no instances"):
        arena.read_instances(tmp_path)
