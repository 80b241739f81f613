"""Colours, type and spacing; the finer points are in assets/*.css."""

from __future__ import annotations

import gradio as gr

IRIS = gr.themes.Color(
    name="iris",
    c50="#f4f4fe", c100="#e9e8fd", c200="#d5d3fb", c300="#b7b3f7", c400="#938cf0",
    c500="#6e63e6", c600="#5a4bd8", c700="#4b3cbb", c800="#3f3498", c900="#352d7a", c950="#211b4d",
)  # fmt: skip
INK = gr.themes.Color(
    name="ink",
    c50="#f8f8fa", c100="#f1f1f4", c200="#e4e4e9", c300="#d0d1d9", c400="#9c9eab",
    c500="#6f7180", c600="#52545f", c700="#3a3c46", c800="#24262e", c900="#181a20", c950="#101116",
)  # fmt: skip


def theme() -> gr.themes.Base:
    # 400 and 700 only: the SemiBold that Gradio ships lacks most letters
    sans = gr.themes.LocalFont("IBM Plex Sans", (400, 700))
    mono = gr.themes.LocalFont("IBM Plex Mono", (400, 700))
    return gr.themes.Base(
        primary_hue=IRIS,
        secondary_hue=IRIS,
        neutral_hue=INK,
        text_size=gr.themes.sizes.text_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        font=(sans, "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(mono, "ui-monospace", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_subdued="*neutral_500",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_weight="500",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_large_text_weight="600",
        slider_color="*primary_500",
    )
