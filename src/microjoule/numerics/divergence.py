"""How far a classifier's answers are from another's, whether its outputs are logits or probabilities.

Source: Kullback and Leibler 1951, On Information and Sufficiency.
"""

from torch import Tensor

from microjoule.numerics.error import kl_divergence

LEAST_PROBABILITY = 2.0**-24
"""Stands for smaller probabilities, so that a class which a grid rounds to 0 costs much, and not everything."""

SUM_TOLERANCE = 1e-3
"""Outputs that are not negative and whose sums are this near to 1 are probabilities already."""


def are_class_scores(outputs: Tensor) -> bool:
    """Whether outputs have the shape of scores of classes: (n, classes), two classes or more.

    Args:
        outputs: any shape.
    """
    return outputs.is_floating_point() and outputs.dim() == 2 and outputs.shape[1] > 1


def are_probabilities(scores: Tensor) -> bool:
    """Whether every row is a distribution: nothing negative, and a sum of 1.

    Args:
        scores: (n, classes).
    """
    sums = scores.detach().double().sum(1)
    return bool((scores >= 0).all()) and bool(((sums - 1).abs() < SUM_TOLERANCE).all())


def log_probabilities(scores: Tensor, *, normalized: bool) -> Tensor:
    """The logarithms of the classes' probabilities, (n, classes).

    Args:
        scores: (n, classes), logits; or probabilities, of which none counts as smaller than 2^-24.
        normalized: whether they are probabilities.
    """
    return scores.clamp(min=LEAST_PROBABILITY).log() if normalized else scores.log_softmax(1)


def class_divergence(exact: Tensor, value: Tensor) -> Tensor:
    """KL(p || q) of each sample, with p from the exact scores and q from the others; (n,), in nats.

    Args:
        exact: (n, classes), logits or probabilities.
        value: the shape of `exact`, of the same kind.
    """
    normalized = are_probabilities(exact)
    p, q = (log_probabilities(scores.double(), normalized=normalized).exp() for scores in (exact, value))
    return kl_divergence(p, q)
