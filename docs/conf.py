"""The documentation: `nox -s docs` builds it into docs/_build; a warning is an error."""

import re

project = "fsmd"
author = "the authors of fsmd"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "fsmd"
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "code"  # docstrings have `names` as Markdown has them
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"

_KEPT_OR_MARK = re.compile(r"(`[^`]*`)|([*|]|(?<=\w)_(?!\w))")


def as_it_is(app, what, name, obj, options, lines):
    """Docstrings are plain text: a star or a bar in one marks nothing."""
    for i, line in enumerate(lines):
        if not line.startswith((">>>", "    ")):
            lines[i] = _KEPT_OR_MARK.sub(lambda m: m[1] or f"\\{m[2]}", line)


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_it_is)
