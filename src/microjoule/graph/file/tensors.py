"""The tensors of a saved network by their keys; one that several owners share is stored once, and shared again."""

from collections.abc import Mapping
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from microjoule.graph.file.names import text


class TensorWriter:
    """Tensors to be stored by key; a shared one is stored under its first key."""

    def __init__(self) -> None:
        self._by_key: dict[str, Tensor] = {}
        self._keys: dict[int, str] = {}

    def store(self, key: str, tensor: Tensor) -> str:
        """The key under which a tensor is stored.

        Args:
            key: what to call it if it is new.
            tensor: any shape.
        """
        key = self._keys.setdefault(id(tensor), key)
        self._by_key[key] = tensor
        return key

    def content(self) -> bytes:
        """All of them in the format of safetensors."""
        copies = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in self._by_key.items()}
        return safetensors.torch.save(copies)


class TensorReader:
    """Tensors that a file stores, by key.

    Args:
        tensors: all of them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._parameters: dict[str, nn.Parameter] = {}

    @property
    def size_bytes(self) -> int:
        """What all of them take."""
        return sum(tensor.nbytes for tensor in self._tensors.values())

    def tensor(self, key: Any) -> Tensor:
        """A tensor that is no parameter.

        Raises:
            LookupError: if there is none of that key.
            ValueError: if it is a parameter elsewhere.
        """
        stored = self._tensors[text(key)]
        if key in self._parameters:
            raise ValueError(f"the tensor {key!r} is a parameter, and something else")
        return stored

    def parameter(self, key: Any, *, requires_grad: Any) -> nn.Parameter:
        """A parameter, the same one for everyone who names it.

        Raises:
            LookupError: if there is none of that key.
            ValueError: if it cannot be learned, but should.
        """
        stored = self._tensors[text(key)]
        if not isinstance(requires_grad, bool) or (requires_grad and not stored.is_floating_point()):
            raise ValueError(f"the tensor {key!r} of {stored.dtype} is no parameter")
        if key not in self._parameters:
            self._parameters[key] = nn.Parameter(stored, requires_grad=requires_grad)
        return self._parameters[key]

    def shape(self, key: Any) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            LookupError: if there is none of that key.
        """
        return tuple(self._tensors[text(key)].shape)
