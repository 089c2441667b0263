from microjoule.records.facts import Placed
from microjoule.records.measured import Costs, ErrorsByLayer, LayerError
from microjoule.report.layers import Names, layers
from tests.report.samples import costs, records


def column(table, title):
    index = [head.title for head in table.columns].index(title)
    return [row[index] for row in table.rows]


def test_every_layer_of_the_sample_run_is_there_with_all_that_is_known():
    table = layers(records())
    assert [head.title for head in table.columns] == [
        "layer", "kind", "output", "parameters", "weights", "MACs", "energy", "bits", "SQNR", "deployed",
    ]  # fmt: skip
    assert len(table.rows) == 20
    assert all(cell.value is not None for row in table.rows for cell in row)
    assert [cell.text for cell in table.rows[0]][:4] == ["stem.conv", "conv", "32 × 112 × 112", "1,920"]
    assert {cell.text for cell in column(table, "bits")} == {"8 / 8"}


def test_a_column_that_nobody_knows_is_left_out():
    table = layers([costs("fp32", 32)])
    assert [head.title for head in table.columns][-1] == "energy"


def test_there_is_no_table_without_costs():
    assert layers([]) is None
    assert layers([Costs("fp32", (), 0, 0, 0, 0, 0, 0, 0.0, "x")]) is None


def test_an_error_finds_its_layer_through_dots_and_the_quantizers_prefix():
    errors = ErrorsByLayer(1, (LayerError("quantizers.blocks_1_expand_conv", 12.0), LayerError("elsewhere", 1.0)))
    found = column(layers([costs("fp32", 32), errors]), "SQNR")
    assert [cell.text for cell in found[:3]] == ["–", "12.0", "–"]


def test_a_placement_says_which_layer_makes_a_value():
    placement = next(record for record in records() if isinstance(record, Placed))
    names = Names.of([placement])
    assert names.layer("quantizers.stem_conv") == "stem.conv"
    assert names.layer("stem.conv.parametrizations.weight.0") == "stem.conv"
    assert names.shown("quantizers.add_1") == "add_1"
