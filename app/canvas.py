"""The masking canvas: the one file that knows the ImageEditor's value and its traps.

The editor is given a proxy of at most ``PROXY_SIDE`` pixels (a WebGL texture limit turns larger
pictures transparent without an error), opaque sRGB (the browser has no say in colours). Only what
is painted is read back, never the background or the composite: the original stays on the server.
The page sends it as a data URL, once for each event that needs it (``varpaint.mask`` in
memory.js); the editor's own value, which Gradio asks for at every change of the page, three
pictures each time, stays empty (editor.js). What is painted is the layer's alpha.

An editor that is given a new value loads its picture and its layers up to twice, and what is
painted in between is lost. So only a picture of a new size is one, by ``gr.render`` (wiring.py);
the page's script lets each load once, after the editor took on the picture's size. One of the same
size is put in the place of the one that is there by the script alone. Each change has a version
number, which the script marks as ready.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from numpy.typing import NDArray
from PIL import Image

from app import files
from engine.errors import MaskError
from engine.picture.source import Source
from engine.request.masks import mask_array

PROXY_SIDE = 2048
LOSSLESS = 1 << 19  # pixels up to which a picture is shown as it is
MASK_COLOUR = (255, 45, 120)  # as the brush in wiring.py and the overlays in frame.css
MASK_OPACITY = 0.55
PNG_URL = "data:image/png;base64"
MAX_SENT = 16 << 20  # characters of what a page sends as painted


def mask_editor(value: dict[str, Any] | None, **options: Any) -> gr.ImageEditor:
    """The ImageEditor, for showing and painting; no handler reads its value.

    The stock ``accept_blobs``, which no listener here needs, grows a list to an index of the
    client's choice. Overridden on the instance: for a subclass Gradio writes a .pyi file next to
    the source.
    """
    editor = gr.ImageEditor(
        value, format="png", sources=("upload",), transforms=(), layers=False, **options
    )
    editor.accept_blobs = _refuse  # type: ignore[method-assign]
    return editor


def _refuse(data: Any) -> None:
    raise gr.Error("this editor takes no streamed layers", print_exception=False)


def proxy(image: Image.Image, side: int = PROXY_SIDE) -> Image.Image:
    """The picture as the page shows it: upright sRGB over white, at most ``side`` pixels."""
    size = proxy_size(image.size, side)
    if image.mode in ("RGB", "L") and size != image.size:  # fewer pixels to convert to sRGB
        profile = image.info.get("icc_profile")
        image = image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)  # half the time
        image.info = {"icc_profile": profile} if profile else {}
    shown = Image.fromarray(Source(image).view())
    return shown if shown.size == size else shown.resize(size, Image.Resampling.LANCZOS)


def proxy_part(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image | None:
    """What `proxy` has in a ``box`` of it (here and there a level off), without making the rest;
    None where the rest is needed for that."""
    size = proxy_size(image.size)
    across, down = image.width / size[0], image.height / size[1]
    plain = image.mode in ("RGB", "L") and "transparency" not in image.info
    if not plain or size == image.size or max(across, down) >= 4:  # beyond, it goes in two steps
        return None
    left, top, right, bottom = box
    source = (left * across, top * down, right * across, bottom * down)
    part = image.resize((right - left, bottom - top), Image.Resampling.HAMMING, source)
    profile = image.info.get("icc_profile")
    part.info = {"icc_profile": profile} if profile else {}
    return proxy(part)


def shown(image: Image.Image, side: int = PROXY_SIDE) -> Image.Image:
    """The same with a checkerboard where the picture is clear."""
    view = proxy(image, side)
    if "A" not in image.getbands() and "transparency" not in image.info:
        return view
    alpha = np.asarray(image.convert("RGBA").getchannel("A").resize(view.size), np.float32) / 255
    if alpha.min() == 1:
        return view
    missing = 255 - np.asarray(checkerboard(view.size), np.float32)  # from the white below it
    mixed = np.asarray(view, np.float32) - missing * (1 - alpha[..., None])
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def checkerboard(size: tuple[int, int], cell: int = 12) -> Image.Image:
    """Two greys in squares: where there is no picture."""
    rows, columns = np.indices((size[1], size[0])) // cell
    greys = np.where((rows + columns) % 2, 205, 230).astype(np.uint8)
    return Image.fromarray(np.repeat(greys[..., None], 3, axis=2))


def proxy_size(size: tuple[int, int], side: int = PROXY_SIDE) -> tuple[int, int]:
    """The size that fits into ``side`` x ``side``; never enlarged, never below one pixel."""
    factor = min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def brush_radius(size: tuple[int, int]) -> int:
    """A brush of a thirtieth of the shown picture, in the editor's unit."""
    return max(6, round(min(proxy_size(size)) / 30))


def editor_value(picture: str, mask: Image.Image | None) -> dict[str, Any]:
    """A value for a freshly mounted editor: the file of what it shows, and what is painted on it.
    The composite stays None: one that is given becomes the new background, with the mask burnt
    in."""
    layers = [painted(mask)] if mask is not None and mask.getbbox() is not None else []
    return {"background": picture, "layers": layers, "composite": None}


FILE_ROUTE = "gradio_api/file="


def url(shown: Image.Image) -> str:
    """A picture as a file that the page may ask for; the address is relative to the page's. A large
    one becomes a JPEG, which is packed, sent and unpacked far sooner than a PNG."""
    stream = io.BytesIO()
    if shown.mode == "RGBA" or shown.width * shown.height <= LOSSLESS:
        shown.save(stream, "PNG", compress_level=1)
        name = "shown.png"
    else:
        shown.convert("RGB").save(stream, "JPEG", quality=95, subsampling=0)
        name = "shown.jpg"
    return FILE_ROUTE + save_bytes_to_cache(stream.getvalue(), name, get_upload_folder())


def file_of(url: str) -> str:
    """The file behind what `url` gave."""
    return url.removeprefix(FILE_ROUTE)


def painted(mask: Image.Image) -> Image.Image:
    """A mask (mode L) as a layer in the brush's colour."""
    layer = Image.new("RGBA", mask.size, (*MASK_COLOUR, 0))
    layer.putalpha(mask.point(lambda value: round(255 * MASK_OPACITY) if value >= 128 else 0))
    return layer


def as_layer(mask: Image.Image | None, size: tuple[int, int]) -> str:
    """A mask (mode L) as a PNG inside the page, clear where nothing is painted; all of it where the
    mask is None."""
    png = _layer_png(mask if mask is not None else Image.new("L", size))
    return f"{PNG_URL}," + base64.b64encode(png).decode()


def layer_url(mask: Image.Image) -> str:
    """The same as a file that the page may ask for."""
    return FILE_ROUTE + save_bytes_to_cache(_layer_png(mask), "mask.png", get_upload_folder())


def _layer_png(mask: Image.Image) -> bytes:
    """A bit a pixel, black of which is clear: packed and unpacked in no time."""
    stream = io.BytesIO()
    bits = mask.convert("1", dither=Image.Dither.NONE)
    bits.save(stream, "PNG", transparency=0, compress_level=1)
    return stream.getvalue()


def read_mask(painted: str, size: tuple[int, int]) -> Image.Image | None:
    """What is painted, as a mask (mode L, 0 or 255) of the proxy's ``size``; None for nothing.

    ``painted`` is the canvas's layer as the page sends it, the data URL of a PNG, or empty. Its
    alpha counts wherever it is not zero: half-transparent brushes paint too. MaskError if it is
    no such layer, or of another size.
    """
    if not painted:
        return None
    try:
        with sent_picture(painted) as layer:
            if layer.size != size:
                raise MaskError(
                    f"the canvas holds {layer.width}x{layer.height} pixels, the picture "
                    f"{size[0]}x{size[1]}; press Clear mask and paint again"
                )
            alpha = np.asarray(layer.convert("RGBA").getchannel("A")) > 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise MaskError(
            "the canvas sent no readable mask; press Clear mask and paint again"
        ) from None
    return to_picture(alpha) if alpha.any() else None


def sent_picture(url: str, longest: int = MAX_SENT) -> Image.Image:
    """The PNG that a page sent as a data URL, its pixels not read yet. ValueError, OSError or
    SyntaxError if it is none, or longer than ``longest`` characters."""
    head, _, body = url.partition(",")
    if head != PNG_URL or len(body) > longest:
        raise ValueError("no PNG of that length")
    return Image.open(io.BytesIO(base64.b64decode(body, validate=True)), formats=("PNG",))


def full_size(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask of the proxy, scaled to the picture it was painted over."""
    if mask.size == size:
        return mask
    whole = Image.new("L", size)
    box = mask.getbbox()
    if box is not None:  # the rest stays black: it costs most where pictures are large
        across, down = size[0] / mask.width, size[1] / mask.height
        left, top = (max(0, int((box[i] - 1) * by)) for i, by in ((0, across), (1, down)))
        right = min(size[0], math.ceil((box[2] + 1) * across))
        bottom = min(size[1], math.ceil((box[3] + 1) * down))
        seen = (left / across, top / down, right / across, bottom / down)
        smooth = mask.resize((right - left, bottom - top), Image.Resampling.BILINEAR, seen)
        whole.paste(smooth.point(lambda value: 255 if value >= 128 else 0), (left, top))
    return whole


def to_picture(mask: NDArray[np.bool_]) -> Image.Image:
    """A bool array (H, W) as a picture of mode L, 0 or 255."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def to_array(mask: Image.Image | None, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask as a bool array (H, W); all False for None."""
    if mask is None:
        return np.zeros((size[1], size[0]), bool)
    return np.asarray(mask) >= 128


def changed(mask: Image.Image | None, size: tuple[int, int], how: str) -> Image.Image | None:
    """The mask inverted, grown, shrunk or cleared; None where nothing is left."""
    before = to_array(mask, size)
    step = max(2, round(max(size) / 128))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * step + 1, 2 * step + 1))
    if how == "invert":
        after = ~before
    elif how == "grow":
        after = cv2.dilate(before.astype(np.uint8), kernel) > 0
    elif how == "shrink":
        edge = cv2.BORDER_REPLICATE  # a mask that touches the border keeps touching it
        after = cv2.erode(before.astype(np.uint8), kernel, borderType=edge) > 0
    elif how == "clear":
        after = np.zeros_like(before)
    else:
        raise ValueError(f"unknown mask operation {how!r}")
    return to_picture(after) if after.any() else None


GREY = 0.3  # part of a mask's pixels that may be neither black nor white


def _is_photograph(image: Image.Image) -> bool:
    """Whether a file that should be a mask has shades all over; soft edges are few of its pixels.
    What is painted where the rest is clear counts by its alpha."""
    if "A" in image.getbands() and image.getchannel("A").getextrema()[0] < 255:
        return False
    shades = np.asarray(image.convert("L"))
    return float(((shades > 32) & (shades < 224)).mean()) > GREY


def imported(
    path: str | Path, size: tuple[int, int], shown: tuple[int, int]
) -> tuple[Image.Image, bool]:
    """A mask from a file, for a picture of ``size`` shown on the canvas at ``shown``; and whether
    the file looks like a photograph, its bright parts being the mask.

    White, or what is painted where the file has transparency, is to be regenerated.
    """
    image = files.opened(path)
    if image.size not in (size, shown):
        raise MaskError(
            f"the mask is {image.width}x{image.height} pixels, the picture {size[0]}x{size[1]}; "
            "use a mask of the picture's size"
        )
    mask = mask_array(image)
    if not mask.any():
        raise MaskError("the mask file selects nothing; white is what will be regenerated")
    picture = to_picture(mask)
    if picture.size != shown:
        small = cv2.resize(np.asarray(picture), shown, interpolation=cv2.INTER_AREA)
        picture = to_picture(small > 0)
    return picture, _is_photograph(image)
