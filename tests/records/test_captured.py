from microjoule.records.facts import Captured


def test_what_a_capture_need_not_say_is_empty():
    record = Captured("Net", {"linear": 1}, (), (), 0.0, True, 0.1)
    assert (record.replaced, record.batches_compared, record.batch_fixed, record.converted_from) == ((), (), "", ())
    assert (record.folded, record.unfolded, record.moved) == ((), (), {})
