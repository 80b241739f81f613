"""The evaluation and the ablation as Markdown tables."""

from __future__ import annotations

from typing import Any

from engine.evaluation.levers import DEFAULT, PAPER

COLUMNS = (
    ("perceptual", "FLIP in the mask", ".4f"),
    ("perceptual_interval", "95 %", ""),
    ("lpips", "LPIPS", ".3f"),
    ("known_psnr", "known area dB", ".2f"),
    ("known_ceiling", "ceiling dB", ".2f"),
    ("seam_before_blending", "seam, raw", ".2f"),
    ("seam", "seam", ".2f"),
    ("frechet", "Fréchet", ".2f"),
    ("kernel", "kernel", ".3f"),
    ("diversity", "diversity", ".3f"),
)
OTHERS = (
    ("telea", "Telea"),
    ("navier_stokes", "Navier-Stokes"),
    ("reconstruction", "VQVAE alone"),
)


def markdown(report: dict[str, Any]) -> str:
    """One row a mask family, the baselines beside it."""
    heads = ["masks", *(title for _, title, _ in COLUMNS)]
    heads += [f"FLIP, {title}" for _, title in OTHERS]
    heads += ["LPIPS, Telea", "LPIPS, Navier-Stokes", "kernel, Telea"]
    rows = []
    for family, found in report["families"].items():
        cells = [family, *(_cell(found[key], form) for key, _, form in COLUMNS)]
        for method, _ in OTHERS:
            cells.append(_cell(report["baselines"][method][family]["perceptual"], ".4f"))
        for method in ("telea", "navier_stokes"):
            cells.append(_cell(report["baselines"][method][family]["lpips"], ".3f"))
        cells.append(_cell(report["baselines"]["telea"][family]["kernel"], ".3f"))
        rows.append(cells)
    rebuilt = report["reconstruction"]
    return "\n".join(
        [
            table(heads, rows),
            "",
            f"Reconstruction {rebuilt['psnr']:.2f} dB, SSIM {rebuilt['ssim']:.3f}, "
            f"{rebuilt['codes_used']:.0%} of the codes used (perplexity "
            f"{rebuilt['code_perplexity']:.0f}); {report['count']} pictures, rule "
            f"{report['rule']}, {'class edits' if report['labelled'] else 'no label'}.",
            *_sentences(report),
        ]
    )


def _sentences(report: dict[str, Any]) -> list[str]:
    """Class edits and removals in words, where there is a classifier."""
    lines = []
    edit, removal = report["class_edit"], report["removal"]
    finer = edit.get("finer_name")
    if edit["top1"] is not None:
        lines.append(
            f"Class edits: the classifier sees the asked class in {_share(edit)} (top-5 "
            f"{edit['top5']:.1%})"
            + (f", asked by a finer name in {_share(finer)}" if finer else "")
            + f"; in real stickers pasted there: held-out drawings "
            f"{_share(edit['held_out_sticker'])}, trained ones {_share(edit['trained_sticker'])}."
        )
    if removal["found"] is not None:
        lines.append(
            f"Removals: the removed class is still seen in {_share(removal[DEFAULT])}; rule paper "
            f"{_share(removal[PAPER])}, Telea {_share(removal['telea'])}, before the edit "
            f"{_share(removal['unedited'])}."
        )
    return lines


def ablation_markdown(report: dict[str, Any]) -> str:
    """A table a mode: one row a lever, FLIP by family, differences over all families."""
    parts = []
    for mode, rows in report["modes"].items():
        families = next(iter(rows.values()))["families"]
        last = ("asked class seen", "class_edit") if mode == "labelled" else (
            "removed class seen", "removal")  # fmt: skip
        heads = ["changed", *families, "all", "minus paper", "minus default", "LPIPS", "kernel",
                 "known gap dB", "seam, raw", "seam", last[0]]  # fmt: skip
        cells = []
        for name, row in rows.items():
            every = row["all"]
            cells.append(
                [
                    f"**{name}**" if name in (PAPER, DEFAULT) else name,
                    *(f"{f['perceptual']:.3f}" for f in row["families"].values()),
                    f"{every['perceptual']:.3f}",
                    difference(every.get("minus_paper")),
                    difference(every.get("minus_default")),
                    _cell(every["lpips"], ".3f"),
                    _cell(every["kernel"], ".3f"),
                    f"{every['known_gap']:.1f}",
                    f"{every['seam_before_blending']:.2f}",
                    f"{every['seam']:.2f}",
                    "" if row[last[1]] is None else _share(row[last[1]]),
                ]
            )
        title = "Class edits, with the picture's own class" if mode == "labelled" else "No label"
        parts += [f"### {title}", "", table(heads, cells), "", _verdict(rows), ""]
        parts += [
            _by_family(f"LPIPS, {name}", rows[name]["families"], "lpips")
            for name in (PAPER, DEFAULT)
            if name in rows
        ] + [""]
    for method, title in OTHERS:
        found = report["baselines"][method]
        parts.append(_by_family(title, found, "perceptual"))
        parts.append(_by_family(f"LPIPS, {title}", found, "lpips"))
    parts.append(
        f"\n{report['count']} held-out pictures a family, the same masks and seeds in every row. "
        "FLIP in the mask, by family and of all, and LPIPS of all (less is better); differences "
        "are of FLIP, paired, with bootstrap 95 % intervals, a star where the interval leaves out "
        "0. Kernel: squared MMD of the classifier's features, all families. Known gap: the family "
        "farthest below the VQVAE's own reconstruction. Without a fill the tokens that are kept "
        "were encoded from the very picture that is to be hidden, so the FLIP of that row is "
        "flattered by what leaks."
    )
    return "\n".join(parts)


def _by_family(title: str, families: dict[str, Any], key: str) -> str:
    """A figure of each family in a sentence."""
    values = ", ".join(f"{name} {_cell(found[key], '.3f')}" for name, found in families.items())
    return f"{title}: {values}."


def _verdict(rows: dict[str, Any]) -> str:
    """Which levers helped, were indifferent, or harmed when changed, by the paired intervals."""
    if DEFAULT not in rows:
        return ""
    groups: dict[str, list[str]] = {"worse": [], "no clear difference": [], "better": []}
    for name, row in rows.items():
        found = row["all"].get("minus_default")
        if found is None:
            continue
        _, low, high = found
        key = "worse" if low > 0 else "better" if high < 0 else "no clear difference"
        groups[key].append(name)
    said = [f"{key}: {', '.join(names)}" for key, names in groups.items() if names]
    return f"By FLIP against the default, {'; '.join(said)}." if said else ""


def difference(found: list[float] | None) -> str:
    if found is None:
        return ""
    mean, low, high = found
    star = "" if low <= 0 <= high or low == high else " *"  # one picture alone proves nothing
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{star}"


def _share(found: dict[str, Any]) -> str:
    low, high = found["top1_interval"]
    return f"{found['top1']:.1%} [{low:.0%}, {high:.0%}]"


def _cell(value: Any, form: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "-".join(f"{edge:.4f}" for edge in value)
    return format(value, form)


def table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(_line(cells) for cells in (heads, ["---"] * len(heads), *rows))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
