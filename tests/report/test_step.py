from microjoule.report.step import Step


def test_a_step_needs_no_details():
    assert (Step("Did", "this").details, Step("Did", "this").skipped) == ((), ())
