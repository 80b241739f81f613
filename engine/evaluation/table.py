"""The evaluation as a Markdown table and a contact sheet."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from engine.pixels import RGB

COLUMNS = (
    ("perceptual", "FLIP in the mask", ".4f"),
    ("perceptual_interval", "95 %", ""),
    ("known_psnr", "known area dB", ".2f"),
    ("known_ceiling", "ceiling dB", ".2f"),
    ("seam_before_blending", "seam, raw", ".2f"),
    ("seam", "seam", ".2f"),
    ("diversity", "diversity", ".3f"),
)
GAP = 4


def markdown(report: dict[str, Any]) -> str:
    """One row a mask family, the baselines beside it."""
    heads = ["masks", *(title for _, title, _ in COLUMNS), "Telea", "Navier-Stokes"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for family, found in report["families"].items():
        cells = [family]
        for key, _, form in COLUMNS:
            value = found[key]
            if isinstance(value, list):
                cells.append("-".join(f"{edge:.4f}" for edge in value))
            else:
                cells.append("" if value is None else format(value, form))
        for method in ("telea", "navier_stokes"):
            cells.append(format(report["baselines"][method][family]["perceptual"], ".4f"))
        lines.append(_line(cells))
    rebuilt = report["reconstruction"]
    lines.append(
        f"\nReconstruction {rebuilt['psnr']:.2f} dB, SSIM {rebuilt['ssim']:.3f}; "
        f"{report['count']} pictures, rule {report['rule']}, "
        f"{'labelled' if report['labelled'] else 'no label'}."
    )
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def contact_sheet(rows: list[list[RGB]]) -> Image.Image:
    """Rows of pictures of one size, side by side."""
    height, width = rows[0][0].shape[:2]
    sheet = np.full(
        (len(rows) * (height + GAP), len(rows[0]) * (width + GAP), 3), 255, dtype=np.uint8
    )
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * (height + GAP), x * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
    return Image.fromarray(sheet)
