"""The live preview: the first variation while that is quick, the others while they cost little."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from app.clock import Clock
from app.painter import Ladder
from app.screens import of_step
from engine.serving.live import SHARE, Live


@dataclass
class Watch:
    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Slow:
    """A step whose previews take ``each`` seconds, on the watch."""

    watch: Watch
    name: int
    each: float = 1
    asked: list[int | None] = field(default_factory=list)
    short: bool = False
    scale: int = 1
    index: int = 0
    frame: int = 0
    frames: int = 1
    drawn: bool = False

    def previews(self, count: int | None = None) -> list[Image.Image]:
        self.asked.append(count)
        made = 0 if self.short else 4 if count is None else count
        self.watch.time += made * self.each
        return [Image.new("L", (1, 1), self.name) for _ in range(made)]


def names(pictures: list[Image.Image]) -> list[int]:
    return [picture.getpixel((0, 0)) for picture in pictures]


def test_other_variations_wait_until_previews_have_become_cheap_again() -> None:
    watch = Watch()
    live = Live(watch)
    watch.time += 1
    assert names(live.pictures(Slow(watch, 1, each=0.2))) == [1, 1, 1, 1]  # 0.8 of 1.8 seconds
    watch.time += 0.1
    assert names(live.pictures(Slow(watch, 2, each=0.2))) == [2, 1, 1, 1]
    watch.time += 5 / SHARE
    assert names(live.pictures(Slow(watch, 3))) == [3, 3, 3, 3]


def test_a_slow_picture_waits_until_it_takes_a_small_part_of_the_run() -> None:
    watch, ladder = Watch(), Ladder()
    live, steps = Live(watch), [Slow(watch, name, scale=name, index=name - 1) for name in (1, 2, 3)]
    screens = []
    for step, passed in zip(steps, (1, 1, 5 / SHARE), strict=True):
        watch.time += passed
        screens.append(of_step(step, (1, 2, 3), ladder, Clock((1, 2, 3)), live))
    assert [step.asked for step in steps] == [[None], [], [None]]
    assert "Scale 2 of 3" in screens[1]["status"]
    first, second, third = ladder.rungs
    assert second == third != first


def test_what_is_drawn_is_looked_at_though_the_decoder_is_slow() -> None:
    watch = Watch()
    live = Live(watch)
    watch.time += 1
    assert names(live.pictures(Slow(watch, 1))) == [1, 1, 1, 1]
    assert names(live.pictures(Slow(watch, 2))) == [1, 1, 1, 1] and not live.fresh
    assert names(live.pictures(Slow(watch, 3, drawn=True, each=0.01))) == [3, 1, 1, 1]
    assert names(live.pictures(Slow(watch, 4))) == [3, 1, 1, 1], "no other is any quicker for it"


def test_a_preview_that_memory_is_too_short_for_leaves_what_is_shown() -> None:
    watch = Watch()
    live = Live(watch)
    assert live.pictures(Slow(watch, 1, short=True)) == []
    assert names(live.pictures(Slow(watch, 2))) == [2, 2, 2, 2]
    for later in (0, 100):  # affordable or not
        watch.time += later
        assert names(live.pictures(Slow(watch, 3, short=True))) == [2, 2, 2, 2]


def test_a_page_without_a_preview_says_how_far_the_run_is() -> None:
    watch, ladder = Watch(), Ladder()
    screen = of_step(Slow(watch, 1, short=True), (1, 2), ladder, Clock((1, 2)), Live(watch))
    assert "Scale 1 of 2" in screen["status"] and "value" not in screen["preview"]
    assert ladder.rungs == ()
    later = Slow(watch, 2, scale=2, index=1)
    screen = of_step(later, (1, 2), ladder, Clock((1, 2)), Live(watch))
    assert len(ladder.rungs) == 2 and "Variation 1" in screen["preview"]["value"]


def test_a_glance_leaves_what_is_shown_and_is_left_out_where_it_takes_too_much() -> None:
    watch = Watch()
    live = Live(watch)
    watch.time += 4
    assert names(live.pictures(Slow(watch, 1, each=0.2))) == [1, 1, 1, 1]
    earlier = Slow(watch, 2)
    glance = live.glance(earlier)
    assert glance is not None and names([glance]) == [2] and earlier.asked == [1]
    assert live.glance(earlier) is None and earlier.asked == [1], "it took a second"
    assert names(live.pictures(Slow(watch, 3))) == [1, 1, 1, 1]


def test_a_page_is_given_a_few_pictures_a_second() -> None:
    watch = Watch()
    live, drawn = Live(watch), []
    for tick in range(20):
        watch.time = tick / 20
        drawn.append(live.due())
    assert drawn[0] and sum(drawn) == 4
