import pickle

import pytest

from microjoule import errors
from microjoule.errors import MicrojouleError, SettingError

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
KINDS = [kind for kind in CLASSES if not issubclass(kind, Warning)]
WARNINGS = [kind for kind in CLASSES if issubclass(kind, Warning)]


def test_an_error_gives_place_fact_and_remedy():
    error = MicrojouleError("weights", "is 0 bits", remedy="give at least 1")
    assert str(error) == "weights: is 0 bits\n  give at least 1"
    assert (error.place, error.fact, error.remedy) == ("weights", "is 0 bits", "give at least 1")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_one_of_ours_and_is_documented(kind):
    assert issubclass(kind, MicrojouleError)
    assert kind.__doc__
    with pytest.raises(MicrojouleError, match="a: b"):
        raise kind("a", "b", remedy="c")


def test_the_family_is_the_written_one():
    assert {kind.__name__ for kind in KINDS} == {
        *("MicrojouleError", "SettingError", "FileError", "DataError"),
        *("CaptureError", "GraphError", "ExportError", "TargetError"),
    }


def test_a_bad_setting_is_a_value_error():
    assert issubclass(SettingError, ValueError)
    assert [kind for kind in KINDS if issubclass(kind, ValueError)] == [SettingError]


def test_an_error_must_have_a_remedy():
    with pytest.raises(TypeError, match="remedy"):
        MicrojouleError("place", "fact")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_reaches_another_process_whole(kind):
    again = pickle.loads(pickle.dumps(kind("a", "b", remedy="c")))
    assert type(again) is kind
    assert (str(again), again.remedy) == ("a: b\n  c", "c")


@pytest.mark.parametrize("kind", WARNINGS)
def test_every_warning_is_one_of_ours_and_is_documented(kind):
    assert issubclass(kind, errors.MicrojouleWarning)
    assert kind.__doc__


def test_the_warnings_are_the_written_ones():
    assert {kind.__name__ for kind in WARNINGS} == {"MicrojouleWarning", "InputRangeWarning", "DataWarning"}
