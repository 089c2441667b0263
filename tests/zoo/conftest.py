"""Folders of the zoo's layouts, small and made on the spot."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """A zip file of these files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with one set of each layout."""
    ramp = np.arange(227 * 227 * 3, dtype=np.int64).reshape(227, 227, 3) % 251
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write_zip(pictures / "images.zip", {"a.png": encoded(ramp.astype(np.uint8)), "broken.png": b"not an image"})
    (pictures / "labels.csv").write_text("file,label\na.png,7\nbroken.png,3\n")

    grey = tmp_path / "grey"
    grey.mkdir()
    np.savez(grey / "test_few.npz", x=np.full((3, 8, 8), 51, np.uint8), y=np.array([0, 1, 2]))
    np.savez(grey / "train_few.npz", x=np.zeros((5, 8, 8), np.uint8), y=np.zeros(5, np.uint8))

    coco = tmp_path / "coco"
    coco.mkdir()
    mask = np.array([[1, 1, 17, 255]] * 2, np.uint8)
    write_zip(
        coco / "coco.zip",
        {
            "images/1.jpg": encoded(np.zeros((2, 4, 3), np.uint8)),
            "labels/1.txt": b"0 0.5 0.5 0.5 1.0\n16 0.25 0.5 0.1 0.2\n",
            "masks/1.png": encoded(mask),
            "images/2.jpg": encoded(np.zeros((4, 2, 3), np.uint8)),
            "labels/2.txt": b"0 0.5 0.5 0.05 0.05\n",
        },
    )
    return tmp_path
