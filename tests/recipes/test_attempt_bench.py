"""The bench: attempts made and scored once, and done again where their files are damaged or another attempt's.

tests/recipes/test_reach.py holds what it does in a search.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError
from microjoule.execution.batches import batches
from microjoule.jobs.run_folder import RunFolder
from microjoule.recipes.attempt_bench import FLOAT, Bench
from microjoule.recipes.attempts import ATTEMPTS, Attempt, Settings

X, Y = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
NETWORK = mj.capture(nn.Sequential(nn.Linear(4, 3)), X[:2])
SETTINGS = Settings(mj.target("per-tensor"), 4, 8, {}, (0.0, 1.0), 10, 0)
MADE = []


def make(network, inputs, settings, folder):
    MADE.append(settings.weights)
    return mj.recipes.naive(network, inputs, **settings.placement)


def bench(**changes):
    data = batches((X, Y)), batches((X.flip(0), Y.flip(0))), batches(X)
    given = Bench(NETWORK, *data, mj.zoo.metric("top1"), "bytes", SETTINGS, ATTEMPTS)
    return replace(given, **changes)


def test_an_attempt_is_noted_with_its_score_its_cost_and_its_widths(tmp_path):
    one = bench()
    with RunFolder(tmp_path / "run", one.identity) as kept:
        note, scored = one.floating(kept)
        tried = one.tried(ATTEMPTS[0], scored, kept)
        assert (note.value, note.drop, note.cost) == (scored.value, 0.0, 4 * 15)
        assert (tried.weights, tried.activations, tried.drop) == ((4,), (8,), scored.value - tried.value)
        assert tried.cost < note.cost
        assert [type(record).__name__ for record in one.found(FLOAT, kept)] == ["Evaluated", "Costs"]
        assert one.network_of("naive", kept).layer("0").quantizer.integers is not None


@pytest.mark.parametrize("ending", [".mj", ".safetensors"])
def test_damaged_files_of_an_attempt_are_made_again(tmp_path, ending):
    one, MADE[:] = bench(attempts=(Attempt("mine", make),)), []
    with RunFolder(tmp_path, one.identity) as kept:
        _, scored = one.floating(kept)
        first = one.tried(one.attempts[0], scored, kept)
        assert one.tried(one.attempts[0], scored, kept) == first
        assert MADE == [4]
        (path,) = (path for path in tmp_path.glob(f"mine*{ending}") if "scored" not in path.name)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=r"mine.* is damaged \(.*mine \w+ is done again"):
            again = one.network_of("mine", kept)
        assert MADE == [4, 4]
        assert torch.equal(again(X), one.network_of("mine", kept)(X))
        assert MADE == [4, 4]


def test_scores_that_are_none_are_found_again(tmp_path):
    one = bench(attempts=(Attempt("mine", make),))
    with RunFolder(tmp_path, one.identity) as kept:
        _, scored = one.floating(kept)
        kept.write("fp32 scored", text="[]")
        with pytest.warns(UserWarning, match=r"is damaged \(it holds no scores\); fp32 scored is done again"):
            assert one.floating(kept)[1].value == scored.value


def other(network, inputs, settings, folder):
    return mj.recipes.naive(network, inputs, **{**settings.placement, "weights": 8})


def test_another_attempt_of_the_same_name_is_another_one(tmp_path):
    one, two = (bench(attempts=(Attempt("mine", one),)) for one in (make, other))
    with RunFolder(tmp_path, one.identity) as kept:
        _, scored = one.floating(kept)
        assert one.tried(one.attempts[0], scored, kept).weights == (4,)
        assert two.tried(two.attempts[0], scored, kept).weights == (8,)
        assert one.tried(one.attempts[0], scored, kept).weights == (4,)


class Stricter(type(mj.zoo.metric("top1"))):
    def compute(self):
        return super().compute() / 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"source": batches((X, Y.roll(1)), batch_size=2)}, "labels of labelled data"),
        ({"source": batches((X, torch.cat([Y[:7], 1 - Y[7:]])))}, r"labels of labelled data \(batch 1 of 1\)"),
        ({"source": batches((X + 1e-6, Y))}, r"labelled data \(batch 1 of 1\)"),
        ({"inputs": batches(X.flip(0))}, "calibration"),
        ({"confirm": batches((X, Y))}, "data to confirm on"),
        ({"metric": Stricter()}, "metric"),
        ({"cost": "bops"}, r"cost \('bops' here, 'bytes' in the folder\)"),
        ({"settings": replace(SETTINGS, seed=1)}, r"seed \(1 here, 0 in the folder\)"),
        ({"settings": replace(SETTINGS, target=replace(SETTINGS.target, accumulator_bits=16))}, "target"),
        ({"network": mj.capture(nn.Sequential(nn.Linear(4, 3)), X[:2])}, "the network: 0.weight"),
    ],
)
def test_all_that_scores_depend_on_is_what_a_folder_belongs_to(tmp_path, changes, told):
    with RunFolder(tmp_path, bench().identity):
        pass
    with (
        pytest.raises(FileError, match=f"another run, which differs in .*{told}"),
        RunFolder(tmp_path, bench(**changes).identity),
    ):
        pytest.fail("opened")


def test_attempts_are_no_part_of_whose_the_folder_is(tmp_path):
    for attempts in (ATTEMPTS, ATTEMPTS[:1]):
        with RunFolder(tmp_path, bench(attempts=attempts).identity):
            pass
