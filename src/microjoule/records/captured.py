"""How a model became a network, as a plain value."""

from dataclasses import dataclass, field

from microjoule.records.skipped import Skipped


@dataclass(frozen=True, slots=True)
class Captured:
    """How a model became a network.

    Args:
        largest_difference: between the network's outputs and the model's, relative to the largest of these.
        replaced: where they differ, the model's operators that the network computes by others.
        batches_compared: numbers of samples at which network and model were compared.
        batch_fixed: why the batch is fixed to that of the example; empty if it is free.
        converted_from: the model's types of numbers other than float32, in which the network computes.
        folded: stored tensors of the model of which only constants are left.
        unfolded: constants that are computed each time, with the reason.
        moved: tensors that are now a layer's own: their keys in the model -> in the network.
    """

    source: str
    operators: dict[str, int]
    functional_layers: tuple[Skipped, ...]
    unknown_operators: tuple[str, ...]
    largest_difference: float
    dynamic_batch: bool
    seconds: float
    replaced: tuple[str, ...] = ()
    batches_compared: tuple[int, ...] = ()
    batch_fixed: str = ""
    converted_from: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    unfolded: tuple[Skipped, ...] = ()
    moved: dict[str, str] = field(default_factory=dict)
