"""Pictures of every mode, masks of every kind, and what must not change, for tests."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageCms

MODES = ["1", "L", "LA", "P", "P+alpha", "RGB", "RGB+key", "RGBA", "CMYK", "YCbCr", "I;16", "I",
         "F", "RGB+icc"]  # fmt: skip


def noisy_rgb(width: int, height: int, seed: int = 0) -> Image.Image:
    """A gradient with noise: no two neighbours alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), 0 * x + 90], 2)
    return Image.fromarray(np.clip(base + rng.normal(0, 20, base.shape), 0, 255).astype(np.uint8))


def picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of one of ``MODES``."""
    rgb = noisy_rgb(width, height, seed)
    rng = np.random.default_rng(seed + 1)
    if mode in ("RGBA", "LA"):
        image = rgb.convert(mode)
        image.putalpha(Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)))
        return image
    if mode == "P":
        return rgb.quantize(17)
    if mode == "P+alpha":
        image = rgb.quantize(17)
        image.info["transparency"] = bytes([0, 128] + [255] * 15)
        return image
    if mode == "RGB+key":
        rgb.info["transparency"] = (1, 2, 3)
        return rgb
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), dtype=np.float32))
    if mode == "RGB+icc":
        rgb.info["icc_profile"] = lab_free_profile()
        return rgb
    return rgb.convert(mode)


def lab_free_profile() -> bytes:
    """An ICC profile that is not called sRGB, so that the colour path runs."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    data = bytearray(profile.tobytes())
    data = data.replace("sRGB".encode("utf-16-be"), "wRGB".encode("utf-16-be"))
    return bytes(data.replace(b"sRGB built-in", b"wRGB built-in"))


def png_bytes(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def box_mask(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@st.composite
def masks(draw: st.DrawFn, width: int, height: int) -> np.ndarray:
    """Boxes, hairlines, specks, several parts, borders and everything."""
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(1, 3))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        w = draw(st.sampled_from([1, 2, 7, width]))
        h = draw(st.sampled_from([1, 3, 9, height]))
        mask[y : y + h, x : x + w] = True
    return mask


def raw(image: Image.Image) -> np.ndarray:
    return np.asarray(image).reshape(image.height, image.width, -1)


def assert_untouched(source: Image.Image, result: Image.Image, mask: np.ndarray) -> None:
    assert (result.mode, result.size) == (source.mode, source.size)
    assert np.array_equal(raw(source)[~mask], raw(result)[~mask])
    if source.mode == "P":
        assert result.getpalette() == source.getpalette()
    for key in ("icc_profile", "transparency"):
        assert result.info.get(key) == source.info.get(key)
