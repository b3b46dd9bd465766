"""Pictures as their files give them, decoded, cut and scaled; masks scaled with them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, features

from rgi.errors import InputError

# Pillow knows more, among them PostScript, a program that it would hand to Ghostscript.
FORMATS = (
    *("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "JPEG2000", "PPM", "TGA", "PCX"),
    *(("AVIF",) if features.check("avif") else ()),
)

Crop = str | dict[str, list[int]]  # "centre", "whole" or {"box": [top, left, height, width]}


class UnreadableImageError(Exception):
    """A file is of no use; the text says why. The data set goes on without it."""


def read_bytes(path: Path) -> bytes:
    """Read a file that a folder can do without.

    Raises:
        UnreadableImageError: the operating system refuses.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{type(error).__name__}: {error.strerror}") from None


def decode(data: bytes, *, upright: bool = True) -> Image.Image:
    """Decode one picture to mode L or RGB: 8 bits, what is transparent on black.

    It is turned as its file says (EXIF), unless `upright` is false: boxes and masks that come with
    a picture are of its pixels as they are stored.

    Raises:
        UnreadableImageError: not an image, damaged, too large, or of a pixel type without a range.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
        if upright:
            ImageOps.exif_transpose(image, in_place=True)
        image = _to_8_bits(image, image.format)
        if image.has_transparency_data:
            black = Image.new("RGBA", image.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, image.convert("RGBA"))
        return _to_mode(image, "L" if image.mode in ("1", "L") else "RGB")
    except (UnreadableImageError, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableImageError("not an image of a known format") from None
    except Exception as error:  # on damaged files Pillow's decoders raise nearly anything
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from None


def to_pixels(image: Image.Image, crop: Crop, resolution: int, channels: int) -> np.ndarray:
    """Turn a decoded picture into what generators are trained on: uint8 H x W x C.

    Raises:
        UnreadableImageError: the box reaches outside the image.
    """
    image = _to_mode(image, "L" if channels == 1 else "RGB")
    resized = crop_and_resize(image, crop, resolution)
    return np.asarray(resized).reshape(resolution, resolution, channels)


def crop_and_resize(image: Image.Image, crop: Crop, resolution: int) -> Image.Image:
    """Cut out a part and scale it to `resolution` x `resolution`, whatever its proportions.

    Raises:
        UnreadableImageError: the box reaches outside the image.
    """
    return cut(image, crop).resize((resolution, resolution), Image.Resampling.LANCZOS)


def to_mask(image: Image.Image) -> np.ndarray:
    """Turn a decoded picture of a mask into bool H x W: what is brighter than mid-grey."""
    return np.asarray(image.convert("L")) > 127


def resize_mask(mask: np.ndarray, resolution: int) -> np.ndarray:
    """Scale a mask (bool H x W) to `resolution` x `resolution`: every touched pixel is marked.

    A small pixel is marked if it shares any area with a marked large one: what remains unmarked is
    clean for certain.
    """
    for axis in (0, 1):
        edges = np.arange(resolution + 1) * mask.shape[axis]
        first, last = edges[:-1] // resolution, -(-edges[1:] // resolution)
        before = [(0, 0), (0, 0)]
        before[axis] = (1, 0)
        marked = np.pad(mask.cumsum(axis), before)  # up to, and without, each row
        mask = marked.take(last, axis) > marked.take(first, axis)
    return mask


def cut(image: Image.Image, crop: Crop) -> Image.Image:
    """Cut the central square, the whole or the given box.

    Raises:
        UnreadableImageError: the box reaches outside the image.
    """
    top, left, height, width = cut_box(image, crop)
    return image.crop((left, top, left + width, top + height))


def cut_box(image: Image.Image, crop: Crop) -> tuple[int, int, int, int]:
    """Say which part of the image `cut` takes: top, left, height, width in pixels.

    Raises:
        UnreadableImageError: the box reaches outside the image.
    """
    if isinstance(crop, dict):
        top, left, height, width = crop["box"]
    elif crop == "whole":
        top, left, height, width = 0, 0, image.height, image.width
    else:
        height = width = min(image.size)
        top, left = (image.height - height) // 2, (image.width - width) // 2
    if top + height > image.height or left + width > image.width:
        raise UnreadableImageError(
            f"box {[top, left, height, width]} reaches outside the image "
            f"({image.height} rows, {image.width} columns)"
        )
    return top, left, height, width


def check_crop(where: str, crop: Any) -> None:
    """Raise InputError unless `crop` is "centre", "whole" or a box."""
    if crop not in ("centre", "whole") and not is_box(crop):
        raise InputError(
            f"{where}: crop: {crop!r}; allowed: centre, whole, or "
            "{box: [top, left, height, width]} in whole pixels"
        )


def is_box(crop: Any) -> bool:
    """Whether a crop is {"box": [top, left, height, width]}."""
    if not isinstance(crop, dict) or set(crop) != {"box"} or len(crop["box"]) != 4:
        return False
    return min(crop["box"][:2]) >= 0 and min(crop["box"][2:]) >= 1


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    # Image.convert copies where there is nothing to convert.
    return image if image.mode == mode else image.convert(mode)


def _to_8_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format in ("PNG", "PPM")):
        wide = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.clip(np.rint(wide / 257), 0, 255).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImageError(f"pixel type {image.mode} (32 bits) has no fixed range")
    return image
