"""The page: a report, or the list of all, as HTML (Jinja2). Nothing is computed here."""

import base64
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.page.model import ComparedPairs, FigureView, Index, Report
from reports.page.svg import for_page
from studies.templates import rendered

TEMPLATES = Path(__file__).parent / "templates"


def html(report: Report) -> str:
    """One self-contained page."""
    pairs = _compact(report.pairs) if report.pairs else ""
    return _page("report.html", m=report, wide=_wide, narrow=_narrow, pairs=pairs)


def index_html(index: Index) -> str:
    """The page over all studies; its links lead to their pages beside it."""
    return _page("index.html", m=index)


def _page(template: str, **values: Any) -> str:
    """The script runs by its hash alone: nothing that came in with the data could."""
    script = (TEMPLATES / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"script": Markup(script), "script_hash": f"sha256-{digest}"}
    return rendered(TEMPLATES / template, **own, **values)


def _compact(pairs: ComparedPairs) -> Markup:
    """As JSON that the script reads; no text in it can end the element that it stands in."""
    text = json.dumps(asdict(pairs), separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c"))


def _wide(figure: FigureView) -> Markup:
    return Markup(for_page(figure.svg, figure.key, figure.alt))  # our own drawing, escaped there


def _narrow(figure: FigureView) -> Markup:
    return Markup(for_page(figure.svg_narrow, f"{figure.key}-narrow", figure.alt))
