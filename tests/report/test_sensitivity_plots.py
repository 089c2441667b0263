"""The chart of what hurts: which figures there are, and where the points stand."""

from microjoule.records.analysed import Sensitivities, Sensitivity
from microjoule.report.sensitivity_plots import sensitivity_by_layer, sensitivity_plot
from tests.report.samples import sensitivities

ROWS = (
    Sensitivity("a", "weight", "a", 4, None, 20.0, 0.5, 0.4),
    Sensitivity("a", "weight", "a", 8, None, 40.0, 0.0, 0.0),
    Sensitivity("<q>", "activation", "", 4, None, 30.0, 0.2, 0.1),
)


def test_points_stand_at_their_layer_a_trace_a_kind_and_width():
    figure = sensitivity_by_layer(ROWS, str, "KL (nats)", lambda row: row.kl, logarithmic=True)
    narrow, wide, activation = figure["data"]
    assert (narrow["name"], narrow["x"], narrow["y"]) == ("weight, 4 bits", [0], [0.5])
    assert (wide["name"], wide["y"]) == ("weight, 8 bits", [None])
    assert (activation["x"], activation["text"]) == ([1], ["&lt;q&gt;"])
    assert narrow["marker"]["color"] == wide["marker"]["color"] != activation["marker"]["color"]
    assert narrow["marker"]["symbol"] == activation["marker"]["symbol"] != wide["marker"]["symbol"]
    assert figure["layout"]["yaxis"]["type"] == "log"


def test_zero_is_a_point_on_an_even_axis():
    figure = sensitivity_by_layer(ROWS, str, "KL", lambda row: row.kl, logarithmic=False)
    assert figure["data"][1]["y"] == [0.0]
    assert "type" not in figure["layout"]["yaxis"]


def test_only_what_was_measured_is_drawn():
    assert [choice.label for choice in sensitivity_plot(sensitivities(), str).choices] == [
        *("KL to FP32", "SQNR of the output", "Top-1 accuracy", "Estimate from gradients"),
    ]
    estimated = Sensitivities("", "", None, 1, (Sensitivity("a", "weight", "a", 4, None, None, None, 0.4),), None)
    assert [choice.label for choice in sensitivity_plot(estimated, str).choices] == ["Estimate from gradients"]
    assert sensitivity_plot(Sensitivities("", "", None, 1, (), None), str) is None
