import json
import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microjoule.errors import FileError
from microjoule.records.facts import BiasesCorrected, BiasShift, Record, Skipped
from microjoule.records.json_io import from_json, records_from_json, to_json
from microjoule.records.measured import Costs, Evaluated, Verified

KINDS = get_args(Record)
EVALUATED = Evaluated("fp32", "top-1", 79.5, "%", 650, "photos", 1.5)


def values_of(hint):
    """A strategy for a field's type: all that facts.py uses, and nothing else."""
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return records_of(hint)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values_of(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, args))
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), values_of(args[1]), max_size=2)
    if origin is UnionType:
        return st.one_of(*map(values_of, args))
    return {
        int: st.integers(-(2**64) + 1, 2**64 - 1),
        float: st.floats(),
        str: st.text(max_size=8),
        bool: st.booleans(),
        type(None): st.none(),
    }[hint]


def records_of(kind):
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values_of(hints[field.name]) for field in fields(kind)})


def same(first, second):
    """Equality in which NaN equals NaN, as repr has it, for records that hold plain values alone."""
    return repr(first) == repr(second)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_every_record_comes_back_as_it_was(kind, data):
    record = data.draw(records_of(kind))
    text = to_json(record)
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert same(from_json(text), record)


def test_a_list_of_records_comes_back_in_order():
    records = [EVALUATED, Evaluated("int8", "top-1", 79.0, "%", 650, "photos", 2.0)]
    assert from_json(to_json(records)) == records
    assert from_json(to_json([])) == []


def test_one_record_can_be_read_as_a_list():
    assert records_from_json(to_json(EVALUATED)) == [EVALUATED]


def test_the_text_by_hand():
    record = BiasesCorrected("noise", (BiasShift("a", (math.inf,), (-0.5,)),), (Skipped("b", "no bias"),))
    assert json.loads(to_json(record)) == {
        "record": "BiasesCorrected",
        "source": "noise",
        "shifts": [{"layer": "a", "before": ["inf"], "after": [-0.5]}],
        "skipped": [{"place": "b", "reason": "no bias"}],
        "measured_on": "",
    }


def test_a_whole_number_is_a_float_where_a_float_belongs():
    read = from_json(to_json(EVALUATED).replace("79.5", "79"))
    assert isinstance(read.value, float)


def test_a_field_with_a_default_may_be_missing_as_in_older_files():
    content = json.loads(to_json(EVALUATED))
    del content["higher_is_better"]
    assert from_json(json.dumps(content)) == EVALUATED


def changed(**changes):
    return json.dumps({**json.loads(to_json(EVALUATED)), **changes})


def without(name):
    return json.dumps({key: value for key, value in json.loads(to_json(EVALUATED)).items() if key != name})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is nested more than 64 deep"),
        ("NaN", "NaN is not a JSON value"),
        ('{"record": "Evaluated", "record": "Costs"}', "names the same field twice"),
        ("3", 'the top must be an object with a field "record"'),
        ("[1]", r'\[0\] must be an object with a field "record"'),
        ('{"stage": "fp32"}', 'the top must be an object with a field "record"'),
        ('{"record": "Machine"}', "unknown record 'Machine'"),
        ('{"record": ["Costs"]}', "unknown record"),
        (changed(colour="red"), "Evaluated has an unknown field 'colour'"),
        (without("samples"), "Evaluated lacks the field 'samples'"),
        (changed(samples=6.5), r"Evaluated.samples must be int, got 6.5"),
        (changed(samples=True), "Evaluated.samples must be int, got True"),
        (changed(value="high"), "Evaluated.value must be a number, got 'high'"),
        (changed(value=True), "Evaluated.value must be a number, got True"),
        (changed(value=10**400), "a whole number has more than 64 bits"),
        (changed(stage=None), "Evaluated.stage must be str, got None"),
        (changed(higher_is_better=1), "Evaluated.higher_is_better must be bool, got 1"),
    ],
)
def test_what_is_no_record_is_refused_by_name(text, message):
    with pytest.raises(FileError, match=message):
        from_json(text, source="history.json")


def test_the_place_of_a_wrong_value_deep_inside_is_named():
    costs = Costs("fp32", (), 1, 2, 3, 4, 5, 6, 7.0, "45nm")
    broken = to_json(costs).replace('"layers": []', '"layers": [{"layer": "a"}]')
    with pytest.raises(FileError, match=r"Costs\.layers\[0\] lacks the field 'kind'"):
        from_json(broken)
    with pytest.raises(FileError, match=r"\[0\]Costs\.layers must be a list, got 3"):
        from_json("[" + to_json(costs).replace('"layers": []', '"layers": 3') + "]")


def test_an_optional_field_takes_null_and_its_type_only():
    verified = Verified("onnxruntime", "x.onnx", 1, (), None, None)
    assert from_json(to_json(verified)) == verified
    with pytest.raises(FileError, match=r"Verified\.first_departure must be str, got 3"):
        from_json(to_json(verified).replace('"first_departure": null', '"first_departure": 3'))


def test_a_pair_holds_two_values():
    text = '{"record": "BatchNormsFolded", "folded": [["a"]], "skipped": []}'
    with pytest.raises(FileError, match=r"BatchNormsFolded\.folded\[0\] must hold 2 values, got 1"):
        from_json(text)


def test_a_mapping_must_be_an_object():
    text = '{"record": "HighBiasesAbsorbed", "layers": [], "skipped": []}'
    with pytest.raises(FileError, match=r"HighBiasesAbsorbed\.layers must be an object, got \[\]"):
        from_json(text)


def test_a_long_wrong_value_is_cut_short_in_the_message():
    with pytest.raises(FileError, match=r"got .x+[.]{3}") as caught:
        from_json(changed(value="x" * 1000))
    assert len(caught.value.fact) < 150
