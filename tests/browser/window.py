"""The window as its user sees it. Waits for what is shown, never for time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.chromium import Chromium

PATIENCE = 60_000  # milliseconds
HARMLESS = (
    "Failed to load resource",
    "ResizeObserver loop",  # the browser puts off to the next frame what this one had no time for
)
TRIES = 5
LOOK = 150  # milliseconds between two looks at a field
STAYS = """([name, value]) => {
  const field = document.querySelector(`#${name} input, #${name} textarea`);
  if (field?.value !== value) return "gone";
  const kept = JSON.parse(sessionStorage.getItem("varpaint-fields") ?? "{}")[name];
  field.looks = String(kept) === value ? (field.looks ?? 0) + 1 : 0;
  return field.looks > 1 && "stays";
}"""
LEFT = (
    "signal is aborted without reason", "BodyStreamBuffer was aborted", "Connection errored out",
)  # fmt: skip


class Window:
    """One browser window on one server."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console", lambda said: self.errors.append(said.text) if said.type == "error" else None
        )

    @classmethod
    @contextmanager
    def open(
        cls,
        browser: Chromium,
        url: str,
        size: tuple[int, int] = (1120, 620),
        *,
        touch: bool = False,
        scale: float = 1,
    ) -> Iterator[Window]:
        """A new window with cookies and storage of its own; small, for without a GPU every pixel
        of the canvas costs. ``scale`` is the screen's pixels a CSS pixel."""
        with browser.tab(url, size, touch=touch, scale=scale) as page:
            window = cls(page)
            page.goto(url)
            window.wait_for_canvas()
            page.wait_for_function("document.querySelector('#model input')?.value === 'tiny'")
            yield window

    @contextmanager
    def beside(self) -> Iterator[Window]:
        """Another window of the same browser: cookies and local storage are the same."""
        page = self.page.context.new_page()
        window = Window(page)
        try:
            page.goto(self.page.url)
            window.wait_for_canvas()
            page.wait_for_function("document.querySelector('#model input')?.value === 'tiny'")
            yield window
        finally:
            page.close()

    def reload(self) -> None:
        """Refresh the page and wait until the picture is on the canvas again."""
        before = self.version
        self.page.reload()
        self.wait_for_canvas(before + 1)
        self.page.wait_for_function("document.querySelector('#model input')?.value === 'tiny'")
        self.forget_the_page_left()

    def forget_the_page_left(self) -> None:
        """After a refresh: Gradio complains of the connections that the old page had open."""
        self.errors = [text for text in self.errors if not any(known in text for known in LEFT)]

    def expect_no_errors(self) -> None:
        bad = [text for text in self.errors if not any(known in text for known in HARMLESS)]
        assert not bad, bad

    # ---- waiting ----------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Which picture is on the canvas: counts up with each."""
        found = self.page.evaluate("document.querySelector('#facts')?.dataset.version ?? '0'")
        return int(found)

    def wait_for_canvas(self, version: int = 0) -> None:
        """Until the canvas holds that picture and can be painted on."""
        self.page.wait_for_selector(f'#canvas[data-ready="{version}"]')

    def wait_for_count(self, selector: str, count: int) -> None:
        """Until there are so many: what one answer of the server changes is not on the page all at
        once, and a gallery that was hidden comes later than the status line."""
        self.page.wait_for_function(
            "([selector, count]) => document.querySelectorAll(selector).length === count",
            arg=[selector, count],
        )

    def wait_for_results(self, count: int) -> list[str]:
        """The captions of the variations, once there are so many."""
        self.wait_for_count("#results .thumbnail-item", count)
        return self.page.locator("#results .caption-label").all_inner_texts()

    def wait_for_text(self, selector: str, text: str) -> None:
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText === text",
            arg=[selector, text],
        )

    def wait_for_rest(self) -> None:
        """Until the picture on the canvas moves no more: zooming is animated."""
        self.page.evaluate(
            """() => new Promise((done) => {
                let last = "", still = 0;
                const look = () => {
                    const e = window.editor, p = e.image_container.position;
                    const now = `${p.x} ${p.y} ${e.image_container.scale.x} ${e.scale_value}`;
                    still = now === last ? still + 1 : 0;
                    last = now;
                    if (still >= 8) done(); else requestAnimationFrame(look);
                };
                look();
            })"""
        )

    def wait_for_status(self, words: str) -> str:
        """Until the status line has these words and was not there when Run was pressed."""
        from playwright.sync_api import TimeoutError as Late

        shown = "words => document.querySelector('#status .line:not([data-old])')"
        shown += "?.innerText.includes(words)"
        try:
            self.page.wait_for_function(shown, arg=words)
        except Late:
            raise AssertionError(f"waited for {words!r}, saw {self.status!r}") from None
        return self.status

    @property
    def status(self) -> str:
        return self.page.inner_text("#status .line")

    def is_in_sight(self, selector: str) -> bool:
        """Whether all of it is on the screen without scrolling, and nothing covers its middle."""
        inside = self.page.evaluate(
            """(selector) => {
                const box = document.querySelector(selector).getBoundingClientRect();
                return box.width > 0 && box.left >= 0 && box.top >= 0
                    && box.right <= innerWidth + 0.5 && box.bottom <= innerHeight + 0.5;
            }""",
            selector,
        )
        return bool(inside) and self.is_in_reach(selector)

    def scroll_to(self, selector: str) -> None:
        """Bring it to the middle of what scrolls."""
        self.page.evaluate(
            "name => document.querySelector(name).scrollIntoView({block: 'center'})", selector
        )

    def is_in_reach(self, selector: str) -> bool:
        """Whether nothing covers the middle of it."""
        return bool(
            self.page.evaluate(
                """(selector) => {
                    const aim = document.querySelector(selector), box = aim.getBoundingClientRect();
                    const there = document.elementFromPoint(
                        box.left + box.width / 2, box.top + box.height / 2);
                    return aim.contains(there);
                }""",
                selector,
            )
        )

    # ---- acting -----------------------------------------------------------------------------

    def open_picture(self, path: Path) -> None:
        """Through the canvas's own file chooser."""
        before = self.version
        self.choose_file("[aria-label*='Click to upload or drop files']", path)
        self.wait_for_canvas(before + 1)

    def choose_file(self, opener: str, path: Path) -> None:
        """Click what opens a file chooser, and choose the file."""
        with self.page.expect_file_chooser() as chooser:
            self.page.click(opener)
        chooser.value.set_files(path)

    def stroke(self, *points: tuple[float, float]) -> None:
        """Draw through points given as parts of the picture's width and height."""
        places = [self.place(*point) for point in points]
        mouse = self.page.mouse
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place, steps=6)
        mouse.up()

    def tool(self, name: str) -> None:
        """Choose a tool of the rail by its name."""
        self.page.click(f"#rail [data-tool={name}]")
        self.page.wait_for_selector(f"#rail [data-tool={name}][aria-pressed=true]")

    def mask(self) -> NDArray[np.bool_]:
        """What is painted, (H, W) of the picture, by way of the export."""
        from engine.picture.files import open_image

        if not self.page.is_visible("#export-mask"):  # a small screen
            self.page.click("#more-mask")
        return np.asarray(open_image(self.download("#export-mask"))) > 0

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a part of the picture is on the screen."""
        return tuple(
            self.page.evaluate(
                """([x, y]) => {
                    const e = window.editor;
                    const box = document.querySelector('#canvas .pixi-target canvas')
                        .getBoundingClientRect();
                    return [box.left + e.image_container.position.x + x * e.width * e.scale_value,
                            box.top + e.image_container.position.y + y * e.height * e.scale_value];
                }""",
                [x, y],
            )
        )

    def task(self, title: str) -> None:
        self.page.locator("#task label", has_text=title).click()
        self.page.wait_for_function(
            "title => document.querySelector('#task label.selected')?.innerText.trim() === title",
            arg=title,
        )

    def choose_label(self, name: str) -> None:
        """Search the class list as a user does."""
        self.page.locator("#label input").click()
        self.page.wait_for_function(
            "(f => f.selectionEnd - f.selectionStart === f.value.length)"
            "(document.querySelector('#label input'))"
        )
        self.page.keyboard.type(name)  # it replaces what was chosen
        self.page.get_by_role("option", name=name, exact=True).click()

    def fill(self, name: str, value: str) -> None:
        """Type into one of the form's fields. To one that a fold has just brought, Gradio gives its
        first value a moment later: what that takes away is typed again, as a hand would."""
        field = self.page.locator(f"#{name} input, #{name} textarea").first
        for _ in range(TRIES):
            field.fill(value)
            field.press("Tab")
            seen = self.page.wait_for_function(STAYS, arg=[name, value], polling=LOOK)
            if seen.json_value() == "stays":
                return
        raise AssertionError(f"{name} does not take {value!r}")

    def set_variations(self, count: int) -> None:
        field = self.page.locator("#variations input[type=number]")
        field.fill(str(count))
        field.press("Tab")

    def run(self, words: str = "Done") -> str:
        """Press Run and wait until the status line says so; that of the last run is not meant."""
        self.page.wait_for_selector("#run:not([disabled])")
        self.page.evaluate("document.querySelector('#status .line').dataset.old = ''")
        self.page.click("#run")
        return self.wait_for_status(words)

    def wait_for_reason(self, words: str) -> None:
        """Until Run rests, and says why beside it."""
        self.page.wait_for_function(
            "words => document.querySelector('#run:disabled')?.dataset.why.includes(words)",
            arg=words,
        )

    def change_mask(self, selector: str) -> None:
        """Press a button that changes the mask, and wait until it has."""
        before = self.page.get_attribute("#easel", "data-stamped")
        self.page.click(selector)
        self.wait_for_stamp(before)

    def wait_for_stamp(self, before: str | None) -> None:
        """Until another shape than that is on the mask."""
        self.page.wait_for_function(
            "before => document.querySelector('#easel').dataset.stamped !== (before ?? undefined)",
            arg=before,
        )

    def press_and_wait(self, selector: str) -> None:
        """Press a button that puts another picture, or mask, on the canvas."""
        before = self.version
        self.page.click(selector)
        self.wait_for_canvas(before + 1)

    def choose(self, index: int) -> None:
        """Pick a variation from the gallery."""
        self.page.locator("#results button").nth(index).click()
        self.page.wait_for_function(
            "i => document.querySelectorAll('#results .thumbnail-item')[i]"
            "?.classList.contains('selected')",
            arg=index,
        )

    def download(self, selector: str = "#download") -> Path:
        with self.page.expect_download() as event:
            self.page.click(selector)
        path = Path(str(event.value.path()))
        named = path.with_name(event.value.suggested_filename)
        path.rename(named)
        return named

    def record_scales(self) -> None:
        """From now on remember how many scales the preview showed."""
        self.page.evaluate(
            """() => {
                window.seenScales = [];
                new MutationObserver(() => {
                    const shown = document.querySelectorAll('#preview .scales img').length;
                    if (window.seenScales.at(-1) !== shown) window.seenScales.push(shown);
                }).observe(document.querySelector('#form'),
                           {subtree: true, childList: true, attributes: true});
            }"""
        )

    def seen_scales(self) -> list[int]:
        return json.loads(self.page.evaluate("JSON.stringify(window.seenScales)"))
