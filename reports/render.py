"""Renders a ReportModel: HTML with Jinja2, PDF with typst. Nothing is computed here."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import typst
from markupsafe import Markup

from reports.figures.style import for_page
from reports.model import FigureView, IndexModel, ReportModel

TEMPLATES = Path(__file__).parent / "templates"


def html(model: ReportModel) -> str:
    """One self-contained page."""
    return _page("report.html", m=model, wide=_wide, narrow=_narrow)


def index_html(model: IndexModel) -> str:
    """The page over all studies; its links lead to their pages beside it."""
    return _page("index.html", m=model)


def pdf(models: Sequence[ReportModel], index: IndexModel | None = None) -> bytes:
    """Reports for paper, with the list of all studies before them; same models, same bytes."""
    document = {
        "index": asdict(index) if index else None,
        "reports": [_printable(model) for model in models],
    }
    compiler = typst.Compiler(
        str(TEMPLATES / "report.typ"),
        # Only fonts that come with typst and matplotlib: the machine's own would change the bytes.
        font_paths=[str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")],
        ignore_system_fonts=True,
        sys_inputs={"document": json.dumps(document)},
    )
    document_bytes = compiler.compile(format="pdf", timestamp=0)
    assert isinstance(document_bytes, bytes)
    return document_bytes


def _page(template: str, **values: Any) -> str:
    """The script runs by its hash alone: nothing that came in with the data could."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        script=Markup(script), script_hash=f"sha256-{digest}", **values
    ).strip() + "\n"  # fmt: skip


@cache
def _script() -> str:
    return (TEMPLATES / "report.js").read_text("utf-8")


def _printable(model: ReportModel) -> dict[str, Any]:
    """The model as JSON can hold it: what only the page or the files need is left out."""
    made = asdict(model)
    for section in made["sections"]:
        for figure in section["figures"]:
            del figure["pdf"], figure["svg_narrow"]
    return made


def _wide(figure: FigureView) -> Markup:
    return Markup(for_page(figure.svg, figure.key, figure.alt))  # our own drawing, escaped there


def _narrow(figure: FigureView) -> Markup:
    return Markup(for_page(figure.svg_narrow, f"{figure.key}-narrow", figure.alt))
