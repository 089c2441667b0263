"""What is done is not done again, unless the code, the libraries or the data are others."""

import pytest

from benchmarks.figure import Figure
from benchmarks.partial_results import Partial, opened, state_of
from benchmarks.results import Timed
from microjoule.errors import FileError
from microjoule.records.measured import Evaluated

SCORE = Evaluated("fp32", "top1", 80.0, "%", 7, "photos", 1.0)
FIGURES = [
    Timed(Figure("a", 1.0, "x", "<= 2", "b", 0.5, (0.0, 2.0), {"won": [1]}), 2.0),
    Timed(Figure("c", 3.0, "x"), 0.0),
]


@pytest.fixture
def partial(tmp_path):
    return Partial(tmp_path / "work")


def refuse():
    raise AssertionError("it is done already")


def test_what_was_measured_once_is_not_measured_again(partial):
    assert partial.evaluated("net 0", lambda: SCORE) == SCORE
    assert partial.evaluated("net 0", refuse) == SCORE
    assert partial.records("net 1", lambda: [SCORE, SCORE]) == partial.records("net 1", refuse) == [SCORE, SCORE]
    assert partial.text("net 2", lambda: "kept") == partial.text("net 2", refuse) == "kept"


def test_figures_are_given_as_they_are_known_and_kept_when_the_part_is_done(partial):
    seen = []

    def measured():
        for one in FIGURES:
            seen.append(one)
            yield one

    figures = partial.timed("part", measured)
    assert next(figures) == FIGURES[0]
    assert len(seen) == 1
    assert not partial.is_done("part")
    assert list(partial.timed("part", measured)) == FIGURES
    assert partial.is_done("part")
    assert list(partial.timed("part", refuse)) == FIGURES


def test_a_part_that_is_interrupted_is_measured_again(partial):
    def broken():
        yield FIGURES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(partial.timed("part", broken))
    assert list(partial.timed("part", lambda: FIGURES)) == FIGURES


def test_without_a_folder_nothing_is_kept():
    nothing = Partial()
    assert nothing.evaluated("net", lambda: SCORE) == SCORE
    assert list(nothing.timed("part", lambda: FIGURES)) == FIGURES
    assert (nothing.is_done("part"), nothing.place("work")) == (False, None)
    nothing.finish()


def test_a_recipe_has_a_place_for_its_own_work(partial):
    place = partial.place("net 0")
    assert place.parent.is_dir()
    assert not place.exists()
    assert place == partial.place("net 0") != partial.place("net 1")


def test_all_is_gone_when_the_benchmark_is_done(partial):
    partial.text("net", lambda: "kept")
    partial.finish()
    assert not partial.folder.exists()


def test_the_work_of_another_state_is_deleted_and_of_another_benchmark_kept(tmp_path):
    for name, identity in (("auto", "aa"), ("auto", "bb"), ("auto_more", "aa")):
        opened(tmp_path, name, identity).text("net", lambda: "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auto-bb", "auto_more-aa"]
    assert opened(tmp_path, "auto", "bb").text("net", refuse) == "kept"


@pytest.fixture
def project(tmp_path):
    for place in ("src/net.py", "benchmarks/speed.py", "data/images.zip", "docs/page.md"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("x = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "counts"),
    [("src/net.py", True), ("benchmarks/new.py", True), ("data/more.zip", True), ("docs/page.md", False)],
)
def test_code_and_data_make_the_state(project, place, counts):
    before = state_of(project / "data", project)
    assert state_of(project / "data", project) == before
    (project / place).write_text("x = 2\n")
    assert (state_of(project / "data", project) != before) is counts


def test_a_folder_without_code_has_no_state(tmp_path):
    with pytest.raises(FileError, match="holds no files"):
        state_of(tmp_path, tmp_path)
