"""Models from the window: their dialog, against a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.weights.saving import save_model
from tests.app.server import serving
from tests.browser.chromium import Chromium
from tests.browser.test_axe import AXE, violations
from tests.browser.window import Window
from tests.hub import Hub, serve
from tests.tiny import LABELS, tiny_var, tiny_vqvae

pytestmark = pytest.mark.browser

SIZE = 3 << 20
ENTRY = "#models .entry[data-name={}]"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve(Hub({"vae_ch160v4096z32.pth": bytes(1 << 16), "var_d16.pth": bytes(SIZE)})) as it:
        yield it


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_model(folder / "birds", tiny_vqvae(), tiny_var(), labels=LABELS, about="Two birds.")
    return folder


@pytest.fixture(scope="module")
def shop(
    tiny_model_folder: Path, hub: Hub, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server whose models come from the hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("VARPAINT_WEIGHTS", str(weights))
        with serving(tiny_model_folder, tmp_path_factory.mktemp("shop") / "log.txt") as url:
            yield url


@pytest.fixture
def window(chromium: Chromium, shop: str, hub: Hub) -> Iterator[Window]:
    hub.rate, hub.corrupt = 0, False
    with Window.open(chromium, shop, (1280, 720)) as window:
        yield window
        window.expect_no_errors()


def entry(window: Window, name: str, words: str) -> None:
    """Until a model's entry says so."""
    window.page.wait_for_function(
        "([name, words]) => document.querySelector(name)?.innerText.includes(words)",
        arg=[ENTRY.format(name), words],
    )


def press(window: Window, name: str, what: str) -> None:
    window.page.click(f"{ENTRY.format(name)} [data-do={what}]:visible")


def choose(window: Window, text: str) -> None:
    """One of the list at the head."""
    window.page.click("#model input")
    window.page.get_by_role("option", name=text, exact=True).click()


def test_a_model_that_is_not_here_opens_the_dialog_at_it_and_the_one_in_use_stays(
    window: Window,
) -> None:
    page = window.page
    choose(window, "VAR d30, 256 px · not here yet")
    page.wait_for_selector("#models[open]")
    page.wait_for_selector(f"{ENTRY.format('var-d30')}.aim")
    assert window.is_in_sight(ENTRY.format("var-d30"))
    assert page.locator(".toast-body").count() == 0, "no error, and none twice"
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('#model input').value === 'tiny'")
    choose(window, "VAR d30, 256 px · not here yet")  # once more
    page.wait_for_selector("#models[open]")
    page.click("#models .close")
    page.click("#model-note .note")
    page.wait_for_selector("#models[open]")
    assert page.evaluate("document.querySelector('#models .list').scrollTop") == 0
    assert "MIT" in page.inner_text(ENTRY.format("var-d16"))
    assert "non-commercial" in page.inner_text(ENTRY.format("hmar-d16") + " dd.limited")
    assert "of disk" in page.inner_text("#models .room")


def test_a_model_is_got_paused_over_a_refresh_gone_on_with_and_removed(
    window: Window, hub: Hub, weights: Path
) -> None:
    page, name = window.page, ENTRY.format("var-d16")
    hub.rate = SIZE // 40
    page.click("#model-note .note")
    press(window, "var-d16", "get")
    entry(window, "var-d16", "left")
    assert page.locator(f"{name} [role=progressbar]").get_attribute("aria-valuenow") is not None
    page.wait_for_function("document.querySelector('#model-note b').innerText.includes('VAR d16')")
    press(window, "var-d16", "pause")
    entry(window, "var-d16", "Paused at")
    page.wait_for_function("document.querySelector('#model-note b').innerText === ''")

    page.reload()
    window.forget_the_page_left()
    window.wait_for_canvas()
    page.click("#model-note .note")
    entry(window, "var-d16", "Paused at")
    press(window, "var-d16", "get")
    entry(window, "var-d16", "left")

    page.reload()  # while it comes
    window.forget_the_page_left()
    window.wait_for_canvas()
    page.click("#model-note .note")
    entry(window, "var-d16", "Pause")
    hub.rate = 0
    entry(window, "var-d16", "Use")
    window.wait_for_status("VAR d16, 256 px is here")
    assert (weights / "var_d16.pth.sha256").exists()

    press(window, "var-d16", "use")  # it is not even a checkpoint
    page.wait_for_selector(f"{name} .refusal:not(:empty)")
    assert str(weights) not in page.inner_text(f"{name} .refusal")
    assert page.input_value("#model input") == "tiny"

    press(window, "var-d16", "ask")
    page.wait_for_selector(f"{name}.asking")
    page.wait_for_timeout(1500)  # a look at the state does not take the question away
    press(window, "var-d16", "keep")
    assert (weights / "var_d16.pth").exists()
    press(window, "var-d16", "ask")
    press(window, "var-d16", "remove")
    entry(window, "var-d16", "Get, 1.7 GB")
    assert not list(weights.glob("v*"))
    page.click("#models .close")
    page.click("#model input")
    page.get_by_role("option", name="VAR d16, 256 px · not here yet", exact=True).wait_for()
    page.keyboard.press("Escape")


def test_a_press_is_heard_though_a_look_comes_with_it(window: Window, hub: Hub) -> None:
    hub.rate = SIZE // 40
    window.page.click("#model-note .note")
    window.page.evaluate(
        """(get) => {
            document.querySelector(get).click();
            document.querySelector("#model-note .note").click(); // opens, and looks
        }""",
        f"{ENTRY.format('var-d16')} [data-do=get]",
    )
    entry(window, "var-d16", "left")
    press(window, "var-d16", "pause")
    entry(window, "var-d16", "Paused at")
    press(window, "var-d16", "ask")
    press(window, "var-d16", "remove")
    entry(window, "var-d16", "Get, 1.7 GB")


def test_a_download_that_fails_says_why_and_is_tried_again(window: Window, hub: Hub) -> None:
    hub.corrupt = True
    window.page.click("#model-note .note")
    press(window, "var-d16", "get")
    entry(window, "var-d16", "SHA-256")
    hub.corrupt = False
    press(window, "var-d16", "get")
    entry(window, "var-d16", "Use")
    press(window, "var-d16", "ask")
    press(window, "var-d16", "remove")
    entry(window, "var-d16", "Get")


def test_a_model_is_used_from_the_dialog_and_one_of_ones_own_is_not_removed(
    window: Window,
) -> None:
    page = window.page
    page.click("#model-note .note")
    assert page.locator(f"{ENTRY.format('birds')} [data-do=ask]").count() == 0
    press(window, "birds", "use")
    page.wait_for_function("document.querySelector('#model input').value === 'birds'")
    page.wait_for_selector("#models", state="hidden")
    window.wait_for_status("birds is ready")
    page.click("#model-note .note")
    entry(window, "birds", "In use")


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_the_dialog_is_accessible_and_in_reach(
    chromium: Chromium, shop: str, hub: Hub, size: tuple[int, int]
) -> None:
    hub.rate = SIZE // 60
    with Window.open(chromium, shop, size) as window:
        page = window.page
        page.evaluate(AXE)
        page.click("#model-note .note")
        press(window, "var-d16", "get")
        entry(window, "var-d16", "Pause")
        assert window.is_in_sight("#models .close")
        assert page.evaluate("document.querySelector('#models').scrollWidth <= innerWidth")
        assert not violations(window), "while one comes"
        press(window, "var-d16", "pause")
        entry(window, "var-d16", "Paused at")
        press(window, "var-d16", "ask")
        assert not violations(window), "asked whether to remove it"
        page.evaluate("document.querySelector('#theme').click()")
        page.wait_for_selector("body.dark", state="attached")
        assert not violations(window), "dark"
        press(window, "var-d16", "remove")
        entry(window, "var-d16", "Get")
        page.evaluate("document.querySelector('#theme').click()")


def test_who_opens_the_bundled_model_is_told_what_it_can_do_until_that_is_closed(
    chromium: Chromium, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VARPAINT_WEIGHTS", str(weights))
    with serving("bundled", tmp_path / "log.txt", "--no-downloads") as url:
        context = chromium.new_context(viewport={"width": 390, "height": 844})
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("#first-run .first span:not(:empty)")
        text = page.inner_text("#first-run")
        assert "looks like a sticker" in text and "1.6 GB" in text
        page.evaluate(AXE)
        found = page.evaluate("axe.run('#first-run').then((r) => r.violations.map((v) => v.id))")
        assert not found
        page.click("#first-run .get")
        page.wait_for_selector("#models[open]")
        assert page.locator("#models [data-do=get]").count() == 0
        assert "models download var-d16" in page.inner_text(ENTRY.format("var-d16"))
        page.click("#models .close")
        page.click("#first-run .close")
        page.wait_for_selector("#first-run", state="hidden")
        page.reload()
        page.wait_for_selector("#shelf", state="attached")
        page.wait_for_function("document.querySelectorAll('#models .entry').length > 3")
        assert not page.is_visible("#first-run")
        context.close()
