"""What files are called outside: names that come back as what they stand for, and tell nothing."""

from __future__ import annotations

import itertools
import json
import tempfile

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.aliases import OUTSIDE
from app.folder import PREFIX
from app.rewritten import Replaced
from engine.picture.files import encode_png, open_image


@given(st.text("/ab", max_size=40), st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_it_does_not_matter_into_which_pieces_a_text_is_cut(
    text: str, cuts: list[int], longer: bool
) -> None:
    found = ["/aab", "/aa/b"] if longer else ["/aab"]
    whole = text
    for each in sorted(found, key=len, reverse=True):
        whole = whole.replace(each, "X")
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    stream = Replaced([each.encode() for each in found], b"X")
    pieces = [
        stream.feed(text[begin:end].encode(), last=end == ends[-1] and at == len(ends) - 2)
        for at, (begin, end) in enumerate(itertools.pairwise(ends))
    ]
    assert b"".join(pieces).decode() == whole


def test_an_event_is_sent_at_once_and_nothing_of_it_waits() -> None:
    stream = Replaced([b"/srv/secret"], b"/x")
    assert stream.feed(b'data: "/srv/secret/a.png"\n\n', last=False) == b'data: "/x/a.png"\n\n'


def test_no_answer_of_a_real_server_names_its_folders(server: str) -> None:
    api, secrets = f"{server}/gradio_api", (tempfile.gettempdir(), PREFIX, "site-packages")
    said = []

    def told(answer: httpx.Response) -> httpx.Response:
        said.append(answer.text)
        return answer

    data = encode_png(Image.new("RGB", (40, 32), "teal"))
    (name,) = told(httpx.post(f"{api}/upload", files={"files": ("a b.png", data)})).json()
    assert name.startswith(f"{OUTSIDE}/") and name.endswith("/a b.png")
    assert httpx.get(f"{api}/file={name.replace(' ', '%20')}").content == data
    picture = {"path": name, "meta": {"_type": "gradio.FileData"}}
    asked = [picture, 0, 8, 0, 0, None, {"seed": 1}, None]
    posted = told(httpx.post(f"{api}/call/outpaint", json={"data": asked}))
    news = told(httpx.get(f"{api}/call/outpaint/{posted.json()['event_id']}", timeout=60)).text
    ((made,), _) = json.loads(news.strip().split("data: ")[-1])
    assert made["path"].startswith(OUTSIDE) and OUTSIDE in made["url"]
    assert open_image(httpx.get(made["url"]).content).size == (48, 32)
    for page in (server, f"{server}/config", f"{api}/info", f"{api}/file={name}x"):
        told(httpx.get(page))
    assert OUTSIDE in said[-3], "the examples on the page are files, too"
    for text in said:
        assert not [each for each in secrets if each in text], text[:300]


@pytest.mark.parametrize("way", ["/../../../../../etc/hostname", "", "/", "/../lock", "/..%2flock"])
def test_such_a_name_leads_nowhere_else(server: str, way: str) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", f"{server}/gradio_api/file=x")
        request.url = request.url.copy_with(raw_path=f"/gradio_api/file={OUTSIDE}{way}".encode())
        assert client.send(request).status_code in (403, 404)
