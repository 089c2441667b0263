from microjoule.records.facts import Skipped
from microjoule.report.step import Step


def test_a_step_needs_no_more_than_a_title_and_an_outcome():
    assert Step("Did", "it") == Step("Did", "it", (), ())
    assert Step("Did", "it", (("name", "value"),), (Skipped("there", "why"),)).skipped[0].reason == "why"
