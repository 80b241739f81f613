"""How well a click selects a thing: ``python -m tests.selections [--sheet OUT.png]``.

Seven things on pictures that are in the repository, each drawn by hand as a polygon, with the parts
of it that are easily lost (wing tips, legs) and a few places where a person would click it. For
every click: the overlap with the thing (intersection over union), how much of it is in the
selection, of its parts, how much of the selection lies further than `NEAR` pixels outside of it,
and the processor's seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import selection

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES, REMOVALS = ROOT / "assets" / "examples", ROOT / "tests" / "data" / "removals"
NEAR = 4  # pixels around a thing that may be selected with it: its soft rim, its shadow's start
Points = Sequence[tuple[float, float]]
Mask = NDArray[np.bool_]
Select = Callable[[NDArray[np.uint8], tuple[float, float]], Mask]


@dataclass(frozen=True)
class Thing:
    """A thing in a picture: its outline, boxes (left, top, right, bottom) around its parts that are
    easily lost, and clicks; all in pixels of the picture."""

    picture: Path
    outline: Points
    parts: Sequence[tuple[float, float, float, float]]
    clicks: Points

    def opened(self) -> NDArray[np.uint8]:
        with Image.open(self.picture) as image:
            return np.asarray(image.convert("RGB"))

    def mask(self, shape: tuple[int, int]) -> Mask:
        fine = np.zeros((4 * shape[0], 4 * shape[1]), np.uint8)
        corners = np.rint(4 * np.array(self.outline)).astype(np.int32)
        cv2.fillPoly(fine, [corners], 255)
        small = cv2.resize(fine, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
        return np.asarray(small >= 128)


THINGS = {
    "airplane": Thing(
        EXAMPLES / "airplane.jpg",
        [(576, 57), (580, 53), (586, 50), (592, 49), (599, 51), (605, 56), (609, 63), (610, 70),
         (608, 77), (604, 82), (592, 93), (591.5, 96), (594, 107), (597, 117), (600, 115),
         (603, 115), (605, 118), (605, 121), (602, 125), (599, 128.5), (601, 137), (603, 150),
         (603.5, 155), (601, 160), (596, 162), (591, 161), (587, 157), (566.5, 118.5), (560, 126),
         (550, 135.5), (532, 150), (535, 160), (538, 172), (537, 177), (533, 179), (529, 178),
         (520, 169), (510, 158.5), (504, 164), (501, 166), (497, 165), (494, 162), (494, 158),
         (501, 150), (490, 139), (482, 131), (480, 127), (481, 123), (484, 121), (488, 121.5),
         (507, 127.5), (510, 127), (512, 125), (530, 107), (541, 94.5), (541, 93.5), (502, 72.5),
         (499, 69), (497.5, 65), (499, 60), (502, 57), (507, 56), (531, 61.5), (536, 56),
         (540, 54), (543.5, 55), (545, 58), (543, 63.5), (556, 67), (564, 69.5), (570, 63)],
        [(497, 55, 520, 80), (585, 140, 605, 163), (479, 120, 496, 136), (527, 160, 539, 180),
         (533, 53, 546, 64), (598, 114, 606, 128)],
        [(560, 95), (540, 120), (590, 65), (525, 68), (590, 130), (505, 155)],
    ),
    "hedgehog": Thing(
        EXAMPLES / "hedgehog.jpg",
        [(103, 284), (106, 280), (110, 278), (118, 274), (123, 271), (126, 265), (126.5, 258),
         (126, 245), (128, 242), (138, 241), (142, 236), (146, 230), (150, 228), (157, 228),
         (161, 222), (166, 216), (172, 215), (178, 216), (184, 214), (190, 207), (195, 204),
         (201, 206), (206, 208), (212, 207), (219, 203), (224, 201), (228, 203), (232, 208),
         (236, 212), (240, 213), (250, 213), (253.5, 214), (255.5, 218), (256, 229), (258, 233),
         (266, 239), (267, 242), (265, 247), (263, 256), (265, 261), (267, 266), (265, 274),
         (264, 279), (267, 287), (266, 290), (256, 298), (255.5, 326), (253, 327.5), (241, 327.5),
         (239, 325), (238, 309.5), (229.5, 309.5), (227, 325), (225, 327.5), (211, 327.5),
         (209, 325), (212, 309.5), (193.5, 309.5), (196.5, 325), (195, 327.5), (181, 327.5),
         (178.5, 325), (175, 309.5), (170, 309.5), (163, 325), (161, 327.5), (146, 327.5),
         (144, 325), (145, 321), (149.5, 310), (128, 309.5), (120, 307.5), (112, 303), (107, 297),
         (103, 290)],
        [(143, 311, 172, 329), (176, 311, 198, 329), (208, 311, 230, 329), (238, 311, 257, 329),
         (101, 278, 114, 294)],
        [(220, 250), (180, 230), (150, 285), (210, 303), (165, 255), (245, 315)],
    ),
    "penguin": Thing(
        EXAMPLES / "penguin.jpg",
        [(101, 250), (104, 240), (109, 230), (117, 223), (126, 219.5), (135, 218.5), (144, 219.5),
         (153, 224), (161, 231), (166, 240), (169, 250), (170, 258), (178, 268), (186, 280),
         (190, 290), (191, 296), (188, 300), (184, 302), (179, 300), (174, 297), (172, 304),
         (169.5, 311), (172, 318), (173.5, 328), (173, 330), (97, 330), (96.5, 328), (98, 320),
         (101, 311), (98, 305), (96.5, 298), (92, 300), (86, 302), (82, 300), (80, 296), (81, 290),
         (86, 279), (93, 268), (100, 259)],
        [(79, 285, 95, 303), (176, 285, 192, 303), (95, 312, 112, 331), (158, 312, 175, 331)],
        [(135, 290), (135, 225), (90, 285), (180, 285), (125, 240), (105, 322)],
    ),
    "fig": Thing(
        REMOVALS / "fig.jpg",
        [(265, 200), (268, 196), (272, 196), (280, 196), (300, 196), (312, 192), (325, 182),
         (340, 168), (352, 160), (365, 156), (380, 154.5), (395, 156), (408, 160), (420, 167),
         (432, 178), (440, 190), (446, 204), (448, 218), (446, 232), (442, 244), (438, 252),
         (435, 262), (431, 275), (425, 290), (418, 303), (408, 313), (395, 320), (380, 323),
         (366, 322), (352, 315), (338, 304), (325, 292), (315, 280), (308, 265), (304, 248),
         (302, 232), (300, 220), (296, 213), (285, 211), (268, 212), (265, 206)],
        [(264, 194, 300, 214)],
        [(370, 230), (400, 190), (312, 235), (425, 250), (340, 280)],
    ),
    "rock": Thing(
        REMOVALS / "surf-rock.jpg",
        [(330, 270), (328, 262), (330, 250), (330, 242), (336, 238), (339, 232), (337, 226),
         (340, 219), (348, 215), (358, 212), (365, 203), (372, 195), (378, 191), (375, 184),
         (377, 178), (383, 174), (393, 172), (400, 167), (407, 166), (408, 158), (414, 154),
         (418, 149), (424, 146.5), (430, 149), (435, 154), (436, 158), (442, 160), (450, 164),
         (456, 166), (460, 172), (467, 180), (473, 189), (478, 199), (480, 210), (482, 220),
         (484, 230), (484, 238), (478, 247), (465, 240), (456, 242), (462, 262), (455, 266),
         (448, 276), (430, 274), (415, 275), (400, 274), (385, 271), (370, 272), (355, 268),
         (340, 273), (335, 278), (322, 281), (316, 280), (325, 274)],
        [(406, 146, 437, 162), (328, 240, 345, 266)],
        [(420, 200), (375, 230), (470, 210), (345, 250), (425, 155)],
    ),
    "bottle": Thing(
        REMOVALS / "bottle.jpg",
        [(207, 76), (214, 76), (215.5, 90), (216, 118), (222, 128), (225, 135), (225, 208),
         (222, 211), (212, 212.5), (200, 210), (198, 207), (198, 135), (201, 128), (206, 120),
         (206.5, 90)],
        [(205, 75, 217, 118), (197, 195, 226, 213)],
        [(205, 135), (210, 170), (205, 200), (209, 105)],
    ),
    "bird": Thing(
        REMOVALS / "shore-bird.jpg",
        [(352, 270), (357, 268), (361, 267.5), (363, 266.5), (365, 267.5), (364, 270), (361.5, 272),
         (363.5, 277), (361, 281.5), (360, 281), (362, 277), (360, 272.5), (356.5, 272.5),
         (355.5, 276.5), (356.5, 281.5), (355, 281), (354.2, 276), (355, 272), (352, 271)],
        [(353, 273, 364, 282)],
        [(358, 270), (355, 270)],
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """How well one click did, parts of 1; ``seconds`` of the processor
    it took."""

    overlap: float
    whole: float
    least: float  # of the worst of its parts
    spill: float
    seconds: float


def measured(thing: Thing, select: Select) -> Iterator[tuple[tuple[float, float], Mask, Found]]:
    """Each click, what it selects and how well."""
    picture = thing.opened()
    height, width = picture.shape[:2]
    mask = thing.mask((height, width))
    near = cv2.dilate(mask.astype(np.uint8), np.ones((2 * NEAR + 1,) * 2, np.uint8)) > 0
    for x, y in thing.clicks:
        began = time.process_time()
        found = select(picture, (x / width, y / height))
        seconds = time.process_time() - began
        least = 1.0
        for left, top, right, bottom in thing.parts:
            part = np.zeros_like(mask)
            part[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = True
            part &= mask
            least = min(least, float((found & part).sum() / part.sum()))
        both = float((found & mask).sum())
        yield (x, y), found, Found(
            overlap=both / float((found | mask).sum()), whole=both / float(mask.sum()),
            least=least, spill=float((found & ~near).sum() / max(found.sum(), 1)), seconds=seconds,
        )  # fmt: skip


def main(select: Select = selection.thing_at) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path, help="a picture of what each click selected")
    parser.add_argument("--clicks", action="store_true", help="a line for each click")
    asked = parser.parse_args()
    head = f"{'thing':10}{'clicks':>7}{'IoU':>7}{'least':>7}{'whole':>7}{'part':>7}{'spill':>7}"
    print(f"{head}{'longest':>9}")
    every, tiles = [], []
    for name, thing in THINGS.items():
        results = list(measured(thing, select))
        found = [each for _, _, each in results]
        every += found
        print(_row(name, found))
        if asked.clicks:
            for place, _, each in results:
                print(_row(f"  {place[0]:.0f},{place[1]:.0f}", [each]))
        if asked.sheet:
            tiles.append([_drawn(thing, mask, place) for place, mask, _ in results])
    print(_row("all", every))
    if asked.sheet:
        most = max(map(len, tiles))
        blank = np.full_like(tiles[0][0], 255)
        rows = [np.hstack([*row, *[blank] * (most - len(row))]) for row in tiles]
        Image.fromarray(np.vstack(rows)).save(asked.sheet)


def _row(name: str, found: Sequence[Found]) -> str:
    overlap = [each.overlap for each in found]
    return (
        f"{name:10}{len(found):7}{np.mean(overlap):7.3f}{min(overlap):7.3f}"
        f"{np.mean([each.whole for each in found]):7.3f}{min(each.least for each in found):7.3f}"
        f"{np.mean([each.spill for each in found]):7.3f}{max(each.seconds for each in found):8.2f}s"
    )


def _drawn(thing: Thing, found: Mask, place: tuple[float, float], side: int = 220) -> Mask:
    """The picture around the thing, what is selected in pink, its outline green."""
    picture = thing.opened().copy()
    picture[found] = (0.45 * picture[found] + 0.55 * np.array([255, 45, 120])).astype(np.uint8)
    corners = np.rint(np.array(thing.outline)).astype(np.int32)
    cv2.polylines(picture, [corners], True, (0, 255, 0))
    cv2.circle(picture, (int(place[0]), int(place[1])), 3, (255, 255, 0), -1)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    reach = int(0.75 * max(x1 - x0, y1 - y0)) + 8
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)))
    return np.asarray(cv2.resize(padded[y : y + 2 * reach, x : x + 2 * reach], (side, side)))


if __name__ == "__main__":
    main()
