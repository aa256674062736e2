"""A page of HTML, parsed."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """A parsed page; fails if the HTML is not well formed or refers to anything outside."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references = [], [], []
        self.texts, self.charts, self.images, self.rows = {}, [], [], []
        self.feed(text)
        self.close()
        assert not self.open
        assert len(self.ids) == len({*self.ids})
        assert all(each.startswith("#") for each in self.references)
        assert {each[1:] for each in self.references} <= {*self.ids}
        assert not re.search(r"https?:|@import|url\((?!#)", text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert tag not in ("link", "iframe", "object", "base")
        assert tag != "script" or not given
        assert not any(name.startswith("on") for name in given)
        self.ids += [given["id"]] if "id" in given else []
        self.references += [v for n, v in attributes if n in ("href", "xlink:href")]
        if tag == "img":
            assert given["src"].startswith("data:image/png;base64,")
            self.images.append(given["alt"])
        else:
            assert "src" not in given
        if tag == "svg" and given.get("role") == "img":
            self.charts.append(given["aria-label"])
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        tag = self.open[-1] if self.open else None
        self.texts.setdefault(tag, []).append(data)
        if tag in ("th", "td"):
            self.rows[-1][-1] += data

    def row(self, *begin):
        """The only row whose first cells are these."""
        (found,) = [row for row in self.rows if row[: len(begin)] == [*begin]]
        return found

    @property
    def state(self):
        return self.texts["p"][0]


def read(path):
    return Page(Path(path).read_text(encoding="utf-8"))
