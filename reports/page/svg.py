"""A drawn figure as SVG, and what a page needs of it that matplotlib does not write.

The same figure gives the same bytes.
"""

import io
import re
import warnings
from html import escape
from xml.etree import ElementTree

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.page.fonts import fonts_for
from reports.page.style import INK, PAPER, keep_within_panels, styled, tag_of

_SVG = "{http://www.w3.org/2000/svg}"
_PLACES = {"d", "x", "y", "transform", "width", "height", "points"}
_LONG = re.compile(r"-?\d+\.\d{3,}")
ElementTree.register_namespace("", _SVG[1:-1])
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def to_svg(figure: Figure) -> str:
    """The figure as SVG: text stays text, and the tags of `style.tag` become attributes."""
    buffer = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # The PDF says once which letters no font has; matplotlib would for each of them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        keep_within_panels(figure)
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_fontfamily(list(fonts_for(text.get_text()).families))
        FigureCanvasSVG(figure)
        if engine := figure.get_layout_engine():
            engine.execute(figure)  # with it in place, all would be drawn twice
            figure.set_layout_engine(None)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _with_tags_resolved(buffer.getvalue())


def for_page(svg: str, key: str, alt: str) -> str:
    """The SVG for inlining: ids of its own, the page's colours, a title, no fixed size."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{key}-', svg)
    svg = re.sub(r"url\(#", f"url(#{key}-", svg)
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    # The title is short, as browsers show it under the pointer.
    title, _, description = alt.partition(". ")
    named = f'<title id="{key}-title">{escape(title)}</title>'
    described = f'<desc id="{key}-desc">{escape(description or title)}</desc>'
    return (
        f'{head} role="img" aria-labelledby="{key}-title" aria-describedby="{key}-desc">'
        f"{named}{described}{body}"
    )


def _with_tags_resolved(content: bytes) -> str:
    """Without metadata and idle ids; tags become `data-part` and a title at each point."""
    root = ElementTree.fromstring(content)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}metadata":
                parent.remove(child)
    for group in root.iter(f"{_SVG}g"):
        name = group.attrib.pop("id", "")  # nothing refers to a group
        if tag := tag_of(name):
            group.set("data-part", tag["part"])
            if tag["on_demand"]:
                group.set("data-more", "")
                group.set("display", "none")  # also where no page shows it
            _add_titles(group, tag["tips"])
    _shorten(root)
    _say_styles_once(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _shorten(root: ElementTree.Element) -> None:
    """Without indentation, and with places to a hundredth of a point."""
    for element in root.iter():
        if element.tag not in (f"{_SVG}text", f"{_SVG}tspan"):
            element.text = (element.text or "").strip() or None
            for child in element:
                child.tail = (child.tail or "").strip() or None
        for name in _PLACES & element.attrib.keys():
            places = _LONG.sub(lambda found: f"{float(found[0]):.2f}", element.attrib[name])
            element.attrib[name] = " ".join(places.split())


def _say_styles_once(root: ElementTree.Element) -> None:
    """Points of one style have it from their group: a tenth of a report was its repetition."""
    for group in root.iter(f"{_SVG}g"):
        points = group.findall(f"{_SVG}use")
        style = points[0].get("style") if len(points) == len(group) > 1 else None
        if style and all(p.get("style") == style for p in points):
            group.set("style", style)
            for point in points:
                del point.attrib["style"]


def _add_titles(group: ElementTree.Element, tips: list[str]) -> None:
    points = list(group.iter(f"{_SVG}use")) or [group]
    if len(points) != len(tips):
        return  # a point outside of the figure is not drawn: no value is better than a wrong one
    for point, tip in zip(points, tips, strict=True):
        title = ElementTree.Element(f"{_SVG}title")
        title.text = tip
        point.insert(0, title)
