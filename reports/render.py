"""Renders a ReportModel: HTML with Jinja2, PDF with typst. Nothing is computed here."""

import json
from dataclasses import asdict
from pathlib import Path

import jinja2
import matplotlib
import typst
from markupsafe import Markup

from reports.figures.style import for_page
from reports.model import FigureView, ReportModel

TEMPLATES = Path(__file__).parent / "templates"


def html(model: ReportModel) -> str:
    """One self-contained page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("report.html")
    return template.render(m=model, wide=_wide, narrow=_narrow).strip() + "\n"


def pdf(model: ReportModel) -> bytes:
    """The same report on paper; the same bytes for the same model."""
    compiler = typst.Compiler(
        str(TEMPLATES / "report.typ"),
        # Only fonts that come with typst and matplotlib: the machine's own would change the bytes.
        font_paths=[str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")],
        ignore_system_fonts=True,
        sys_inputs={"model": json.dumps(asdict(model))},
    )
    document = compiler.compile(format="pdf", timestamp=0)
    assert isinstance(document, bytes)
    return document


def _wide(figure: FigureView) -> Markup:
    return Markup(for_page(figure.svg, figure.key, figure.alt))  # our own drawing, escaped there


def _narrow(figure: FigureView) -> Markup:
    return Markup(for_page(figure.svg_narrow, f"{figure.key}-narrow", figure.alt))
