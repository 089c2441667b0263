from microjoule.records.measured import Evaluated


def test_records_with_the_same_values_are_equal():
    first, second = (Evaluated("fp32", "top-1", 1.0, "%", 1, "photos", 2.0) for _ in range(2))
    assert first == second
    assert first.higher_is_better
