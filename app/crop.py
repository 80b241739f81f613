"""The dialog that gives the picture another shape: its markup. assets/crop.js moves it, and
app/geometry.py does what it says."""

from __future__ import annotations

from app.geometry import STEEPEST

EDGES = {  # the handles of the frame, by the directions that they lie in, as on a compass
    "nw": "Top left corner", "n": "Top edge", "ne": "Top right corner", "e": "Right edge",
    "se": "Bottom right corner", "s": "Bottom edge", "sw": "Bottom left corner", "w": "Left edge",
}  # fmt: skip
ASPECTS = ("1:1", "5:4", "4:3", "3:2", "16:9", "4:5", "3:4", "2:3", "9:16")
LEFT = '<path d="M3.500 8.500a6.500 6.500 0 1 1 1 5M3.300 4v4.500h4.500"/>'
RIGHT = '<path d="M16.500 8.500a6.500 6.500 0 1 0-1 5M16.700 4v4.500h-4.500"/>'


def dialog() -> str:
    """The picture under its frame, and below it what else can be said of its shape."""
    handles = "".join(
        f'<button type="button" data-edge="{edge}" aria-label="{name}; arrow keys move it">'
        "</button>"
        for edge, name in EDGES.items()
    )
    aspects = "".join(f'<option value="{aspect}">{aspect}</option>' for aspect in ASPECTS)
    return (
        '<dialog id="crop" aria-label="Crop, turn and resize"><div class="view"><img alt="">'
        '<div class="frame" tabindex="0" role="group" '
        f'aria-label="Crop frame; arrow keys move it">{handles}</div></div>'
        '<div class="bar"><div class="group">'
        f'{_turn("-1", "Turn left", LEFT)}{_turn("1", "Turn right", RIGHT)}</div>'
        '<label class="straighten">Straighten<input type="range" '
        f'min="-{STEEPEST:g}" max="{STEEPEST:g}" step="0.1" value="0"><output>0°</output></label>'
        '<label>Shape<select><option value="">Free</option><option value="own">As it is</option>'
        f"{aspects}</select></label>"
        '<span class="group size"><label>Size<input type="number" name="width" min="16" '
        'aria-label="Width in pixels"></label>×<input type="number" name="height" min="16" '
        'aria-label="Height in pixels"></span>'
        '<span class="group ends"><button type="button" data-end="reset">Reset</button>'
        '<button type="button" data-end="cancel">Cancel</button>'
        '<button type="button" data-end="apply" class="main">Apply</button></span>'
        "</div></dialog>"
    )


def _turn(by: str, name: str, paths: str) -> str:
    return (
        f'<button type="button" data-turn="{by}" aria-label="{name}" title="{name}">'
        '<svg viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.6" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{paths}</svg></button>'
    )
