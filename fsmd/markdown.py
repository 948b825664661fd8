"""Text from data within Markdown: it is shown as it stands, never a mark, a link or HTML."""

import re

from fsmd.errors import one_line

_MARKS = re.compile(r"[\\`*\[\]#~!$@<>&|]|(?<!\w)_|_(?!\w)|(?<=\w):(?=//)|(?<=\bwww)\.", re.I)
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}
"""What ends a cell of a table, or begins HTML, even behind a backslash."""


def plain(text: str) -> str:
    r"""The text among other text, or in a cell of a table.

    >>> print(plain("*a* <b> | [x](https://y.example) wide_deep 50 % of $x$"))
    \*a\* &lt;b&gt; &#124; \[x\](https\://y.example) wide_deep 50 % of \$x\$
    """
    marked = one_line(text)
    return _MARKS.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), marked)


def code(text: str) -> str:
    """The text as code; plain where it has what no code within a cell can have.

    >>> code("log(price)"), code("a`b"), code("a | b")
    ('`log(price)`', 'a\\\\`b', 'a &#124; b')
    """
    return plain(text) if {"`", "|"} & {*text} or not text.strip() else f"`{one_line(text)}`"
