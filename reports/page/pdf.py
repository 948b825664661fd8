"""Reports for paper (typst). Nothing is computed here; the same reports give the same bytes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from fsmd.notices import say
from reports.page.fonts import fonts_for
from reports.page.html import TEMPLATES
from reports.page.model import FigureView, Index, Report, Section, Table
from reports.page.typeset import typeset

NOT_PRINTED = ("pairs",)
"""What only a page can show."""


def pdf(reports: Sequence[Report], index: Index | None = None) -> bytes:
    """The reports, with the list of all studies before them."""
    document = {
        "index": asdict(index) if index else None,
        "reports": [_printable(report) for report in reports],
    }
    text = json.dumps(document, ensure_ascii=False)
    fonts = fonts_for(text)
    if fonts.missing:
        say(
            f"no font of this machine has the letters {fonts.missing!r}, so the PDF has boxes in "
            "their place; install a font that has them, such as Noto Sans CJK"
        )
    return typeset((TEMPLATES / "report.typ").read_bytes(), text, fonts)


def _printable(part: Any) -> Any:
    """A report, or a part of one, as JSON can hold it."""
    if isinstance(part, FigureView):
        told = {"caption": part.caption, "alt": part.alt, "finding": part.finding}
        return {"svg": part.svg} | told
    if isinstance(part, Table):
        return asdict(part.on_paper)
    if isinstance(part, Report | Section):
        names = (field.name for field in fields(part) if field.name not in NOT_PRINTED)
        return {name: _printable(getattr(part, name)) for name in names}
    if isinstance(part, tuple):
        return [_printable(each) for each in part]
    return part if isinstance(part, str | int | bool) else asdict(part)
