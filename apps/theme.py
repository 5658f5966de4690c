"""Gradio theme, CSS and launch options of the UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from . import formulas

FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "sans-serif"]  # system fonts only: nothing is downloaded
QUIET = {
    "block_border_width": "1px",
    "block_label_background_fill": "transparent",
    "block_label_text_color": "*body_text_color",
    "block_label_text_weight": "500",
    "block_shadow": "none",
    "block_title_background_fill": "transparent",
    "block_title_padding": "0",
    "block_title_text_color": "*body_text_color",
    "block_title_text_weight": "500",
    "body_text_color_subdued": "*neutral_500",
    "button_primary_shadow": "none",
    "button_secondary_shadow": "none",
    "button_secondary_border_color": "*neutral_300",
    "checkbox_border_color": "*neutral_400",
    "checkbox_label_shadow": "none",
    "input_border_color": "*neutral_300",
    "input_border_width": "1px",
    "input_shadow": "none",
}
"""Borders instead of shadows, plain labels, and text with enough contrast."""
DARK = {
    "body_text_color_subdued": "*neutral_400",
    "button_secondary_border_color": "*neutral_500",
    "checkbox_border_color": "*neutral_500",
    "input_border_color": "*neutral_600",
}
THEME = gr.themes.Soft(
    primary_hue="teal", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"]
).set(
    **QUIET,
    **{
        f"{name}_dark": DARK.get(name, value)
        for name, value in QUIET.items()
        if name != "block_title_padding" and "weight" not in name
    },
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_600",
    button_primary_background_fill_hover_dark="*primary_600",
)
WORDS = gr.I18n(en={"common.complete": "Complete"})
"""What Gradio tells screen readers when an event is done, and has no word for."""
LOOKS: dict[str, Any] = {
    "i18n": WORDS,
    "theme": THEME,
    "css_paths": Path(__file__).with_name("web.css"),
    "head": f"{formulas.head()}<script>{Path(__file__).with_name('web.js').read_text()}</script>",
    "footer_links": [],
    "ssr_mode": False,
    "max_file_size": "64mb",
}
"""For `launch` and `mount_gradio_app`."""
