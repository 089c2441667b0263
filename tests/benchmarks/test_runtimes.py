"""What is told of runtimes that obey an order; on the real SwiftNet where there are data and LiteRT."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import runtimes
from benchmarks.figure import Figure
from microjoule.deploy import litert_run
from microjoule.deploy.litert_order import REFERENCE_KERNELS, litert_computation
from microjoule.deploy.litert_plan import litert_plan
from microjoule.deploy.litert_run import LiteRtArena
from microjoule.deploy.onnx_order_run import OnnxRun
from microjoule.errors import SettingError
from microjoule.scheduling import Computation, Operator, Order, Value, order, peak_bytes

CHAIN = Computation(
    "chain",
    (Value("x", 64, is_input=True), Value("y", 64), Value("z", 64, is_output=True)),
    (Operator("first", (0,), (1,)), Operator("second", (1,), (2,))),
)
FOUND = Order((0, 1), 128, 128, 2, 0.0, None)
ARENA = LiteRtArena("reference", 128, 128, 128, (), (), (), 0)
RUN = OnnxRun((), (0, 1), 0, 128, 192, 0)


def test_the_share_of_equal_outputs_looks_at_every_bit():
    a, b = np.array([0.0], np.float32), np.array([-0.0], np.float32)
    assert runtimes.equal_share([[a, a], [a, a]], [[a, a], [a, b]]) == 0.5
    assert runtimes.equal_share([[a]], [[a[None]]]) == 0


def test_an_arena_of_the_peak_is_left_as_it_is():
    assert runtimes.moved(CHAIN, [0, 1]) == [0, 1]


def test_an_arena_at_the_peak_meets_its_goal():
    figure = runtimes.arena_figure("x", CHAIN, FOUND, [0, 1], (ARENA, replace(ARENA, measured_bytes=256)))
    assert (figure.value, figure.state) == (1.0, "met")
    assert figure.compared_with == ("arena 128, foreseen 128; peak 128, proved least; file order: arena 256, peak 128")


def test_an_excess_misses_its_goal_and_is_named():
    arena = replace(ARENA, measured_bytes=192, workspaces=(("first", 64),))
    figure = runtimes.arena_figure("x", CHAIN, replace(FOUND, lower_bound=100), [0, 1], (arena, ARENA))
    assert (figure.value, figure.state) == (1.5, "missed")
    assert "none is below 100" in figure.compared_with
    assert "an exact plan of this order takes 128" in figure.compared_with
    assert figure.compared_with.endswith("64 are what first unfolds its input into, in any order")


def test_nothing_is_equal_to_itself_alone():
    with pytest.raises(AssertionError, match="no order differs"):
        runtimes.equal_figure("x", None, [], "reference", [[0, 1], [0, 1]])


def test_what_was_held_is_told():
    over, saved = runtimes.held_figures("x", FOUND, replace(RUN, held_bytes=256), replace(RUN, held_bytes=160))
    assert (over.value, over.state, saved.value) == (1.25, "missed", 0.375)
    assert "held 160, with what kernels take while they run 192; peak 128, proved least" in over.compared_with
    [usual] = runtimes.default_figure("x", FOUND, RUN, replace(RUN, held_bytes=256), (RUN, RUN))
    assert (usual.value, usual.state) == (2.0, "")


def test_what_is_not_known_is_not_told(capsys):
    silent = replace(RUN, held_bytes=None)
    assert list(runtimes.held_figures("x", FOUND, silent, silent)) == []
    assert list(runtimes.default_figure("x", FOUND, silent, silent, (silent, silent))) == []
    assert capsys.readouterr().err == "x: this version of ONNX Runtime does not tell what its arena holds\n"


def test_without_litert_its_figures_are_left_out_in_one_line(monkeypatch, tmp_path, capsys):
    def refuse(*_):
        raise SettingError("LiteRT", "is not installed", remedy="install it")
        yield

    monkeypatch.setattr(runtimes, "images", lambda _: [])
    monkeypatch.setattr(runtimes, "_in_litert", refuse)
    monkeypatch.setattr(runtimes, "_in_onnxruntime", lambda *_: iter([Figure("other", 1, "x")]))
    assert [one.name for one in runtimes.figures(tmp_path)] == ["other"]
    assert capsys.readouterr().err == "LiteRT is left out: is not installed\n"


def test_operators_of_swiftnet_are_moved_for_the_planner(data_folder):
    computation = litert_computation(data_folder / runtimes.SWIFTNET, REFERENCE_KERNELS)
    found = order(computation)
    other = runtimes.moved(computation, found.order, starts=2, tries=150)
    before, after = (litert_plan(computation.in_order(one)).arena_bytes for one in (found.order, other))
    assert peak_bytes(computation, other) == found.peak
    assert after <= before


def test_swiftnet_in_onnxruntime(data_folder, tmp_path):
    found = list(runtimes._in_onnxruntime(data_folder / runtimes.SWIFTNET, runtimes.images(data_folder)[:2], tmp_path))
    assert [one.state for one in found] == ["met", "met", "met", "", ""] * 2
    assert [one.value for one in found if one.state == "met"] == [1.0] * 6
    assert all("2 different last maps" in one.compared_with for one in found if one.name.endswith("equal outputs"))


def test_swiftnet_in_litert_and_its_translation(data_folder, tmp_path):
    if litert_run.litert is None:
        pytest.skip("needs LiteRT: pip install 'microjoule[litert]'")
    path, given = data_folder / runtimes.SWIFTNET, runtimes.images(data_folder)[:2]
    equal, over, saved = runtimes._in_litert(path, given, "optimized", tmp_path)
    assert (equal.state, over.value, saved.value) == ("met", 1.0, 0.0)
    assert "orders other than the file's: 1; 2 images give 1 different classes and 2" in equal.compared_with
    off, same, *reals = runtimes._translated(path, given, tmp_path)
    assert [one.state for one in (off, same, *reals)] == ["met", "", "", ""]
    assert same.value == 1
    assert same.compared_with == "LiteRT gives 1 different classes for 2 images"
