"""What a notebook shows of the last value of a cell: each thing once."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx.callbacks import LearningRateFinder
from keras_gdx.comparison.tasks import Comparisons
from keras_gdx.report.markup import said
from keras_gdx.schedules import Cosine
from tests.comparison.made_up import complete
from tests.html_page import Page


def network():
    return keras.Sequential([keras.Input((256,)), keras.layers.Dense(1024)], name="net")


def swept():
    finder, model = LearningRateFinder(1e-4, 1.0, steps=20), network()
    model.compile("sgd", "mse")
    model.fit(np.ones((80, 256)), np.ones((80, 1024)), 4, verbose=0, callbacks=[finder])
    return finder


def test_tables():
    page = Page(keras_gdx.memory(network())._repr_html_())
    assert page.row("sgd") == ["sgd", "1", "1", "0", "2.01", "3.01"]
    assert page.row("adamw") == ["adamw", "1", "1", "2.01", "4.02", "5.02"]
    page = Page(keras_gdx.memory(network(), "adamw", use_ema=True)._repr_html_())
    head = ["rule", "weights", "gradients", "state", "averages", "total", "peak"]
    assert page.row("rule") == head
    advice = keras_gdx.recommend(network(), loss="mse")
    assert Page(advice._repr_html_()).row("optimizer")[1] == said(advice["optimizer"])
    assert repr(advice) == str(advice)


def test_a_comparison():
    pytest.importorskip("scipy")
    result = complete()
    page = Page(result._repr_html_())
    assert page.texts["p"][: len(result.sentences)] == result.sentences
    assert [row[0] for row in page.rows if row[0] in result.strategies] == 2 * [*result.strategies]
    assert len(page.charts) == 2 * (keras_gdx.arguments.has_matplotlib())
    page = Page(Comparisons({"x": result, "y": result})._repr_html_())
    assert [row[0] for row in page.rows[1:]] == [row["strategy"] for row in result.table]
    assert repr(result.table) == str(result.table)


PICTURES = {
    "schedule": lambda: Cosine(0.1, 100).plot(120),
    "finder": lambda: swept().plot(),
    "comparison": lambda: complete().plot("curves"),
    "comparisons": lambda: Comparisons({"x": complete()}).plot(),
    "explanation": lambda: keras_gdx.explain(network(), np.ones((2, 256))).plot(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_shown_once(name):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = PICTURES[name]()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []  # so the end of a cell shows it no second time
    (axes, *_) = figure.axes
    assert axes.get_xlabel()
    if name in ("schedule", "finder", "comparison"):
        assert axes.get_title()


def test_ipython_shows_them():
    pytest.importorskip("matplotlib")
    formatters = pytest.importorskip("IPython.core.formatters")
    shown = formatters.DisplayFormatter().format(PICTURES["schedule"]())[0]
    assert {*shown} == {"text/plain", "image/png"}
    assert {*formatters.DisplayFormatter().format(complete())[0]} == {"text/plain", "text/html"}


def test_an_explanation_does_not_print_its_arrays():
    found = keras_gdx.explain(network(), np.ones((2, 256)))
    assert repr(found) == "<Explanation by integrated_gradients: values of shape (2, 256)>"
