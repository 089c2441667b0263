import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from microjoule.errors import DataError
from microjoule.formats import images
from microjoule.formats.images import decode_image

COLOUR = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def encoded(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_pixels_are_those_that_were_stored(kind):
    found = decode_image(encoded(Image.fromarray(COLOUR), kind), "here")
    assert np.array_equal(np.asarray(found), COLOUR)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_kinds_that_lose_something_are_read(kind):
    assert decode_image(encoded(Image.fromarray(COLOUR), kind), "here").size == (6, 4)


def test_grey_by_hand():
    found = decode_image(encoded(Image.fromarray(COLOUR)), "here", "L")
    expected = (COLOUR * np.array([0.299, 0.587, 0.114])).sum(2)
    assert np.abs(np.asarray(found) - expected).max() <= 1


def test_16_bits_are_scaled_and_not_clipped():
    """255 of 65535 is black, or nearly so: 255 / 257 = 0.99."""
    deep = np.array([[0, 128, 129, 255, 256, 32768, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode_image(encoded(Image.fromarray(deep), kind), "here", "L")
        assert np.asarray(found).tolist() == [[0, 0, 1, 1, 1, 128, 255]]
    assert np.asarray(decode_image(encoded(Image.fromarray(deep)), "here", "RGB"))[0, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_of_32_bits_have_no_known_range(kind):
    content = encoded(Image.fromarray(np.ones((2, 2), kind)), "TIFF")
    with pytest.raises(DataError, match="whose range nobody knows"):
        decode_image(content, "here")
    assert np.asarray(decode_image(content, "here", "")).tolist() == [[1, 1], [1, 1]]


def test_four_inks_become_colours():
    red = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    pixel = np.asarray(decode_image(encoded(red, "JPEG", quality=100), "here"))[0, 0]
    assert pixel[0] > 240
    assert pixel[1:].max() < 15


def test_of_several_images_the_first_is_read():
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode_image(content, "here"))[0, 0].tolist() == [255, 0, 0]


def test_a_photograph_stands_upright_if_asked():
    exif = Image.Exif()
    exif[274] = 6  # the camera was held on its side: rotate by 90 degrees to the right
    wide = Image.fromarray(np.array([[0, 0, 255, 255]] * 2, np.uint8).repeat(8, 0).repeat(8, 1))
    content = encoded(wide, "JPEG", exif=exif, quality=100)
    assert decode_image(content, "here", "L").size == (32, 16)
    turned = np.asarray(decode_image(content, "here", "L", upright=True))
    assert turned.shape == (32, 16)
    assert turned[:12].mean() < 20
    assert turned[-12:].mean() > 235


# Refusals -------------------------------------------------------------------------------------------------------------


def claiming(width, height):
    """A PNG of a few bytes that says to be of a size."""
    content = encoded(Image.new("L", (1, 1)))
    head = content[12:16] + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]


@pytest.mark.parametrize(
    ("width", "height"), [(2**31 - 1, 2**31 - 1), (50_000, 50_000), (10_000, 10_000), (8193, 8192)]
)
def test_more_pixels_than_anyone_needs_are_refused_before_they_are_made(width, height):
    with pytest.raises(
        DataError, match=r"here: has [\d,]+ x [\d,]+ pixels, and 67,108,864 are the most|exceeds limit|size"
    ):
        decode_image(claiming(width, height), "here")


def test_a_hair_is_no_image():
    with pytest.raises(DataError, match="has 2,000 x 7 pixels, which is no image of anything"):
        decode_image(encoded(Image.new("L", (2000, 7))), "here")
    assert decode_image(encoded(Image.new("L", (1792, 7))), "here").size == (1792, 7)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_truncated_image_is_refused(kind, share):
    content = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)), kind)
    with pytest.raises(DataError, match=r"here: is not a sound image \(.+\)\n  fetch it again, or leave it out"):
        decode_image(content[: int(len(content) * share)], "here")


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\n", b"%PDF-1.4"]
)
def test_other_kinds_of_files_are_no_images(content, monkeypatch):
    """Pillow would give PostScript to a program that runs it."""
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program is started"))
    with pytest.raises(DataError, match=r"is not a sound image \(none of JPEG, PNG, .*PPM\)"):
        decode_image(content, "here")


def test_whatever_pillow_raises_is_one_error(monkeypatch):
    def failing(*_, **__):
        raise KeyError("a reader of Pillow's")

    monkeypatch.setattr(images.Image, "open", failing)
    with pytest.raises(DataError, match="is not a sound image"):
        decode_image(b"", "here")
