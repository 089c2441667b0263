from microjoule.records.noticed import Noticed


def test_it_reads_as_an_error_does():
    noticed = Noticed("input range", "x", "is taken from the example", "give input_range=(low, high)")
    assert str(noticed) == "x: is taken from the example\n  give input_range=(low, high)"
    assert noticed.serious
