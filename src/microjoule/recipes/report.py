"""A network's history as one page."""

from collections.abc import Sequence
from pathlib import Path

from microjoule.graph.network import Network
from microjoule.records.facts import Record
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
        FileError: if the page cannot be written.
    """
    given = [source] if isinstance(source, Network) else list(source)
    records: list[Record] = []
    for item in given:
        news = item.history if isinstance(item, Network) else [item]
        records += [record for record in news if not any(record is other for other in records)]
    return write_report(records, path, title=title)
