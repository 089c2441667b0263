import pytest
import safetensors.torch
import torch

from microjoule.graph.file.tensors import TensorReader, TensorWriter


def test_a_shared_tensor_is_stored_once_and_shared_again():
    writer, shared = TensorWriter(), torch.nn.Parameter(torch.arange(3.0))
    assert [writer.store("a", shared), writer.store("b", shared), writer.store("c", torch.ones(2))] == ["a", "a", "c"]
    stored = safetensors.torch.load(writer.content())
    assert set(stored) == {"a", "c"}
    reader = TensorReader(stored)
    assert reader.parameter("a", requires_grad=True) is reader.parameter("a", requires_grad=True)
    assert reader.size_bytes == 3 * 4 + 2 * 4
    assert reader.shape("c") == (2,)


def test_views_are_stored_as_they_are_seen():
    writer = TensorWriter()
    writer.store("a", torch.arange(6).reshape(2, 3).T)
    assert safetensors.torch.load(writer.content())["a"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_what_is_no_tensor_of_the_file_is_refused():
    reader = TensorReader({"a": torch.ones(2), "i": torch.ones(2, dtype=torch.int64)})
    for ask in (reader.tensor, reader.shape, lambda key: reader.parameter(key, requires_grad=False)):
        with pytest.raises(KeyError):
            ask("b")
        with pytest.raises(ValueError, match="is no name"):
            ask(["a"])
    with pytest.raises(ValueError, match=r"'i' of torch.int64 is no parameter"):
        reader.parameter("i", requires_grad=True)
    with pytest.raises(ValueError, match=r"'a' of torch.float32 is no parameter"):
        reader.parameter("a", requires_grad=1)


def test_a_parameter_is_nothing_else():
    reader = TensorReader({"a": torch.ones(2)})
    reader.parameter("a", requires_grad=False)
    with pytest.raises(ValueError, match="'a' is a parameter, and something else"):
        reader.tensor("a")
