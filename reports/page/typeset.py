"""What is for paper, by typst; the same text gives the same bytes."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import typst

from reports.page.fonts import Fonts, fonts_for

_FIGURE = b"""
#set document(date: none)
#set page(width: auto, height: auto, margin: 0pt, fill: none)
#image(bytes(sys.inputs.document))
"""


def typeset(program: bytes, document: str, fonts: Fonts, **how: Any) -> bytes:
    """The PDF that a program in typst makes of a text; how: for its compiler."""
    # Fonts that come with typst and matplotlib: the machine's own would change the bytes. They
    # are used for what is written in letters that those lack.
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    compiler = typst.Compiler(font_paths=[str(own), *fonts.folders], ignore_system_fonts=True)
    inputs = {"document": document, "fonts": json.dumps(fonts.families)}
    made = compiler.compile(program, format="pdf", sys_inputs=inputs, timestamp=0, **how)
    assert isinstance(made, bytes)
    return made


def figure_pdf(svg: str) -> bytes:
    """A figure as a PDF file of its size; of PDF 1.4, which any LaTeX includes."""
    plain = {"pdf_standards": "1.4", "pdf_tags": False}
    return typeset(_FIGURE, svg, fonts_for(svg), **plain)
