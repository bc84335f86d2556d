"""study.md and study.html: every figure is there, nothing is loaded, text is never markup. Pure."""

from __future__ import annotations

import re

from clair.study.page import study_page
from clair.study.tables import displacement_table, exact_table, grid_table, rates_text, study_markdown
from tests.study.examples import arm, study


def test_the_exact_table_has_a_row_per_dataset_and_a_column_per_objective():
    shown = exact_table(study())
    assert shown.head == ["dataset", "sft", "dpo"]
    assert shown.rows == [
        ["clair", "70.0 ± 2.0 (+20.0, +10.0 to +30.0)", "65.0 ± 2.0 (+15.0, +5.0 to +25.0)"],
        ["stronger_preferred", "55.0 ± 2.0 (+5.0, -5.0 to +15.0)", "40.0 (-10.0, -20.0 to +0.0)"],
    ]


def test_displacement_has_both_sides_and_their_margin():
    assert displacement_table(study()).rows[0] == ["clair", "sft", "+1.50", "-2.25", "+3.75", "75%"]


def test_the_grid_has_every_rate():
    assert grid_table(study()).head == ["dataset", "objective", "0.0001", "0.0004"]
    assert grid_table(study()).rows[0] == ["clair", "sft", "60.0 %", "60.0 %"]


def test_a_rate_at_the_end_of_the_grid_is_named():
    assert "At an end of the grid, so perhaps not the best: sft, dpo." in rates_text(study())
    middle = study(learning_rates={"sft": 2e-4}, settings={**study()["settings"], "grid": [1e-4, 2e-4, 4e-4]})
    assert "At an end" not in rates_text(middle)


def test_quick_says_what_it_left_out():
    text = study_markdown(study(quick=True, grid=[], settings={**study()["settings"], "grid": [4e-4], "seeds": 1}))
    assert "This is --quick (100 prompts, 1 seed, no grid: every objective has the learning rate 0.0004" in text
    assert "--quick" not in study_markdown(study())


def test_the_markdown_has_every_section():
    assert re.findall("^#+ .*", study_markdown(study()), flags=re.M) == [
        "# Datasets and objectives, compared in the sandbox",
        "## Exact answers on unseen problems",
        "## What the paper says",
        "## Contrast of the datasets",
        "## Displacement",
        "## Learning rates",
    ]


def test_the_page_shows_both_plots_and_every_table_and_loads_nothing():
    page = study_page(study())
    assert page.count("<svg") == 2
    assert page.count("<table") == 5
    assert page.count("<circle") == 4 + 2 * 4
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|https?://|url\(", page)


def test_texts_cannot_become_markup():
    page = study_page(study(summary=[arm("<b>", "<i>&", 0.5)]))
    assert "<b>" not in page.replace("<b class=", "")
    assert "&lt;i&gt;&amp;" in page
