"""The pages in a real browser: complete, nothing overflows, nothing is loaded."""

import shutil

import pytest

pytest.importorskip("playwright")
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from playwright.sync_api import sync_playwright

from keras_gdx.comparison.html import page as comparison_page
from keras_gdx.report.page import page as training_page
from tests.comparison.made_up import advised, complete

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"needs one of {', '.join(BROWSERS)}")

LONG = "a_name_without_a_single_place_to_break_it_and_longer_than_a_small_screen_is_wide"
OVERFLOWING = """() => [...document.querySelectorAll("body *")].filter(each => {
    const box = each.getBoundingClientRect(), inside = each.closest(".wide, svg");
    return !(inside && inside !== each) && box.right > innerWidth + 1;
}).map(each => each.outerHTML.slice(0, 200))"""
CUT_OFF = """() => [...document.querySelectorAll("svg[role=img] text")].filter(each => {
    const box = each.getBoundingClientRect();
    const all = each.closest("svg").getBoundingClientRect();
    return box.left < all.left - 1 || box.right > all.right + 1 || box.bottom > all.bottom + 1;
}).map(each => each.textContent)"""


def trained():
    facts = {
        "Model": {"name": LONG, "loss": "mse"},
        "Run": {"epochs": "20"},
        "Optimizer": {"class": "AdamW", "by default": ", ".join(f"{LONG} {i}" for i in range(9))},
    }
    part = {"began": 0.0, "seen": 60.0, "first": 1, "state": "finished", "facts": facts}
    epochs = [
        {
            "epoch": i,
            "seconds": 1.5,
            "logs": {"loss": 1 / i, "val_loss": 2 / i, LONG: 1e6 * i, "accuracy": 1 - 1 / i},
            "settings": {"learning_rate": 0.1**i, "weight_decay": 0.1},
            "rates": {"learning_rate": {"update": [40 * i, 40 * i + 20], "rate": [1 / i, 0.9 / i]}},
        }
        for i in range(1, 21)
    ]
    layers = {f"layer_{i}/{LONG}": {"norm": 1.0 * i} for i in range(9)}
    found = {"GradientMonitor": [{"step": i, "norm": i / 7, "layers": layers} for i in range(30)]}
    return training_page([part, part], epochs, found)


MAKERS = {
    "TrainingReport": trained,
    "compare": lambda: comparison_page(complete()),
    "compare, with advice": lambda: comparison_page(advised(0.03)),
}


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=MAKERS)
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(MAKERS[request.param](), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, path):
    """Opens the page; afterwards, it must have loaded nothing and reported no error."""
    tabs, heard = [], []

    def open(width, **options):
        tab = browser.new_page(viewport={"width": width, "height": 900}, **options)
        tabs.append(tab)
        tab.on("request", lambda request: heard.append(request.url))
        tab.on("console", lambda message: heard.append(message.text))
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.goto(path.as_uri())
        return tab

    yield open
    for tab in tabs:
        tab.close()
    assert heard == [path.as_uri()] * len(tabs)


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_overflows(width, opened):
    tab = opened(width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(OVERFLOWING) == []
    assert tab.evaluate(CUT_OFF) == []
    charts = tab.locator("svg[role=img]")
    assert charts.count() >= 5
    for chart in charts.all():
        box = chart.bounding_box()
        assert box["width"] > 250
        assert box["height"] > 140
        assert chart.get_attribute("aria-label")
        assert chart.locator("path").count() > 2


def test_light_and_dark(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert opened(800, color_scheme="light").evaluate(ground) == "rgb(255, 255, 255)"
    assert opened(800, color_scheme="dark").evaluate(ground) == "rgb(20, 23, 27)"


def test_on_paper(opened):
    tab = opened(718)  # A4 without its margins
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate(OVERFLOWING) == []
    wide = "() => [...document.querySelectorAll('.wide')].map(x => x.scrollWidth - x.clientWidth)"
    assert max(tab.evaluate(wide)) <= 1


def test_tables_can_be_sorted_with_the_keyboard(opened, path):
    tab = opened(1600)
    if path.stem != "compare":  # the tables of a training report are in the order of time
        assert bool(tab.locator("table button").count()) == (path.stem != "TrainingReport")
        return
    table = tab.locator("table.sortable").first
    names = "rows => rows.map(row => row.cells[0].textContent.toLowerCase())"
    button = table.get_by_role("button", name="strategy")
    for reverse, word in ((False, "ascending"), (True, "descending")):
        button.press("Enter")
        found = table.locator("tbody tr").evaluate_all(names)
        assert found == sorted(found, reverse=reverse)
        assert table.locator("th").first.get_attribute("aria-sort") == word
    table.get_by_role("button", name="p", exact=True).click()
    column = "rows => rows.map(row => parseFloat(row.cells[5].dataset.value))"
    numbers = table.locator("tbody tr").evaluate_all(column)
    known = [number for number in numbers if number == number]
    assert len(known) == 3
    assert numbers[:3] == sorted(known)
