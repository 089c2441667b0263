from microjoule.report.step import Step


def test_a_step_needs_no_more_than_its_title_and_outcome():
    assert Step("Folded", "2 batch norms") == Step("Folded", "2 batch norms", (), ())
