"""What was learned in training, in words."""

from microjoule.records.learned import BayesianPruned
from microjoule.records.trained import Trained
from microjoule.report import units
from microjoule.report.step import Step
from microjoule.report.units import many


def trained(record: Trained) -> Step:
    """A run of training: what came out, then each epoch."""
    helped = " with a teacher" if record.teacher else ""
    summary = f"{many(record.epochs, 'epoch')} of {many(record.samples, 'sample')}: {record.data}{helped}, "
    summary += f"loss from {units.digits(record.losses[0])} to {units.digits(record.losses[-1])}"
    if record.values:
        summary += f", {record.metric} {units.score(record.values[-1], record.unit)}"
    details = [
        ("optimizer", f"{record.optimizer}, learning rate {units.digits(record.learning_rate)} at its peak"),
        ("steps", f"{record.steps:,}"),
        ("weights", "their moving average" if record.averaged else "those of the last step"),
        ("seed", str(record.seed)),
        ("time", units.duration(record.seconds)),
    ]
    for number, loss in enumerate(record.losses):
        scored = f", {record.metric} {units.score(record.values[number], record.unit)}" if record.values else ""
        details.append((f"epoch {number + 1}", f"loss {units.digits(loss)}{scored}"))
    return Step("Trained", summary, tuple(details))


def bayesian_pruned(record: BayesianPruned) -> Step:
    """Pruning that was learned: how much smaller, then what is left where."""
    counts = f"{record.parameters_before:,} parameters to {record.parameters_after:,}"
    summary = f"{counts}: {record.compression:.1f} × fewer"
    if record.bits:
        summary += f", {record.compression_with_bits:.1f} × with the bits that matter"
    details = [
        ("method", f"{record.method}, strength {units.digits(record.strength)}, {many(record.epochs, 'epoch')}"),
        *((name, f"{after} of {many(before, 'unit')}") for name, (before, after) in record.units.items()),
        *((path, f"reads {after} of {many(before, 'input')}") for path, (before, after) in record.inputs.items()),
        *((path, f"{bits} bits a weight") for path, bits in record.bits.items()),
        ("seed", str(record.seed)),
        ("time", units.duration(record.seconds)),
    ]
    return Step("Pruned by learning", summary, tuple(details))
