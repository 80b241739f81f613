"""The live preview always shows the first variation, and the others while they cost little."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from app.live import SHARE, Live


@dataclass
class Watch:
    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Slow:
    """A step whose previews take a second each, on the watch."""

    watch: Watch
    name: int
    result: object | None = None
    asked: list[int | None] = field(default_factory=list)

    def previews(self, count: int | None = None) -> list[Image.Image]:
        self.asked.append(count)
        made = 4 if count is None else count
        self.watch.time += made
        return [Image.new("L", (1, 1), self.name) for _ in range(made)]


def names(pictures: list[Image.Image]) -> list[int]:
    return [picture.getpixel((0, 0)) for picture in pictures]


def test_other_variations_wait_until_previews_have_become_cheap_again() -> None:
    watch = Watch()
    live = Live(watch)
    watch.time += 1
    assert names(live.pictures(Slow(watch, 1))) == [1, 1, 1, 1]  # 4 of 5 seconds
    watch.time += 1
    assert names(live.pictures(Slow(watch, 2))) == [2, 1, 1, 1]
    watch.time += 5 / SHARE
    assert names(live.pictures(Slow(watch, 3))) == [3, 3, 3, 3]


def test_one_picture_of_the_result_is_enough() -> None:
    watch = Watch()
    step = Slow(watch, 1, result=object())
    assert names(Live(watch).pictures(step)) == [1]
    assert step.asked == [1]
