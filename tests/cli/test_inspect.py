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


def test_channels_that_go_together_are_listed_with_what_must_stay(document, command):
    found = document("inspect", MODEL, "--channels")["channels"]
    first = found["groups"][0]
    assert (first["name"], first["size"]) == ("features.0.0", 16)
    assert {member["side"] for member in first["members"]} == {"out", "in", "norm"}
    assert found["fixed"] == [{"place": "classifier", "reason": "its channels reach an output of the network"}]
    code, out, _ = command("inspect", MODEL, "--channels")
    assert code == 0
    assert "Channels that go together" in out
    assert "classifier" in out.partition("Channels that must stay")[2]


def test_without_asking_no_channels_are_told(document):
    assert "channels" not in document("inspect", MODEL)
