"""Sessions that come back: by their key only, each window with its own from then on."""

from __future__ import annotations

from PIL import Image

from app.session import Session
from app.store import FRESH, Store


def opened(session: Session, colour: str) -> Session:
    return session.opened(Image.new("RGB", (4, 3), colour), f"{colour}.png")


def test_a_window_that_comes_back_finds_its_work_under_a_new_key() -> None:
    store = Store()
    first = opened(store.begun("", Session()), "red")
    store.put(first)
    back = store.begun(first.key, Session())
    assert back.key != first.key and back.moments == first.moments


def test_two_windows_with_one_past_go_their_own_ways() -> None:
    store = Store()
    first = opened(store.begun("", Session()), "red")
    store.put(first)
    one, two = store.begun(first.key, Session()), store.begun(first.key, Session())
    store.put(opened(one, "green"))
    store.put(opened(two, "blue"))
    assert [m.caption for m in store.latest(one).moments] == ["Opened red.png", "Opened green.png"]
    assert [m.caption for m in store.latest(two).moments] == ["Opened red.png", "Opened blue.png"]
    assert len(store.latest(first).moments) == 1


def test_a_key_that_is_not_known_begins_anew() -> None:
    store = Store()
    fresh = store.begun("guessed", Session())
    assert fresh.key not in ("", "guessed") and not fresh.moments
    assert store.latest(fresh) is fresh


def test_the_oldest_and_the_old_are_forgotten() -> None:
    now = [0.0]
    store = Store(kept=2, age=100, now=lambda: now[0])
    sessions = [opened(store.begun("", Session()), "red") for _ in range(3)]
    for session in sessions:
        store.put(session)
    assert not store.begun(sessions[0].key, Session()).moments
    store = Store(kept=9, age=100, now=lambda: now[0])
    store.put(sessions[0])
    now[0] = 60.0
    store.put(sessions[1])
    now[0] = 120.0
    store.put(sessions[2])
    assert not store.begun(sessions[0].key, Session()).moments
    assert store.begun(sessions[1].key, Session()).moments


def test_a_session_without_a_key_is_not_kept() -> None:
    store = Store()
    session = opened(Session(), "red")
    store.put(session)
    assert not store.begun("", Session()).moments


def test_page_loads_of_others_take_nobodys_work_away() -> None:
    store = Store(kept=2)
    mine = opened(store.begun("", Session()), "red")
    store.put(mine)
    for _ in range(FRESH + 50):
        store.put(store.begun("", Session()))
    assert store.latest(Session(key=mine.key)).moments == mine.moments
    fresh = [store.begun("", Session()) for _ in range(FRESH + 1)]
    assert len({session.key for session in fresh}) == FRESH + 1
    assert store.latest(Session(key=fresh[-1].key)) is fresh[-1]
