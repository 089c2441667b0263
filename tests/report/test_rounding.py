from microjoule.records.rounded import Frozen
from microjoule.report.history import history


def test_scales_that_serve_biases_and_sums_that_may_not_fit_are_told():
    (step,) = history([Frozen({"stem": 1}, {"head": 3}, 32, {"head": 35})])
    assert step.summary == "sums of 32 bits"
    assert step.details == (
        ("stem", "1 scale larger, as the bias would need more than 32 bits"),
        ("head", "3 scales chosen for the bias alone, as all their weights are 0"),
    )
    (skipped,) = step.skipped
    assert skipped.place == "head"
    assert skipped.reason == "its largest possible sum needs 35 bits, and the target has 32"
