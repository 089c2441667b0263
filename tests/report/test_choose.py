import pytest

from microjoule.records.facts import Calibrated, Placed, RangeFound
from microjoule.records.measured import Costs, Evaluated, Exported, Measured
from microjoule.report.choose import before_and_after, calibrations, every, is_float, last, result_stage, stage_of
from tests.report.samples import MACHINE, records


def evaluated(stage):
    return Evaluated(stage, "top-1", 70.0, "%", 10, "photos", 1.0)


def measured(path, stage=""):
    return Measured(path, "onnxruntime", 1, 1, 10, 1.0, 1.0, 1.0, 10, 10, MACHINE, stage)


def exported(stage):
    return Exported("x.onnx", "ONNX", 10, {}, (), stage)


def test_records_of_a_kind_keep_their_order():
    history = [evaluated("fp32"), measured("a"), evaluated("int8")]
    assert [record.stage for record in every(history, Evaluated)] == ["fp32", "int8"]
    assert last(history, Evaluated).stage == "int8"
    assert last(history, Costs) is None


def calibrated(source, **highs):
    return Calibrated(
        source, "min_max", 0, tuple(RangeFound(name, 0.0, high, 0.0, high) for name, high in highs.items())
    )


def test_ranges_are_those_of_the_last_placement_and_the_later_one_of_a_name_counts():
    history = [calibrated("old", a=9.0), Placed("t", (), ()), calibrated("statistics", a=1.0, b=2.0)]
    history += [calibrated("noise", b=3.0, c=4.0)]
    found = [(record.source, [(one.name, one.high) for one in record.ranges]) for record in calibrations(history)]
    assert found == [("statistics", [("a", 1.0)]), ("noise", [("b", 3.0), ("c", 4.0)])]
    assert calibrations([*history, calibrated("images", a=5.0, b=5.0, c=5.0)])[0].source == "images"


@pytest.mark.parametrize(
    ("path", "stage", "found"),
    [
        ("net.FP32.onnx", "", "fp32"),
        ("fp32/int8.onnx", "", ""),
        ("fp32.onnx", "W8A8", "W8A8"),
        ("float.onnx", "", "fp32"),
    ],
)
def test_a_file_without_a_stage_is_named_by_its_own_name(path, stage, found):
    assert stage_of(measured(path, stage)) == found


def test_float_has_several_names():
    assert [is_float(stage) for stage in ("fp32", " FP32 ", "float", "fp32 folded", "")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_headline_is_about_the_exported_stage():
    history = [evaluated("fp32"), evaluated("W8A8"), exported("W8A8"), evaluated("W4A8")]
    assert result_stage(history) == "W8A8"
    assert before_and_after(history, Evaluated)[1].stage == "W8A8"


def test_without_an_exported_stage_it_is_the_latest_one():
    assert result_stage([evaluated("fp32"), evaluated("W8A8"), evaluated("W4A8"), exported("")]) == "W4A8"
    assert result_stage([evaluated("fp32")]) is None
    assert result_stage([]) is None


def test_before_and_after_may_each_be_missing():
    assert before_and_after([], Measured) == (None, None)
    assert before_and_after([measured("fp32.onnx")], Measured) == (measured("fp32.onnx"), None)
    assert before_and_after([measured("x.onnx")], Measured) == (None, measured("x.onnx"))


def test_the_sample_run_is_compared_with_fp32():
    before, after = before_and_after(records(), Costs)
    assert (before.stage, after.stage) == ("fp32", "data-free W8A8")
