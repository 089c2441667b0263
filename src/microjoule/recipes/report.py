"""A network's history as one page."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from microjoule.graph.network import Network, not_captured
from microjoule.records.facts import Record
from microjoule.records.suffixes import PAGE, check_suffix
from microjoule.report.page import report as write_report


def report(
    source: Network | Sequence[Network] | Sequence[Record], path: str | Path, *, title: str = "Quantization report"
) -> Path:
    """Write a self-contained HTML page of what was done and found.

    Args:
        source: a network, several of them (their histories one after another, shared beginnings once), or records.
        path: of the page.
        title: its heading.

    Raises:
        DataError: if there is nothing to report.
        SettingError: for a model that was not captured, or a name with the suffix of another kind of file.
        FileError: if the page cannot be written.
    """
    check_suffix(path, PAGE)
    if isinstance(source, nn.Module):
        raise not_captured("source", source)
    given = [source] if isinstance(source, Network) else list(source)
    records: list[Record] = []
    for item in given:
        news = item.history if isinstance(item, Network) else [item]
        records += [record for record in news if not any(record is other for other in records)]
    return write_report(records, path, title=title)
