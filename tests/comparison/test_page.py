"""The page of a comparison, parsed."""

import math
import re

import pytest

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from keras_gdx.comparison.html import page
from keras_gdx.report.style import STYLE
from tests.comparison.made_up import EVIL, advised, compared, complete
from tests.html_page import Page, read


@pytest.fixture(scope="module")
def everything():
    return complete()


def test_tells_what_was_found(everything, tmp_path):
    everything.report(tmp_path / "folder" / "compare.html")
    found = read(tmp_path / "folder" / "compare.html")
    assert found.texts["title"][0] == "5 strategies compared by val_loss"
    assert found.state == f"no decision; {everything.decision.leader} leads"
    assert {*everything.sentences} <= {*found.texts["p"]}
    assert [chart.partition(". ")[0] for chart in found.charts] == [
        "The leader's lead",
        "val_loss during training",
        "val_loss at each value that was tried",
        "val_loss by the number of trials",
        "How soon the target is reached",
    ]
    assert "schedule-free: score" in found.charts[4]
    row = found.row("schedule-free", f"worse than {everything.decision.leader}")
    assert row[2] == "5"
    assert found.row("sgd", "out: runs failed")[2] == "4 of 5"
    assert [r[-1] for r in found.rows if r[:2] == ["sgd", "4"]] == ["the loss is not finite"] * 2
    assert sum(row[:1] == ["muon"] for row in found.rows) == 1 + 1 + 1 + 8 + 5 + 1


def test_every_point_says_its_value(everything):
    titles = re.findall("<title>(.*?)</title>", page(everything))
    for run in everything.strategies["muon"].trials:
        assert any(f"{run.score:.3g}" in title and "muon" in title for title in titles)
    assert sum(", seed " in title for title in titles) == 4 * 5 - 1


def test_names_are_text(everything):
    text = page(everything)
    assert "<b>$x^{2$" not in text
    assert EVIL in Page(text).texts["th"]


def test_any_result_has_a_page():
    for scores in (
        {"a": [math.nan] * 2, "b": [math.nan] * 2},
        {"a": [0.5], "b": [0.6]},
        {"a": [0.5, 0.51]},
        {"a": [0.0, 0.0], "b": [0.0, 1e-300]},
        {"a": [-1e30, 1e30, 5.0], "b": [math.nan, 0.6, 0.7]},
        {str(i): [i + 1.0, i + 1.1] for i in range(12)},
    ):
        found = Page(page(compared(scores, margin=0.1)))
        assert found.texts["h1"] == [f"{len(scores)} strategies compared by val_loss"]


def test_the_winner_is_in_the_heading():
    result = compared({"a": [0.5, 0.51, 0.52], "b": [0.6, 0.612, 0.62]})
    assert Page(page(result)).state == "a is best"


def test_how_good_an_advice_was():
    result = advised(0.03)
    found = Page(page(result))
    assert {*result.sentences} <= {*found.texts["p"]}
    assert "Advice" in found.texts["h2"]
    assert "Advice" not in Page(page(compared({"a": [0.5, 0.51]}))).texts["h2"]
    assert found.row("ours", "learning_rate 0.02", "adamw")[3] == "learning_rate 0.1"
    assert sum(row[0] == "ours" for row in found.rows if len(row) > 6) >= 10  # all its runs


# -- colors ----------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_can_be_seen(scheme):
    """WCAG 2.2: a contrast of 4.5 for text, and 3 for lines."""
    names = dict(re.findall(r"--([\w-]+): (#\w{6})", STYLE.split(":root {")[1 + scheme]))
    assert len(names) == 17
    for ground in ("paper", "card"):
        for name, colour in names.items():
            light, dark = sorted((luminance(colour), luminance(names[ground])), reverse=True)
            needed = 3 if name.startswith("line") else 4.5
            if name not in ("paper", "card", "grid", "quiet"):
                assert (light + 0.05) / (dark + 0.05) >= needed, (name, ground)
