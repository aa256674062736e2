"""Looks at the built documentation, as a reader would.

    python -m sphinx -W --keep-going -b html docs build/site
    python tools/check_site.py build/site

Every link must lead to something that exists. In a headless Chromium, if there is one: no page asks
another host for anything, none is wider than a phone, formulas are drawn, text can be read on its
ground in light and dark, and the search finds what it is asked for. Exits with 1 and a list of
what is wrong.
"""

import argparse
import shutil
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PHONE = 400
READ = ("index", "get-started", "optimizers/muon", "auto/gallery/plot_schedules", "compare")
LEAST_CONTRAST = 4.5  # of WCAG, level AA

TOO_WIDE = """() => {
    const scrolls = each => /auto|scroll/.test(getComputedStyle(each).overflowX);
    return [...document.querySelectorAll("article *, footer *, .mobile-header *")].filter(each => {
        for (let up = each.parentElement; up && up.tagName !== "ARTICLE"; up = up.parentElement)
            if (scrolls(up)) return false;  // by itself, without the page
        return each.getBoundingClientRect().right > innerWidth + 1;
    }).map(each => each.outerHTML.slice(0, 100));
}"""
FORMULAS = """() => {
    const formulas = [...document.querySelectorAll("math")];
    const drawn = formulas.filter(each => each.getBoundingClientRect().height > 5);
    return [formulas.length, drawn.length, document.fonts.check("16px 'STIX Two Math'")];
}"""
UNRECOGNIZED = """() => [...document.querySelectorAll("article :is(p, li, td, dd)")].some(
    each => [...each.childNodes].some(x => x.nodeType === Node.TEXT_NODE && x.data.includes("$$"))
)"""
CONTRASTS = r"""() => {
    const numbers = color => color.match(/[\d.]+/g).map(Number);
    const luminance = color => {
        const [r, g, b] = numbers(color).map(x => x / 255).map(
            x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = each => {
        for (; each; each = each.parentElement) {
            const color = getComputedStyle(each).backgroundColor;
            if ((numbers(color)[3] ?? 1) > 0.5) return color;
        }
        return getComputedStyle(document.body).backgroundColor;
    };
    return [...document.querySelectorAll("article :is(h1, h2, p, li, td, th, a, code, pre, math)")]
        .filter(each => each.textContent.trim()).map(each => {
            const pair = [getComputedStyle(each).color, ground(each)].map(luminance);
            const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
            return [ratio, each.outerHTML.slice(0, 100)];
        });
}"""


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.loaded = [], {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Takes note of one element."""
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("link", "script", "img", "source", "iframe", "object"):
            self.loaded += [found[key] for key in ("href", "src", "data") if found.get(key)]


def broken_links(root):
    """What is linked to or loaded and does not exist, or is elsewhere and loaded."""
    pages = {path.resolve(): Page(path) for path in sorted(root.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(root.resolve())
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    yield f"{name}: loads {link}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{name}: {link} does not exist"
            elif name.parts[0] == "_modules" or target not in pages:
                continue  # Sphinx links code to the right page, but to a place by its first name
            elif unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: {link} has no such place"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *arguments):
        """Nothing."""


def seen(root, browser):
    """What is wrong in a browser."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    try:
        tab = browser.new_page(viewport={"width": PHONE, "height": 900})
        heard = []
        tab.on("request", lambda request: heard.append(request.url))
        tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
        tab.on("console", lambda said: heard.append(f"{said.type}: {said.text}"))
        yield from on_a_phone(tab, root, base)
        yield from readable(tab, base)
        yield from search(tab, base)
        for url in dict.fromkeys(heard):
            if not url.startswith((base, "data:")):
                yield f"a page asks for or reports {url}"
    finally:
        server.shutdown()


def on_a_phone(tab, root, base):
    """Visits every page but those of source code."""
    formulas = 0
    for path in sorted(root.rglob("*.html")):
        name = path.relative_to(root).as_posix()
        if name.startswith(("_modules", "_static", "genindex", "py-modindex")):
            continue
        tab.goto(base + name)
        for element in tab.evaluate(TOO_WIDE)[:1]:
            yield f"{name}: wider than {PHONE} pixels: {element}"
        found, drawn, font = tab.evaluate(FORMULAS)
        formulas += found
        if drawn < found or (found and not font):
            yield f"{name}: of {found} formulas, {drawn} are drawn (their font: {font})"
        if tab.evaluate(UNRECOGNIZED):
            yield f"{name}: a formula was not recognized"
    if formulas < 100:
        yield f"there are only {formulas} formulas"


def readable(tab, base):
    """Visits a few pages in both color schemes."""
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        for name in READ:
            tab.goto(f"{base}{name}.html")
            contrast, element = min(tab.evaluate(CONTRASTS))
            if contrast < LEAST_CONTRAST:
                yield f"{name}, {scheme}: the contrast is only {contrast:.1f} of {element}"


def search(tab, base):
    """Types a word into the field of the first page."""
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.goto(f"{base}index.html")
    tab.fill("input[name=q]", "muon")
    tab.press("input[name=q]", "Enter")
    tab.wait_for_selector("#search-results li a", timeout=20_000)
    tab.wait_for_function(
        "document.querySelector('.search-summary')?.textContent.includes('found')"
    )
    found = tab.eval_on_selector_all("#search-results li a", "all => all.map(each => each.href)")
    if not any("optimizers/muon.html" in each for each in found[:3]):
        yield f"the search for muon finds {found[:3]}"


def main(arguments=None):
    """Prints what is wrong; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the built pages")
    root = parser.parse_args(arguments).folder
    if not (root / "index.html").is_file():
        parser.error(f"{root} has no index.html: build the pages first")
    wrong = list(broken_links(root))
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"None of {', '.join(BROWSERS)} is installed: only the links were checked.")
    else:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
            wrong += seen(root, browser)
            browser.close()
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
