from dataclasses import replace

from microjoule.records.compressed import Factorized, LayerFactorized
from microjoule.records.pruned import ChannelsRemoved
from microjoule.records.skipped import Skipped
from microjoule.report import units
from microjoule.report.compression import compressed_table, factorized, sensitivity_table
from microjoule.report.history import history
from tests.report import samples

LAYERS = (
    LayerFactorized("conv", "tucker", (3, 4), (16, 32), 2000, 1000, 0.125),
    LayerFactorized("head", "output", (2,), (10,), 500, 200, 0.25),
)


def test_factors_are_told_with_ranks_products_and_errors():
    step = factorized(Factorized("photos", 64, LAYERS, (Skipped("deep", "it is grouped"),)))
    assert step.title == "Replaced layers by low-rank factors"
    assert step.summary == "2 layers, MACs from 2.50 k to 1.20 k, on 64 samples of photos"
    assert step.details == (
        ("conv", "tucker, rank 3 and 4 of 16 and 32: error of its output 12.50 %"),
        ("head", "output, rank 2 of 10: error of its output 25.00 %"),
    )
    assert step.skipped == (Skipped("deep", "it is grouped"),)


def test_without_data_it_is_the_weights_error():
    step = factorized(Factorized(None, 0, LAYERS[1:], ()))
    assert step.summary == "1 layer, MACs from 500 to 200"
    assert step.details == (("head", "output, rank 2 of 10: error of its weight 25.00 %"),)


def test_nothing_done_is_told():
    assert factorized(Factorized(None, 0, (), ())).summary == "0 layers"


def test_removed_channels_are_told_layer_by_layer():
    (step,) = history([ChannelsRemoved({"a": (8, 6), "c": (4, 1)}, {"a": (8, 6), "b": (8, 6)}, 1000, 750)])
    assert step.title == "Removed channels"
    assert step.summary == "5 units of 2 groups: 25.00 % fewer parameters, 750 are left"
    assert step.details == (("a", "6 of 8 channels"), ("b", "6 of 8 channels"))


def test_nothing_removed_is_told_as_that():
    (step,) = history([ChannelsRemoved({}, {}, 0, 0)])
    assert step.summary == "0 units of 0 groups: 0 % fewer parameters, 0 are left"


def test_a_model_of_the_latency_is_told_with_its_error_and_parts():
    (step,) = history([samples.latency_modelled()])
    assert step.title == "Modelled the latency"
    assert step.summary == (
        "2.00 ms by ONNX Runtime, one thread; modelled from 24 networks of other shapes, off by 8.00 % for one that it "
        "has not seen"
    )
    assert step.details == (
        ("beside layers", "200 µs"),
        ("kernel products", "25.0 ps each"),
        ("layers", "12.5 µs each"),
    )


def test_compression_is_told_with_its_ways_and_layers():
    (step,) = history([samples.compressed()])
    assert step.title == "Compressed"
    assert step.summary == (
        "50.00 % of the MACs left; Top-1 accuracy from 79.69 % to 75.69 %, on samples that nothing was chosen by: "
        "−4.00 ± 1.10 points, 12 won, 38 lost of 650: worse"
    )
    assert step.details == (
        (
            "channels to 100 %",
            "Top-1 accuracy 74.50 % on the 120 samples to choose by; foreseen loss 0.250, greedy 0.300",
        ),
        (
            "channels to 70.00 %, taken",
            "Top-1 accuracy 76.25 % on the 120 samples to choose by; foreseen loss 0.125, greedy 0.150",
        ),
        ("stem.conv", "24 of 32 channels made: 75.00 % of its cost"),
        ("block.0", "24 of 32 channels read, spatial, rank 12: 25.00 % of its cost"),
        ("head", "output, rank 40: 62.50 % of its cost"),
    )


def test_without_samples_to_confirm_on_the_score_that_was_chosen_by_is_told():
    (step,) = history([replace(samples.compressed(), confirmed=None)])
    assert step.summary == "50.00 % of the MACs left; Top-1 accuracy from 79.69 % to 75.69 %"
    assert step.details[0][1] == "Top-1 accuracy 74.50 %; foreseen loss 0.250, greedy 0.300"


def test_what_can_be_made_smaller_is_told_by_each_ones_smallest_share():
    record = samples.compression_sensitivity()
    (step,) = history([record])
    assert step.title == "Looked for what can be made smaller"
    assert (
        step.summary
        == "2 layers and 1 channel group, 5 ways to make one smaller; Top-1 accuracy 79.69 % on 650 samples"
    )
    assert step.details == (
        ("rank correlation of what was foreseen and measured", "0.975"),
        ("stem.conv, low rank", "30.00 % left: foreseen loss 0.500, Top-1 accuracy 60.00 %"),
        ("head, low rank", "25.00 % left: foreseen loss 0.0625, Top-1 accuracy 78.50 %"),
        ("block.0, channels", "50.00 % left: foreseen loss 0.250, Top-1 accuracy 70.00 %"),
    )
    rows = tuple(replace(row, value=None) for row in record.rows[:1])
    (step,) = history([replace(record, metric="", unit="", value=None, samples=0, rows=rows, rank_correlation=None)])
    assert step.summary == "1 layer and 0 channel groups, 1 way to make one smaller; nothing measured"
    assert step.details == (("stem.conv, low rank", "30.00 % left: foreseen loss 0.500"),)


def test_each_layer_that_changed_is_a_row():
    table = compressed_table(samples.compressed())
    assert [column.title for column in table.columns][-3:] == ["MACs before", "after", "left"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["stem.conv", "3", "32 → 24", "–", "2.00 M", "1.50 M", "75.00 %"],
        ["block.0", "32 → 24", "64", "spatial 12", "4.00 M", "1.00 M", "25.00 %"],
        ["head", "64", "1000", "output 40", "4.00 M", "2.50 M", "62.50 %"],
    ]


def test_each_layer_alone_has_a_column_for_about_each_tenth_left():
    record = samples.compression_sensitivity()
    found = sensitivity_table(record)
    assert [column.title for column in found.columns[2:]] == ["0.2", "0.3", "0.5", "0.6", "0.8"]
    none = units.NONE
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["stem.conv", "low rank", none, "60.00 ± 1.25 %", none, "75.00 %", none],
        ["head", "low rank", "78.50 %", none, none, none, none],
        ["block.0", "channels", none, none, "70.00 %", none, "79.00 %"],
    ]


def test_where_two_are_near_a_tenth_the_nearer_one_is_told():
    record = samples.compression_sensitivity()
    first, *rest = record.rows
    near = replace(first, kept=0.27, value=59.0)
    for rows in ((first, near, *rest), (near, first, *rest)):
        found = sensitivity_table(replace(record, rows=rows))
        assert found.rows[0][3].text == "60.00 ± 1.25 %"


def test_where_nothing_was_measured_the_foreseen_loss_is_told():
    record = samples.compression_sensitivity()
    rows = tuple(replace(row, value=None) for row in record.rows)
    found = sensitivity_table(replace(record, value=None, rows=rows, rank_correlation=None))
    assert found.title == "Alone: foreseen loss with a share left"
    assert found.rows[1][2].text == "0.0625"
