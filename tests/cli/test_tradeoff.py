"""`microjoule tradeoff`: accuracy against cost and what each layer can be without, printed and reported."""

import json
import re

import pytest

from tests.cli.test_compress import PROGRAM


@pytest.fixture
def words(tmp_path):
    """The model and its data."""
    file = tmp_path / "net.py"
    file.write_text(PROGRAM)
    return [f"{file}:net", "--data", f"{file}:data", "--report", tmp_path / "x.html"]


@pytest.mark.slow
def test_it_tells_of_layers_and_of_shares_and_reports_both(command, words, tmp_path):
    asked = ["--share", 0.8, "--share", 0.6, "--work-folder", tmp_path / "work", "--json"]
    code, out, err = command("tradeoff", *words, *asked)
    assert (code, err) == (0, "")
    front, alone = json.loads(out)["records"]
    assert {row["kind"] for row in alone["rows"]} == {"low rank", "channels"}
    assert sorted(point["budget"] for point in front["points"]) == ["0.6", "0.8"]
    assert all(point["spent"] <= float(point["budget"]) * 160 for point in front["points"])
    page = (tmp_path / "x.html").read_text()
    assert 'id="front"' in page
    assert (tmp_path / "work" / "sensitivity" / "run.json").exists()
    assert command("tradeoff", *words, *asked)[1] == out, "all is found in the folder"


def test_people_see_tables(command, words):
    code, out, err = command("tradeoff", *words, "--share", 0.75, "--cost", "bytes", "--scheme", "channel-pruning")
    assert (code, err) == (0, "")
    assert "Alone: top1, 100.00 % before, with a share left" in out
    assert "low rank" not in out
    assert re.search(r"bytes .*top1, .* % before", out)


def test_the_front_alone_is_quicker(command, words):
    _, out, _ = command("tradeoff", *words, "--share", 0.75, "--no-sensitivity", "--json")
    (front,) = json.loads(out)["records"]
    assert len(front["points"]) == 1


@pytest.mark.parametrize(("bits", "integers"), [([], {False}), (["--latency-bits", 8], {True})], ids=["32", "8"])
def test_shares_of_the_latency(command, words, clock, bits, integers):
    told = ["--cost", "latency", *bits, "--share", 0.75, "--scheme", "channel-pruning", "--no-sensitivity", "--json"]
    code, out, _ = command("tradeoff", *words, *told)
    (front,) = json.loads(out)["records"]
    assert (code, front["cost"], set(clock)) == (0, "latency", integers)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--share", 1.5], "shares: is (1.5,)"),
        (["--cost", "time"], "cost: is 'time'"),
        (["--scheme", "svd"], "--scheme: is 'svd'"),
        (["--report", "nowhere/x.html"], "make the folder first"),
    ],
    ids=["too much", "cost", "scheme", "folder"],
)
def test_what_cannot_be_is_said_and_nothing_is_written(command, words, tmp_path, asked, message):
    code, _, err = command("tradeoff", *words, *asked, "--no-sensitivity")
    assert (code, message in err) == (2, True)
    assert not (tmp_path / "x.html").exists()
