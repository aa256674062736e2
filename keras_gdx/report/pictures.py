"""Pictures of explanations, for a page."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_gdx.report.markup import Html, element, said

MOST = 6  # pictures of one explanation


def pictures(explanations: Mapping[str, Any]) -> Iterator[Html]:
    """A figure for each of the first examples of each `Explanation`, by its title."""
    for title, found in explanations.items():
        overall = found.is_overall
        for example in range(1 if overall else min(MOST, len(found.values))):
            values = found.values if overall else found.values[example]
            name = title if overall or len(found.values) == 1 else f"{title}, example {example}"
            method = found.method.replace("_", " ")
            words = f"{name}: {method}. {in_words(values)}"
            caption = element("p", element("strong", name), class_="title")
            coded = base64.b64encode(found.plot(example).png(dpi=150)).decode()
            image = element("img", src=f"data:image/png;base64,{coded}", alt=words)
            note = element("p", f"by {method}", class_="note")
            yield element("figure", element("figcaption", caption), image, note)


def in_words(values: Any) -> str:
    """Which inputs contribute most."""
    largest = np.argsort(-np.abs(values), axis=None)[:3]
    places = [np.unravel_index(i, values.shape) for i in largest]
    parts = [
        f"{said(float(values[place]))} at {', '.join(str(int(i)) for i in place)}"
        for place in places
    ]
    return f"The largest contributions are {'; '.join(parts)}."
