"""`microjoule inspect`: layers and costs of a model, and what to look out for."""

from tests.cli.conftest import MODEL


def test_it_lists_the_layers_and_what_they_cost(document):
    found = document("inspect", MODEL)
    (costs,) = [record for record in found["records"] if record["record"] == "Costs"]
    assert costs["parameters"] == sum(layer["parameters"] for layer in costs["layers"]) > 40_000
    assert costs["macs"] == sum(layer["macs"] for layer in costs["layers"]) > 0


def test_people_get_a_table(command):
    code, out, _ = command("inspect", MODEL)
    assert code == 0
    assert "conv" in out


def test_a_fixed_batch_is_told_with_what_to_do(document, program):
    (warning,) = document("inspect", program)["warnings"]
    assert warning.startswith("its batch is fixed to that of the example inputs; torch.export.export(")
