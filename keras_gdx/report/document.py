"""The frame of a page: head, heading, sections with links to them, footer."""

from collections.abc import Mapping, Sequence

from keras_gdx.report.markup import Html, Row, element
from keras_gdx.report.style import STYLE


def document(
    title: str, header: Html, sections: Mapping[str, Sequence[Html]], author: str, script: str = ""
) -> str:
    """Returns a complete page.

    Args:
        title: Title of the window.
        header: What comes before the sections; see `heading`.
        sections: The blocks of each section, by its title; a section without blocks is left out.
        author: What has written the page.
        script: JavaScript, to which the page owes nothing but comfort.
    """
    shown = {name: blocks for name, blocks in sections.items() if blocks}
    places = {name: name.lower().replace(" ", "-") for name in shown}
    links = [element("a", name, href=f"#{place}") for name, place in places.items()]
    parts = [
        element("section", element("h2", name, id=places[name]), *blocks)
        for name, blocks in shown.items()
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", STYLE),
    )
    nav = element("nav", *links, aria_label="Sections")
    footer = element("footer", f"Written by keras_gdx's {author}.")
    scripts = [element("script", Html(script))] if script else []
    body = element("body", header, nav, element("main", *parts), footer, *scripts)
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def heading(name: str, state: str, kind: str, facts: Mapping[str, str]) -> Html:
    """The title of a page, its state, and the most important facts.

    Args:
        name: The title.
        state: The state in words.
        kind: Its class in the style sheet.
        facts: Texts by name.
    """
    items = [element("div", element("dt", n), element("dd", v)) for n, v in facts.items()]
    badge = element("p", state, class_=f"state {kind}")
    return element("header", element("h1", name), badge, element("dl", *items))


def facts(tables: Mapping[str, Row]) -> Html:
    """Tables of names and values, side by side, by their titles."""
    blocks = []
    for title, entries in tables.items():
        lines = [
            element("tr", element("th", n, scope="row"), element("td", v))
            for n, v in entries.items()
        ]
        blocks.append(element("table", element("caption", title), element("tbody", *lines)))
    return element("div", *blocks, class_="facts")
