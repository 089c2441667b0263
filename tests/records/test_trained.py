from microjoule.records.json_io import from_json, to_json
from microjoule.records.trained import Trained


def test_a_run_goes_to_json_and_back():
    run = Trained("a", 7, 2, 14, (0.5, 0.25), "top1", "%", (50.0, 75.0), "sgd", 0.1, 3, True, False, 1.5)
    assert from_json(to_json(run)) == run
