"""A real Chromium, whose tabs are lent to one test after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.browser.window import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

REST = "at-rest"  # a page that no server has
FORGET = """async () => {
    localStorage.clear();
    const gone = ({name}) => new Promise((done, fail) => {
        const asked = indexedDB.deleteDatabase(name);
        [asked.onsuccess, asked.onerror, asked.onblocked] = [done, fail, fail];
    });
    await Promise.all((await indexedDB.databases()).map(gone));
}"""


class Chromium:
    """A browser that lends its contexts to one test after the other. A tab of a context that has
    shown the page before shows it in half the time: the window stands already, and its process has
    the scripts compiled. Nothing of one test is left for the next: its tab is a new one, so that
    ``sessionStorage`` is empty, and cookies and what else a page keeps are cleared."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._spare: dict[tuple[bool, float], list[BrowserContext]] = {}
        self.new_context = browser.new_context  # for who wants one of its own

    @contextmanager
    def tab(
        self, url: str, size: tuple[int, int], *, touch: bool, scale: float
    ) -> Iterator[Page]:
        """A blank tab for that server; its context is lent again unless the test fails."""
        spare = self._spare.setdefault((touch, scale), [])
        context = spare.pop() if spare else self._made(size, touch, scale)
        try:
            rest, *_ = context.pages
            if not rest.url.startswith(f"{url}/"):
                rest.goto(f"{url}/{REST}")
            rest.evaluate(FORGET)
            context.clear_cookies()
            page = context.new_page()
            page.set_viewport_size({"width": size[0], "height": size[1]})
            yield page
            for each in context.pages[1:]:
                each.goto("about:blank")  # what it remembers as it goes comes before it is cleared
                each.close()
        except BaseException:
            context.close()
            raise
        spare.append(context)

    def _made(self, size: tuple[int, int], touch: bool, scale: float) -> BrowserContext:
        """A context; its first tab rests at an empty page of the server, and keeps the process."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce",
            has_touch=touch, device_scale_factor=scale,
        )  # fmt: skip
        context.set_default_timeout(PATIENCE)
        context.new_page().route(f"**/{REST}", lambda route: route.fulfill(body="<!doctype html>",
                                 content_type="text/html"))  # fmt: skip
        return context
