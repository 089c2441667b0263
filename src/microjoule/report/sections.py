"""The page's sections, each only if its records are there."""

from collections.abc import Sequence
from dataclasses import dataclass

from microjoule.records.analysed import GridHistograms, Sensitivities
from microjoule.records.compressed import Compressed, CompressionSensitivity
from microjoule.records.decided import ParetoFront, Reached
from microjoule.records.facts import BiasesCorrected, Calibrated, Placed, Record, Run, WeightRanges
from microjoule.records.measured import ErrorsByLayer, Evaluated, Machine, Measured, Verified
from microjoule.records.scheduled import RanInOrder, Scheduled
from microjoule.records.stages import is_float
from microjoule.report import units
from microjoule.report.advice import advice, measure_of, worst, worst_table
from microjoule.report.attempts import attempts_plot, attempts_table, outcome
from microjoule.report.bias_plots import Shifts, bias_histogram, root_mean_square
from microjoule.report.choose import calibrations, every, last, result_stage
from microjoule.report.compression import compressed, compressed_table
from microjoule.report.compression_plots import bearing_plot, layers_plot, ways_plot
from microjoule.report.deployment import (
    agreements,
    outputs_table,
    references,
    share_of,
    share_table,
    share_text,
    verdict,
)
from microjoule.report.front import front_plot
from microjoule.report.histogram_plots import histograms_plot, most_clipped
from microjoule.report.history import history, machine, settings
from microjoule.report.layers import Names, layers
from microjoule.report.memory_plots import arena_plot, certificate, memory_plot, obeyed, plan, saving
from microjoule.report.notices import notices_table, notices_text
from microjoule.report.plots import (
    Plot,
    activation_ranges,
    agreement_by_layer,
    errors_by_layer,
    evaluation_bars,
    single,
)
from microjoule.report.sensitivity_plots import sensitivity_plot
from microjoule.report.step import Step
from microjoule.report.tables import Table, evaluations, files, measurements, metrics
from microjoule.report.weight_plots import imbalance, imbalance_by_layer, weights_by_layer

INTERVALS = " The line at the end of a bar is the 95 % interval of its difference."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Args:
        name: unique in the page, for links.
        title: the heading, also in the navigation.
        text: what it tells, in one or two sentences.
        lists: tables of (name, value) under a heading each.
    """

    name: str
    title: str
    text: str
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    steps: tuple[Step, ...] = ()
    lists: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


def sections(records: Sequence[Record]) -> list[Section]:
    """All that the records have something for, in the order of the page."""
    makers = (
        _notices,
        _accuracy,
        _attempts,
        _front,
        _compressed,
        _deployment,
        _integers,
        _by_layer,
        _weights,
        _biases,
        _activations,
        _histograms,
        _errors,
        _hurts,
        _bearing,
        _memory,
        _files,
        _steps,
        _settings,
    )
    return [section for make in makers if (section := make(records)) is not None]


def _notices(records: Sequence[Record]) -> Section | None:
    table = notices_table(records)
    return Section("warnings", "Warnings", notices_text(records), tables=(table,)) if table.rows else None


def _accuracy(records: Sequence[Record]) -> Section | None:
    groups = metrics(records)
    if not groups:
        return None
    plots = tuple(
        single(
            f"metric-{index}",
            f"{group[0].metric} by stage",
            f"On {group[0].data}.{INTERVALS if any(one.compared for one in group) else ''}",
            evaluation_bars(group, result_stage(records)),
        )
        for index, group in enumerate(groups)
    )
    text = "Every stage that was evaluated."
    if any(is_float(record.stage) for record in every(records, Evaluated)):
        text = "Every stage that was evaluated, against the original network."
    return Section("accuracy", "Accuracy", text, plots, tuple(evaluations(group) for group in groups))


def _attempts(records: Sequence[Record]) -> Section | None:
    record = last(records, Reached)
    if record is None:
        return None
    text = f"Recipes were tried one after another, up to the first within the drop. {outcome(record)}"
    return Section("attempts", "Attempts", text, (attempts_plot(record),), (attempts_table(record),))


def _front(records: Sequence[Record]) -> Section | None:
    record = last(records, ParetoFront)
    if record is None or not record.points:
        return None
    text = f"For each budget of {units.cost_name(record.cost)} a network was made and scored."
    return Section("front", "Accuracy against cost", text, (front_plot(record),))


def _compressed(records: Sequence[Record]) -> Section | None:
    record = last(records, Compressed)
    if record is None or not record.layers:
        return None
    text = f"Channels went, and layers were put in low-rank forms: {compressed(record).summary}."
    return Section(
        "compression", "Compression", text, (layers_plot(record), ways_plot(record)), (compressed_table(record),)
    )


def _deployment(records: Sequence[Record]) -> Section | None:
    verified = every(records, Verified)
    if not verified:
        return None
    show = Names.of(records).shown
    plots = tuple(
        single(
            f"verified-{index}",
            f"Values that agree, {record.runtime}",
            "Share of each layer's outputs that are the same integer as in the simulation, and at most one apart.",
            agreement_by_layer(record, show),
        )
        for index, record in enumerate(verified)
        if record.layers
    )
    told = " ".join(map(verdict, verified))
    text = f"What the simulation predicts against what was deployed. {told}{references(records)}"
    tables = (agreements(records), *(table for table in (outputs_table(records),) if table.rows))
    return Section("deployed", "Simulated against deployed", text, plots, tables)


def _integers(records: Sequence[Record]) -> Section | None:
    share = share_of(records)
    if share is None:
        return None
    tables = tuple(table for table in (share_table(share),) if table.rows)
    return Section("integers", "What runs in integers", share_text(share), tables=tables)


def _by_layer(records: Sequence[Record]) -> Section | None:
    table = layers(records)
    text = "What each layer costs for one sample, and how exact it is. Click a heading to sort."
    return Section("layers", "Layers", text, tables=(table,)) if table else None


def _weights(records: Sequence[Record]) -> Section | None:
    stages = every(records, WeightRanges)
    if not stages:
        return None
    before, after = stages[0], stages[-1]
    chosen = weights_by_layer(before, after)
    if chosen is None:
        return None
    overview = single(
        "imbalance",
        "Widest against median channel, all layers",
        "How many times further the widest channel reaches than the median one. At 1× all channels use the whole "
        "grid; at 100× half of the channels keep two or three of 256 steps.",
        imbalance_by_layer(before, after),
    )
    ratios = {layer: ratio for layer, channels in before.layers.items() if (ratio := imbalance(channels)) is not None}
    text = (
        "With one scale a tensor, a layer whose channels differ widely in range loses its narrow channels to rounding."
    )
    if ratios:
        worst = max(ratios, key=lambda layer: ratios[layer])
        later = imbalance(after.layers.get(worst, ()))
        now = f", {units.times(later)} {after.stage}" if later is not None and after is not before else ""
        text += f" The worst is {worst}: {units.times(ratios[worst])} {before.stage}{now}."
    return Section("weights", "Weight ranges", text, (chosen, overview))


def _biases(records: Sequence[Record]) -> Section | None:
    record = last(records, BiasesCorrected)
    if record is None or not record.shifts:
        return None
    shifts = Shifts.of(record)
    before, after = (units.digits(root_mean_square(values)) for values in (shifts.before, shifts.after))
    found = f"{before} standard deviations before, {after} after, measured on {record.measured_on}"
    if not shifts.after:
        found = f"{before} standard deviations by these statistics; what is left was not measured, as that needs data"
    plot = single(
        "biases",
        "Shift of the mean of each output channel",
        f"All channels of {_corrected_layers(record)}. The outermost bars hold what lies beyond.",
        bias_histogram(record),
    )
    text = (
        "Rounding weights moves the mean of what a channel computes; the bias takes it back. Expected inputs are "
        f"from {record.source}. Root mean square over {len(shifts.before):,} channels: {found}."
    )
    return Section("biases", "Rounding bias", text, (plot,))


def _corrected_layers(record: BiasesCorrected) -> str:
    corrected, skipped = len(record.shifts), len(record.skipped)
    told = f"the {corrected:,} corrected layer{'' if corrected == 1 else 's'}"
    return f"{told}; {skipped:,} more {'was' if skipped == 1 else 'were'} skipped" if skipped else told


def _activations(records: Sequence[Record]) -> Section | None:
    found = calibrations(records)
    if not found:
        return None
    placed = last(records, Placed)
    order = {grid.value: at for at, grid in enumerate(placed.grids if placed else ())}
    ranges = sorted((one for record in found for one in record.ranges), key=lambda one: order.get(one.name, len(order)))
    text = f"The range that each activation's grid covers, found by {_how_found(found)}."
    caption = "Bars are the grid's range, lines what was seen. A line that leaves its bar is clipped there."
    plot = single(
        "activations", "Range of each activation", caption, activation_ranges(ranges, Names.of(records).shown)
    )
    return Section("activations", "Activation ranges", text, (plot,))


def _histograms(records: Sequence[Record]) -> Section | None:
    record = last(records, GridHistograms)
    if record is None:
        return None
    show, worst = Names.of(records).shown, most_clipped(record.quantizers)
    text = (
        f"What each quantizer reads while the quantized network runs on {record.samples:,} samples, step by step. The "
        f"most is clipped at {show(worst.name)}: {units.percent(worst.clipped)} of its values."
    )
    return Section("histograms", "Values on their grids", text, (histograms_plot(record, show),))


def _how_found(found: Sequence[Calibrated]) -> str:
    """Rule and source of the ranges; with several of them, how many are from each."""
    told, all_ranges = [], sum(len(record.ranges) for record in found)
    for record in found:
        seen = f", {record.samples:,} samples" if record.samples else ""
        many = f" ({len(record.ranges)} of {all_ranges})" if len(found) > 1 else ""
        told.append(f"{record.rule} from {record.source}{seen}{many}")
    return " and by ".join(told)


def _errors(records: Sequence[Record]) -> Section | None:
    found = [record for record in every(records, ErrorsByLayer) if record.layers]
    if not found:
        return None
    show = Names.of(records).shown
    worst = min(found[-1].layers, key=lambda layer: layer.sqnr_db)
    text = (
        "Signal against quantization noise along the network, on the same inputs as FP32; 6 dB more is one bit more. "
        f"Lowest: {units.decibel(worst.sqnr_db)} dB at {show(worst.name)}."
    )
    plot = single("errors", "SQNR at each quantizer", "Higher is better.", errors_by_layer(found, show))
    return Section("errors", "Quantization error", text, (plot,))


def _hurts(records: Sequence[Record]) -> Section | None:
    record = last(records, Sensitivities)
    if record is None or not record.rows:
        return None
    show, measure = Names.of(records).shown, measure_of(record)
    plot = sensitivity_plot(record, show)
    text = f"Each quantizer alone, all others off. The worst: {advice(worst(record)[0], measure, show)}."
    if record.rank_correlation is not None:
        text += (
            " The estimate from gradients, one pass for all, orders them as measuring does with a rank correlation of "
            f"{record.rank_correlation:.2f}."
        )
    plots = () if plot is None else (plot,)
    return Section("sensitivity", "What hurts", text, plots, (worst_table(record, show),))


def _bearing(records: Sequence[Record]) -> Section | None:
    record = last(records, CompressionSensitivity)
    if record is None or not record.rows:
        return None
    text = "Each layer in low-rank form, and each channel group in fewer channels, alone."
    if record.rank_correlation is not None:
        text += (
            " The error that is foreseen in closed form orders them as measuring does with a rank correlation of "
            f"{record.rank_correlation:.2f}."
        )
    return Section("bearing", "What can be made smaller", text, (bearing_plot(record),))


def _memory(records: Sequence[Record]) -> Section | None:
    record = last(records, Scheduled)
    if record is None or not record.after.steps:
        return None
    ran = [f"{obeyed(one)} {one.caveat}" for one in every(records, RanInOrder)]
    text = " ".join([saving(record), certificate(record), plan(record), *ran])
    return Section("memory", "Memory over time", text, (memory_plot(record), arena_plot(record)))


def _files(records: Sequence[Record]) -> Section | None:
    tables = tuple(table for table in (measurements(records), files(records)) if table.rows)
    text = "Each file was measured in a process of its own; latency is the median of its runs."
    if not every(records, Measured):
        text = "What was written."
    return Section("files", "Files and measurements", text, tables=tables) if tables else None


def _steps(records: Sequence[Record]) -> Section | None:
    done = tuple(history(records))
    text = "Every step in order. Open one for its details and for where it did nothing, and why."
    return Section("history", "What was done", text, steps=done) if done else None


def _settings(records: Sequence[Record]) -> Section | None:
    found = [(f"Run: {run.recipe}", tuple(settings(run))) for run in every(records, Run)]
    machines: list[Machine] = []
    for record in records:
        if isinstance(record, Run | Measured) and record.machine not in machines:
            machines.append(record.machine)
    found += [("Machine", tuple(machine(one))) for one in machines]
    text = "What is needed to run this again."
    return Section("settings", "Settings and machine", text, lists=tuple(found)) if found else None
