"""What was done to a network, step by step, with what was skipped and why."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from microjoule.records import analysed, decided, facts, measured
from microjoule.records.facts import Record
from microjoule.records.learned import BayesianPruned
from microjoule.records.measured import Machine
from microjoule.records.noticed import Noticed
from microjoule.records.scheduled import RanInOrder, Scheduled
from microjoule.records.trained import Trained
from microjoule.report import compression, learned, rounding, units
from microjoule.report.attempts import outcome
from microjoule.report.comparisons import sentence
from microjoule.report.deployment import share_text, verdict
from microjoule.report.memory_plots import assumed, certificate, obeyed, plan, saving
from microjoule.report.notices import noticed_step
from microjoule.report.step import Step
from microjoule.report.units import many


def history(records: Sequence[Record]) -> list[Step]:
    """Every record in order."""
    return [_WORDS[type(record)](record) for record in records]


def settings(record: facts.Run) -> list[tuple[str, str]]:
    """How a recipe was run."""
    seed = "none" if record.seed is None else str(record.seed)
    return [
        ("recipe", record.recipe),
        *record.settings.items(),
        ("seed", seed),
        ("time", units.duration(record.seconds)),
    ]


def machine(record: Machine) -> list[tuple[str, str]]:
    """Where and with what."""
    return [
        ("processor", record.processor),
        ("cores", str(record.cores)),
        ("system", record.system),
        ("Python", record.python),
        *record.versions.items(),
    ]


def _captured(record: facts.Captured) -> Step:
    batch = "any batch size" if record.dynamic_batch else "a fixed batch size"
    summary = f"{many(sum(record.operators.values()), 'operator')}, {batch}, in {units.duration(record.seconds)}"
    details = [("source", record.source), ("largest difference", f"{record.largest_difference:.3g}")]
    details += [(name, str(times)) for name, times in record.operators.items()]
    if record.unknown_operators:
        details.append(("not on our list", ", ".join(record.unknown_operators)))
    return Step("Captured", summary, tuple(details), record.functional_layers)


def _weight_ranges(record: facts.WeightRanges) -> Step:
    return Step("Looked at the weights", f"{record.stage}: {many(len(record.layers), 'layer')}")


def _batch_norms(record: facts.BatchNormsFolded) -> Step:
    return Step(
        "Folded batch norms", f"{many(len(record.folded), 'batch norm')} into layers", record.folded, record.skipped
    )


def _constant_channels(record: facts.ConstantChannelsFolded) -> Step:
    summary = f"{many(sum(record.channels.values()), 'channel')} in {many(len(record.channels), 'layer')}"
    details = tuple((layer, many(number, "channel")) for layer, number in record.channels.items())
    return Step("Folded constant channels", summary, details, record.skipped)


def _split(record: facts.ConcatenationsSplit) -> Step:
    parts = sum(map(len, (record.added | record.joined).values()))
    summary = f"{many(len(record.added) + len(record.joined), 'layer')} into {parts:,}, one a branch"
    words = {"added": record.added, "concatenated": record.joined}.items()
    details = tuple((path, f"{how}: {', '.join(read)}") for how, layers in words for path, read in layers.items())
    return Step("Split convolutions of concatenations", summary, details, record.skipped)


def _observed(record: facts.StatisticsObserved) -> Step:
    words = f"{many(len(record.layers), 'layer')} on {many(record.samples, 'sample')}: {record.source}"
    return Step("Observed statistics", words, tuple((layer, "mean and deviation a channel") for layer in record.layers))


def _equalized(record: facts.Equalized) -> Step:
    summary = f"{many(len(record.groups), 'group')} of layers in {many(record.sweeps, 'sweep')}"
    details = (("largest change in the last sweep", f"{record.largest_change:.2g}"), *_scales(record))
    return Step("Equalized weights across layers", summary, details, record.skipped)


def _noise_equalized(record: facts.NoiseEqualized) -> Step:
    before, after = (units.percent(noise) for noise in (record.noise_before, record.noise_after))
    summary = f"{many(len(record.groups), 'group')} of layers, noise from {before} to {after} of the signal"
    return Step("Equalized noise across layers", summary, tuple(_scales(record)), record.skipped)


def _smoothed(record: facts.Smoothed) -> Step:
    summary = f"{many(len(record.groups), 'group')} of layers on {many(record.samples, 'sample')}: {record.source}"
    details = (("alpha", f"{record.alpha:g}"), *_ranges_of_scales(record.groups))
    return Step("Smoothed activations", summary, details, record.skipped)


def _scales(record: facts.Equalized | facts.NoiseEqualized) -> list[tuple[str, str]]:
    scales = _ranges_of_scales(record.groups)
    return [*scales, ("a cap a channel", ", ".join(record.capped))] if record.capped else scales


def _ranges_of_scales(groups: dict[str, tuple[float, float]]) -> list[tuple[str, str]]:
    return [(name, f"scales {units.digits(low)} to {units.digits(high)}") for name, (low, high) in groups.items()]


def _absorbed(record: facts.HighBiasesAbsorbed) -> Step:
    details = tuple((layer, f"largest {units.digits(bias)}") for layer, bias in record.layers.items())
    return Step("Absorbed high biases", many(len(record.layers), "layer"), details, record.skipped)


def _clipped(record: facts.WeightsClipped) -> Step:
    details = tuple((layer, f"{units.percent(kept)} of the range kept") for layer, kept in record.kept.items())
    return Step("Clipped weights", many(len(record.kept), "layer"), details, record.skipped)


def _corrected(record: facts.BiasesCorrected) -> Step:
    summary = f"{many(len(record.shifts), 'layer')}, inputs from {record.source}"
    return Step("Corrected biases", summary, skipped=record.skipped)


def _reconstructed(record: facts.Reconstructed) -> Step:
    words = (
        f"{many(len(record.layers), 'layer')} by {record.method}, {many(record.samples, 'sample')} of {record.source}"
    )
    details = tuple(
        (one.layer, f"error of its output from {units.percent(one.error_before)} to {units.percent(one.error_after)}")
        for one in record.layers
    )
    return Step("Fitted layers to their outputs", words, details, record.skipped)


def _placed(record: facts.Placed) -> Step:
    kinds = {"weight": 0, "activation": 0, "input": 0}
    for grid in record.grids:
        kinds[grid.kind] = kinds.get(grid.kind, 0) + 1
    details = tuple(
        (
            grid.value,
            f"{grid.bits} bits, {'symmetric' if grid.symmetric else 'asymmetric'}, {many(grid.scales, 'scale')}",
        )
        for grid in record.grids
    )
    words = "replaced by operators that run in integer"
    replaced = tuple((name, f"{count:,} {words}") for name, count in record.replaced.items())
    told = ", ".join(many(number, kind) for kind, number in kinds.items() if number)
    details = (*replaced, *details)
    return Step("Placed quantizers", f"for {record.target}: {told or 'none'}", details, record.skipped)


def _calibrated(record: facts.Calibrated) -> Step:
    summary = f"{many(len(record.ranges), 'range')} by {record.rule} from {record.source}"
    return Step("Calibrated", summary, (("samples", f"{record.samples:,}"),), record.skipped)


def _errors(record: measured.ErrorsByLayer) -> Step:
    worst = min(record.layers, key=lambda layer: layer.sqnr_db, default=None)
    told = f"lowest {units.decibel(worst.sqnr_db)} dB at {worst.name}" if worst else "no layers"
    return Step("Measured quantization error", f"{told}, {many(record.samples, 'sample')}")


def _histograms(record: analysed.GridHistograms) -> Step:
    worst = max(record.quantizers, key=lambda row: row.clipped)
    told = f"the most is clipped at {worst.name}, {units.percent(worst.clipped)}"
    return Step("Counted values on their grids", f"{told}, {many(record.samples, 'sample')}")


def _sensitivities(record: analysed.Sensitivities) -> Step:
    quantizers = len({(row.kind, row.name) for row in record.rows})
    widths = sorted({row.bits for row in record.rows})
    summary = f"{many(quantizers, 'quantizer')} at {many(len(widths), 'width')}, {many(record.samples, 'sample')}"
    details = [("bits", ", ".join(map(str, widths)))]
    if record.fp_value is not None:
        details.append((f"{record.metric} in FP32", units.score(record.fp_value, record.unit)))
    if record.rank_correlation is not None:
        details.append(("rank correlation of estimate and measurement", f"{record.rank_correlation:.3f}"))
    return Step("Looked for what hurts", summary, tuple(details))


def _tried(record: decided.Tried) -> Step:
    took = f"in {units.duration(record.seconds)}"
    return Step("Tried", f"{record.stage} {took}: {record.reason or 'neither taken nor left yet'}")


def _reached(record: decided.Reached) -> Step:
    details = [(f"{record.metric} in FP32", units.score(record.fp_value, record.unit)), ("target", record.target)]
    details += [(tried.stage, f"{tried.reason}; {units.duration(tried.seconds)}") for tried in record.attempts]
    return Step("Searched for the cheapest", outcome(record), tuple(details))


def _mixed_precision(record: decided.MixedPrecision) -> Step:
    weights, activations = (_widths(bits) for bits in (record.weights, record.activations))
    spent = f"{units.amount(record.spent, record.unit)} of {units.amount(record.budget, record.unit)}"
    proof = "proved" if record.optimal else f"not proved, at least {units.digits(record.bound)}"
    details = (
        ("target", record.target),
        ("weights", weights),
        ("values", activations),
        ("predicted loss", f"{units.digits(record.loss)} ({proof})"),
        ("predicted loss of the greedy choice", units.digits(record.greedy_loss)),
        ("samples", f"{record.samples:,}"),
    )
    told = f"{many(len(record.weights), 'layer')} within a budget of {units.cost_name(record.cost)}: {spent}"
    return Step("Chose bits for each layer", told, details)


def _widths(bits: dict[str, int]) -> str:
    """How many have how many bits."""
    return ", ".join(f"{many} × {width} bits" for width, many in sorted(Counter(bits.values()).items()))


def _pareto(record: decided.ParetoFront) -> Step:
    details = tuple(
        (point.budget, f"{units.amount(point.spent, record.cost_unit)}, {units.score(point.value, record.unit)}")
        for point in record.points
    )
    judged = f"{record.metric} on {many(record.samples, 'sample')}"
    told = f"{many(len(record.points), 'budget')} of {units.cost_name(record.cost)}, {judged}"
    return Step("Measured accuracy against cost", told, details)


def _scheduled(record: Scheduled) -> Step:
    told = (("sizes", assumed(record)), ("proof", certificate(record)), ("arena", plan(record)))
    looked = (("states", f"{record.states:,}"), ("time", units.duration(record.seconds)))
    return Step("Ordered the operators", saving(record), told + looked)


def _ran_in_order(record: RanInOrder) -> Step:
    measured_bytes = [one if one is None else units.size(one) for one in (record.before_bytes, record.after_bytes)]
    figures = zip(("arena before", "arena after"), measured_bytes, strict=True)
    told = tuple((name, value) for name, value in figures if value is not None)
    details = (*told, ("planned", units.size(record.planned_bytes)), ("mind", record.caveat))
    return Step(f"Ran in order in {record.runtime}", obeyed(record), details)


def _costs(record: measured.Costs) -> Step:
    details = (
        ("parameters", f"{record.parameters:,}"),
        ("weights", units.size(record.weight_bytes)),
        ("MACs", units.count(record.macs)),
        ("bit operations", units.count(record.bops)),
        ("activations", units.size(record.activation_bytes)),
        ("peak of live activations", units.size(record.peak_bytes)),
        ("energy table", record.energy_table),
    )
    return Step("Counted costs", f"{record.stage}: {units.energy(record.energy_pj)} for one sample", details)


def _evaluated(record: measured.Evaluated) -> Step:
    compared = record.compared
    details: list[tuple[str, str]] = [("data", record.data)]
    if compared is not None and compared.low is not None and compared.high is not None:
        ends = (units.difference(end, record.unit) for end in (compared.low, compared.high))
        details.append(("95 % interval of the difference", " to ".join(ends)))
    if compared is not None and compared.p_value is not None:
        details.append(("sign test of the samples won and lost", f"p = {compared.p_value:.2g}"))
    details += [] if compared is None else [("error by", compared.method)]
    return Step("Evaluated", sentence(record).removesuffix("."), tuple(details))


def _exported(record: measured.Exported) -> Step:
    details = [(f"{times} ×", name) for name, times in record.operators.items()]
    details += [("note", note) for note in record.notes]
    details += [] if record.integers is None else [("integers", share_text(record.integers))]
    return Step("Exported", f"{record.path}, {record.format}, {units.size(record.size_bytes)}", tuple(details))


def _verified(record: measured.Verified) -> Step:
    told = f"{record.compared or record.runtime}, {many(record.samples, 'sample')}"
    return Step("Verified", f"{told}. {verdict(record)}", tuple(("fails", problem) for problem in record.problems))


def _measured(record: measured.Measured) -> Step:
    told = f"{record.path} in {record.runtime}: {units.latency(record.latency_ms)}"
    details = (
        ("spread", f"{units.latency(record.latency_low_ms)} to {units.latency(record.latency_high_ms)}"),
        ("runs", f"{record.runs:,}"),
        ("threads", str(record.threads)),
        ("batch", str(record.batch)),
    )
    return Step("Measured", told, details)


def _run(record: facts.Run) -> Step:
    return Step("Ran a recipe", f"{record.recipe} in {units.duration(record.seconds)}", tuple(record.settings.items()))


_WORDS: dict[type[Any], Callable[[Any], Step]] = {
    facts.Captured: _captured,
    facts.WeightRanges: _weight_ranges,
    facts.BatchNormsFolded: _batch_norms,
    facts.ConstantChannelsFolded: _constant_channels,
    facts.ConcatenationsSplit: _split,
    **compression.WORDS,
    **rounding.WORDS,
    facts.StatisticsObserved: _observed,
    facts.Equalized: _equalized,
    facts.NoiseEqualized: _noise_equalized,
    facts.Smoothed: _smoothed,
    facts.HighBiasesAbsorbed: _absorbed,
    facts.WeightsClipped: _clipped,
    facts.BiasesCorrected: _corrected,
    facts.Reconstructed: _reconstructed,
    Trained: learned.trained,
    BayesianPruned: learned.bayesian_pruned,
    facts.Placed: _placed,
    facts.Calibrated: _calibrated,
    measured.ErrorsByLayer: _errors,
    analysed.GridHistograms: _histograms,
    analysed.Sensitivities: _sensitivities,
    decided.Tried: _tried,
    decided.Reached: _reached,
    decided.MixedPrecision: _mixed_precision,
    decided.ParetoFront: _pareto,
    Scheduled: _scheduled,
    RanInOrder: _ran_in_order,
    measured.Costs: _costs,
    measured.Evaluated: _evaluated,
    measured.Exported: _exported,
    measured.Verified: _verified,
    measured.Measured: _measured,
    Noticed: noticed_step,
    facts.Run: _run,
}
"""Every kind of record has words; a test holds this to the union `Record`."""
