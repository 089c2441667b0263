"""What a file's suffix says is in it, so that nothing else is written there."""

from pathlib import Path

from microjoule.errors import SettingError

NETWORK, ONNX, LITERT, PAGE, JSON = ".mj", ".onnx", ".tflite", ".html", ".json"

KINDS = {
    NETWORK: "a network, which evaluate, verify and report read",
    ONNX: "an ONNX file, which runtimes read",
    LITERT: "a LiteRT file",
    PAGE: "a page for a browser",
    JSON: "encodings as AIMET writes them",
}
"""What is in a file, by its suffix."""

OTHERS = frozenset(
    f".{name}"
    for name in (
        *("pt", "pt2", "pth", "ckpt", "safetensors", "keras", "h5", "pb", "engine", "dlc", "mlmodel", "mlpackage"),
        *("npz", "npy", "csv", "txt", "md", "pdf", "htm", "toml", "yaml", "py", "zip", "gz"),
    )
)
"""Suffixes of what is never written."""

REASONS = {LITERT: "LiteRT files cannot be written yet"}
"""Why a file that one might expect is not written."""


def check_suffix(path: str | Path, own: str) -> None:
    """See that a name does not say that something else is in the file; a suffix that says nothing will do.

    Args:
        path: of the file that is to be written.
        own: the suffix of what it will be.

    Raises:
        SettingError: for the suffix of another kind of file.
    """
    suffix = Path(path).suffix.lower()
    if suffix != own and (suffix in KINDS or suffix in OTHERS):
        reason = f" ({REASONS[suffix]})" if suffix in REASONS else ""
        fact = f"ends in {suffix}, and this writes {KINDS[own]}{reason}"
        raise SettingError(str(path), fact, remedy=f"end it in {own}")
