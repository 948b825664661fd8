"""What tests ask of a page: its words, and what a browser would load."""

import re
from html import unescape
from html.parser import HTMLParser


def text_of(page: str) -> str:
    """The page's words, without drawings and tags, blanks collapsed."""
    without = re.sub(r"<(style|svg|script).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))


def words_of(page: str) -> str:
    """`text_of`, as a reader sees it: without escapes."""
    return unescape(text_of(page))


def open_part(page: str) -> str:
    """The page without what is folded; what a fold is about stays."""
    return re.sub(
        r"<details[^>]*>.*?(<summary.*?</summary>).*?</details>", r"\1", page, flags=re.DOTALL
    )


class Resources(HTMLParser):
    """Collects what a browser would load, ids, and drawings without a title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.drawings = 0
        self.titled: list[str] = []
        self.labelled: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        # The bar of a cell says nothing that its text does not.
        self.drawings += tag == "svg" and values.get("aria-hidden") != "true"
        if tag == "svg" and values.get("role") == "img":
            self.labelled.append(values.get("aria-labelledby") or "")
            self.titled.append(values.get("aria-describedby") or "")


def assert_stands_alone(page: str) -> None:
    """It loads nothing, each link has its place, and each drawing its title."""
    used = Resources(page)
    assert all(link.startswith("#") for link in used.loaded)
    assert {link[1:] for link in used.loaded} <= set(used.ids)
    assert len(used.ids) == len(set(used.ids))
    assert used.drawings == len(used.labelled)
    assert set(used.labelled) | set(used.titled) <= set(used.ids)
