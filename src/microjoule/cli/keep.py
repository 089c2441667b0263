"""Saving networks, and adding what a command found to the history of a saved one, so that one file tells all."""

from collections.abc import Sequence
from pathlib import Path

from microjoule.capture.load import load
from microjoule.deploy.onnx_file import export
from microjoule.errors import FileError
from microjoule.graph.network import Network
from microjoule.records.facts import Record
from microjoule.records.suffixes import ONNX


def history_keeper(path: Path | None) -> Network | None:
    """The network whose history is to be kept, read before the work begins, so that a wrong path costs no time.

    Raises:
        FileError: if there is no network that microjoule saved.
    """
    if path is None:
        return None
    if path.suffix == ".pt2":
        raise FileError(
            str(path), "is no file that microjoule saved", remedy="save one with microjoule quantize --out FILE.mj"
        )
    return load(path)


def keep(network: Network | None, path: Path | None, records: Sequence[Record]) -> None:
    """Write the network with its longer history back, whole or not at all."""
    if network is not None and path is not None:
        network.history += records
        network.save(path)


def write_network(network: Network, path: Path, stage: str) -> str:
    """Write what a file's suffix says: a network, or its ONNX file.

    Args:
        network: to be written.
        path: with one of those suffixes.
        stage: what to call the network in records.

    Returns:
        What was done, for people.

    Raises:
        ExportError, FileError: as `export` and `save`.
    """
    if path.suffix.lower() == ONNX:
        export(network, path, stage=stage)
        return f"Wrote {stage} as {path}; to verify or report it later, save the network, too: --out {path.stem}.mj"
    network.save(path)
    return f"Saved {stage} as {path}"
