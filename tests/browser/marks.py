"""Masks, told in pixels of the picture that the browser's tests open."""

from __future__ import annotations

import numpy as np

from tests.browser.conftest import SIZE
from tests.browser.window import Window

WIDTH, HEIGHT = SIZE


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


def drag_box(window: Window, left: int, top: int, right: int, bottom: int) -> None:
    window.stroke((left / WIDTH, top / HEIGHT), (right / WIDTH, bottom / HEIGHT))
