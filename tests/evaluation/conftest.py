"""The sets that training is tested with; what judges edits is made from them, too."""

from tests.training.conftest import picture_folder, sticker_set

__all__ = ["picture_folder", "sticker_set"]
