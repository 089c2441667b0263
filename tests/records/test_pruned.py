from microjoule.records.json_io import from_json, to_json
from microjoule.records.pruned import ChannelsRemoved


def test_what_was_removed_goes_through_json():
    record = ChannelsRemoved({"stem": (8, 6), "stem#2": (4, 1)}, {"stem": (12, 7)}, 1000, 700)
    assert from_json(to_json(record)) == record
