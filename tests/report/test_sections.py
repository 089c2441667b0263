from dataclasses import replace

import pytest

from microjoule.records.analysed import Sensitivities, Sensitivity
from microjoule.records.facts import BiasesCorrected, BiasShift, Calibrated, RangeFound, Skipped, WeightRanges
from microjoule.records.measured import ErrorsByLayer, Evaluated, Verified
from microjoule.report.sections import sections
from tests.report.samples import compressed, compression_sensitivity, histograms, records, scheduled

NAMES = [
    "warnings",
    "accuracy",
    "attempts",
    "front",
    "compression",
    "deployed",
    "integers",
    "layers",
    "weights",
    "biases",
    "activations",
    "histograms",
    "errors",
    "sensitivity",
    "bearing",
    "memory",
    "files",
    "history",
    "settings",
]


def by_name(history):
    return {section.name: section for section in sections(history)}


def test_the_sample_run_has_every_section():
    assert [section.name for section in sections(records())] == NAMES


def test_no_records_no_sections():
    assert sections([]) == []


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
def test_each_record_alone_makes_a_page(record):
    assert "history" in by_name([record])


@pytest.mark.parametrize(
    "record",
    [
        ErrorsByLayer(1, ()),
        Calibrated("images", "mse", 1, ()),
        BiasesCorrected("noise", (), ()),
        WeightRanges("before", {}),
        Sensitivities("", "", None, 1, (), None),
        replace(compressed(), layers=()),
        replace(compression_sensitivity(), rows=()),
    ],
    ids=lambda record: type(record).__name__,
)
def test_an_empty_record_has_no_section_of_its_own(record):
    assert list(by_name([record])) == ["history"]


def test_a_verification_without_layers_is_a_row_without_a_plot():
    section = by_name([Verified("r", "x", 1, (), None, None)])["deployed"]
    assert section.plots == ()
    assert len(section.tables[0].rows) == 1


def test_the_first_departure_is_named():
    verified = next(record for record in records() if isinstance(record, Verified))
    section = by_name([verified])["deployed"]
    assert "onnxruntime 1.31.1: no layer departs, and end to end output classes, the furthest of 2" in section.text
    assert "FP32 is the network with its quantizers off. Samples at once: 7, 8." in section.text
    assert [table.title for table in section.tables] == ["Simulated against deployed", "Outputs from end to end"]
    text = by_name([replace(verified, first_departure="blocks.2.expand.conv")])["deployed"].text
    assert "onnxruntime 1.31.1: blocks.2.expand.conv departs first" in text


def test_what_stays_in_floating_point_has_a_section():
    section = by_name(records())["integers"]
    assert section.text.startswith("97.78 % of the multiply-accumulates run in integers in onnxruntime 1.31.1.")
    assert [row[0].text for row in section.tables[0].rows] == ["up", "head"]


def test_the_worst_layer_is_named_before_and_after():
    text = by_name(records())["weights"].text
    assert "The worst is blocks.4.depthwise.conv: 51× before equalization, 2.1× after equalization." in text


def test_one_stage_of_weights_is_not_compared_with_itself():
    stage = next(record for record in records() if isinstance(record, WeightRanges))
    assert by_name([stage])["weights"].text.endswith("51× before equalization.")


def test_every_source_of_ranges_is_named():
    one, two = (RangeFound(name, 0.0, 1.0, 0.0, 1.0) for name in "ab")
    history = [Calibrated("statistics", "min_max", 0, (one,)), Calibrated("noise", "mse", 1024, (two,))]
    section = by_name(history)["activations"]
    assert section.text.endswith(
        "found by min_max from statistics (1 of 2) and by mse from noise, 1,024 samples (1 of 2)."
    )
    assert [len(bars["y"]) for bars in section.plots[0].choices[0].figure["data"]] == [2, 2]
    assert by_name(history[:1])["activations"].text.endswith("found by min_max from statistics.")


def test_layers_that_were_not_corrected_are_counted():
    shifts, skipped = (BiasShift("a", (0.1,), (0.0,)),), (Skipped("b", "unknown input"), Skipped("c", "unknown input"))
    captions = [
        by_name([BiasesCorrected("noise", shifts, left_out)])["biases"].plots[0].caption for left_out in (skipped, ())
    ]
    assert captions[0].startswith("All channels of the 1 corrected layer; 2 more were skipped. ")
    assert captions[1].startswith("All channels of the 1 corrected layer. ")


@pytest.mark.parametrize(("stages", "compared"), [(("fp32", "W8A8"), True), (("W4A8", "W8A8"), False)])
def test_stages_are_compared_with_fp32_where_it_was_scored(stages, compared):
    history = [Evaluated(stage, "top1", 70.0, "%", 10, "photos", 1.0) for stage in stages]
    assert ("against the original" in by_name(history)["accuracy"].text) is compared


def test_a_machine_is_told_once():
    lists = by_name(records())["settings"].lists
    assert [heading for heading, _ in lists] == ["Run: data_free", "Machine"]


def test_what_hurts_most_is_named_with_what_to_do():
    rows = (
        Sensitivity("a", "weight", "a", 4, None, 30.0, 0.02, 0.02),
        Sensitivity("b", "weight", "b", 4, None, 10.0, 0.31, 0.5),
        Sensitivity("b", "weight", "b", 8, None, 40.0, 0.002, 0.001),
    )
    section = by_name([Sensitivities("", "", None, 8, rows, 0.987)])["sensitivity"]
    assert "The worst: the weights of b (KL 0.310 at 4 bits, 0.002 at 8): give it 8 bits." in section.text
    assert section.text.endswith("with a rank correlation of 0.99.")


def test_the_quantizer_that_clips_most_is_named():
    section = by_name([histograms()])["histograms"]
    assert "clipped at stem_conv: 33" in section.text
    (plot,) = section.plots
    assert (plot.chosen, plot.choices[1].label) == (1, "stem_conv, activation")


def test_the_order_is_told_with_its_proof():
    section = by_name([scheduled()])["memory"]
    assert section.text.startswith("The peak falls from 7.68 kB to 5.63 kB, by 27 %. No order can do better: ")
    assert section.text.endswith("The arena has 5.63 kB, as many as its peak: none for this order has less.")
    assert [plot.name for plot in section.plots] == ["memory", "arena"]


def test_a_network_that_computes_nothing_has_no_memory_over_time():
    use = replace(scheduled().after, steps=(), peak=None)
    assert "memory" not in by_name([replace(scheduled(), before=use, after=use, limit=None)])
