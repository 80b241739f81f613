"""Files on their way to the browser do not pile up."""

from __future__ import annotations

from app import outbox


def test_every_folder_is_new_and_only_the_last_ones_stay() -> None:
    folders = [outbox.new_folder() for _ in range(outbox.KEPT + 3)]
    assert len(set(folders)) == len(folders)
    assert not any(folder.exists() for folder in folders[:3])
    assert all(folder.exists() for folder in folders[3:])
