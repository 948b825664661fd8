"""What is for paper, by typst; the same text gives the same bytes."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import typst

from reports.page.fonts import Fonts, fonts_for

_FIGURE = """
#set document(date: none)
#set page(width: auto, height: auto, margin: 0pt, fill: none)
#image(bytes(sys.inputs.document))
"""


def typeset(source: str | bytes, document: str, fonts: Fonts, **how: Any) -> bytes:
    """The PDF that a program in typst, or the file of one, makes of a text; how: for typst."""
    # Fonts that come with typst and matplotlib: the machine's own would change the bytes. They
    # are used for what is written in letters that those lack.
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    compiler = typst.Compiler(
        source,
        font_paths=[str(own), *fonts.folders],
        ignore_system_fonts=True,
        sys_inputs={"document": document, "fonts": json.dumps(fonts.families)},
    )
    made = compiler.compile(format="pdf", timestamp=0, **how)
    assert isinstance(made, bytes)
    return made


def figure_pdf(svg: str) -> bytes:
    """A figure as a PDF file of its size; of PDF 1.4, which any LaTeX includes."""
    plain = {"pdf_standards": "1.4", "pdf_tags": False}
    return typeset(_FIGURE.encode(), svg, fonts_for(svg), **plain)
