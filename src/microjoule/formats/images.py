"""Images from anywhere, decoded: a file is one of a few kinds, small enough, and upright, or it is refused.

A file is taken for what its content says, but only for kinds that are pixels and nothing else: PostScript and the like,
which Pillow would give to a program, are no images here. How many pixels there are is looked at before any is made.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from microjoule.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MOST_PIXELS = 1 << 26
LONGEST_SIDE = 256
"""How often a shorter side may go into a longer one; fitted to a size, a hair of an image would take GBs."""

REMEDY = "fetch it again, or leave it out"


def decode_image(encoded: bytes, place: str, mode: str = "RGB", *, upright: bool = False) -> Image.Image:
    """An image from its bytes; of several in one file the first.

    Args:
        encoded: a file of one of `FORMATS`.
        place: what to call it if it is damaged.
        mode: "RGB" or "L", to which it is converted; "" to leave the stored values as they are.
        upright: turn it as the camera says that it was held.

    Raises:
        DataError: if it is damaged, of another kind, or has more pixels than `MOST_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded), formats=FORMATS)
            _require_size(image.size, place)
            image.load()
            turned = ImageOps.exif_transpose(image) if upright else image
            return _converted(turned, mode) if mode else turned
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(place, f"is not a sound image (none of {', '.join(FORMATS)})", remedy=REMEDY) from error
    except Exception as error:  # Pillow's readers raise whatever they meet
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(place, f"is not a sound image ({reason})", remedy=REMEDY) from error


def _require_size(size: tuple[int, int], place: str) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        fact = f"has {width:,} x {height:,} pixels, and {MOST_PIXELS:,} are the most that are read"
        raise DataError(place, fact, remedy="make it smaller, or leave it out")
    if max(size) > LONGEST_SIDE * min(size):
        fact = f"has {width:,} x {height:,} pixels, which is no image of anything"
        raise DataError(place, fact, remedy="leave it out")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """In 8 bits; Pillow by itself would clip deeper grey values and not scale them."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray(((deep + 128) // 257).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError(f"its values are of 32 bits ({image.mode}), whose range nobody knows")
    return image.convert(mode)
