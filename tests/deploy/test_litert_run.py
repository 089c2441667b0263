from pathlib import Path

import numpy as np
import pytest

from microjoule.deploy import litert_run
from microjoule.deploy.litert_order import OPTIMIZED_KERNELS, REFERENCE_KERNELS, litert_computation, write_litert_order
from microjoule.deploy.litert_plan import litert_plan
from microjoule.deploy.litert_run import compare_litert, measure_litert_arena, run_litert
from microjoule.errors import DataError, FileError, SettingError
from tests.deploy.litert_models import ADD, CONCAT, CONV, INT32, RELU, SOFTMAX, Op, T, conv_options, litert_file
from tests.deploy.litert_orders import RandomFile, random_order
from tests.deploy.test_litert_order import SWIFTNET, best_order

X = (1, 4, 4, 2)
ACCOUNTING = {"reference": REFERENCE_KERNELS, "optimized": OPTIMIZED_KERNELS}


@pytest.fixture(autouse=True)
def installed(request):
    if "without" not in request.node.name:
        pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install 'microjoule[litert]'")


def written(folder: Path, content: bytes, name: str = "model.tflite") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def unfolding() -> bytes:
    """A convolution of 3 x 3 points, whose input of 2 channels becomes one of 18."""
    tensors = [T(X), T((5, 3, 3, 2), np.ones((5, 3, 3, 2), "f")), T((5,), np.zeros(5, "f")), T((1, 4, 4, 5))]
    return litert_file(tensors, [Op(CONV, [0, 1, 2], [3], conv_options())], [0], [3])


@pytest.mark.parametrize("kernels", ["reference", "optimized"])
def test_outputs_by_hand(tmp_path, kernels):
    content = litert_file([T((3,)), T((3,)), T((3,))], [Op(RELU, [0], [1]), Op(ADD, [0, 1], [2])], [0], [2])
    found = run_litert(written(tmp_path, content), [np.array([-1, 0, 2], "f")], kernels=kernels)
    assert [one.tolist() for one in found] == [[-1, 0, 4]]


def test_the_arena_by_hand(tmp_path):
    """Input and output stay beside each other: 128 bytes each."""
    content = litert_file([T(X), T(X)], [Op(RELU, [0], [1])], [0], [1])
    found = measure_litert_arena(written(tmp_path, content))
    assert (found.measured_bytes, found.planned_bytes, found.needed_bytes) == (256, 256, 256)
    assert (found.workspaces, found.unexplained_bytes, found.outside_bytes, found.unread) == ((), (), (), 0)


def test_a_convolution_unfolds_its_input_with_fast_kernels(tmp_path):
    path, unfolded = written(tmp_path, unfolding()), 16 * 18 * 4
    fast, plain = measure_litert_arena(path), measure_litert_arena(path, kernels="reference")
    assert fast.workspaces == (("t3", unfolded),)
    assert plain.workspaces == ()
    assert (plain.measured_bytes, fast.measured_bytes) == (128 + 320, 128 + 320 + unfolded)
    assert (plain.planned_bytes, fast.planned_bytes) == (plain.measured_bytes, fast.measured_bytes)
    assert fast.unexplained_bytes == ()


def test_a_workspace_that_is_not_modelled_is_unexplained(tmp_path, monkeypatch):
    monkeypatch.setitem(litert_run.ACCOUNTING, "optimized", REFERENCE_KERNELS)
    found = measure_litert_arena(written(tmp_path, unfolding()))
    assert found.unexplained_bytes == (16 * 18 * 4,)
    assert found.planned_bytes == found.measured_bytes - 16 * 18 * 4


def test_a_single_number_has_no_address(tmp_path):
    content = litert_file([T(()), T(())], [Op(RELU, [0], [1])], [0], [1])
    assert measure_litert_arena(written(tmp_path, content)).unread == 2


@pytest.mark.parametrize("kernels", ["reference", "optimized"])
@pytest.mark.parametrize("seed", range(25))
def test_the_plan_is_where_the_runtime_lays_its_tensors(tmp_path, seed, kernels):
    """Every tensor of random files, in their own order and in another: where the plan says, to the byte."""
    path = written(tmp_path, RandomFile(seed).content())
    other = write_litert_order(path, random_order(litert_computation(path), seed), tmp_path / "other.tflite")
    for one in (path, other):
        assert litert_plan(litert_computation(one, ACCOUNTING[kernels])).offsets == offsets(one, kernels)
    compared = compare_litert(path, other, samples=1, kernels=kernels)
    assert compared.identical
    for arena in compared.arenas:
        assert arena.measured_bytes == arena.planned_bytes
        assert (arena.unexplained_bytes, arena.outside_bytes, arena.unread) == ((), (), 0)


def offsets(path: Path, kernels: str) -> tuple[int, ...]:
    """Where the runtime lays each tensor that changes, from the first on."""
    model = litert_run.read_litert(path)
    opened = litert_run._interpreter(model, kernels)
    places = [opened.tensor(index)().ctypes.data for index in litert_run._changing(model)]
    return tuple(place - min(places) for place in places)


def test_other_outputs_are_told(tmp_path):
    first = litert_file([T((3,)), T((3,))], [Op(RELU, [0], [1])], [0], [1])
    second = litert_file([T((3,)), T((3,))], [Op(SOFTMAX, [0], [1], {0: ("Float32", 1.0)})], [0], [1])
    paths = written(tmp_path, first), written(tmp_path, second, "other.tflite")
    assert not compare_litert(*paths).identical
    assert compare_litert(paths[0], paths[0]).identical


def test_files_of_other_inputs_are_refused(tmp_path):
    first = litert_file([T((3,)), T((3,))], [Op(RELU, [0], [1])], [0], [1])
    second = litert_file([T((4,)), T((4,))], [Op(RELU, [0], [1])], [0], [1])
    with pytest.raises(DataError, match=r"takes inputs of \[4\] float32, and gets \[3\] float32"):
        compare_litert(written(tmp_path, first), written(tmp_path, second, "other.tflite"))


def test_random_inputs_are_of_the_files_type(tmp_path):
    content = litert_file([T(X, type=INT32), T(X, type=INT32)], [Op(ADD, [0, 0], [1])], [0], [1])
    assert compare_litert(written(tmp_path, content), written(tmp_path, content), samples=2).identical


def test_a_file_that_litert_refuses(tmp_path):
    content = litert_file([T(X), T((1, 4, 4, 3)), T(X)], [Op(CONCAT, [0, 0], [2], {0: ("Int32", 9)})], [0], [2])
    with pytest.raises(FileError, match=r"model\.tflite: LiteRT does not take it: "):
        measure_litert_arena(written(tmp_path, content))


def test_a_wrong_setting_is_refused(tmp_path):
    path = written(tmp_path, unfolding())
    with pytest.raises(SettingError, match="kernels: is 'quick'"):
        measure_litert_arena(path, kernels="quick")
    with pytest.raises(SettingError, match="samples: is 0"):
        compare_litert(path, path, samples=0)


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(litert_run, "litert", None)
    with pytest.raises(SettingError, match=r"is not installed\n.*pip install 'microjoule\[litert\]'"):
        measure_litert_arena(written(tmp_path, unfolding()))


@pytest.mark.parametrize(
    ("kernels", "before", "after"), [("reference", 501_760, 439_040), ("optimized", 812_224, 812_224)]
)
def test_swiftnet_in_a_better_order(data_folder, tmp_path, kernels, before, after):
    """With plain kernels the order saves an eighth; with fast ones the workspace of the first convolution decides."""
    other = write_litert_order(data_folder / SWIFTNET, best_order(), tmp_path / "other.tflite")
    found = compare_litert(data_folder / SWIFTNET, other, kernels=kernels)
    assert found.identical
    assert [one.measured_bytes for one in found.arenas] == [before, after]
    assert [one.planned_bytes for one in found.arenas] == [before, after]
    unfolded = (("conv_pre1/bn/bn/activation", 460_992),) if kernels == "optimized" else ()
    assert [one.workspaces for one in found.arenas] == [unfolded, unfolded]
