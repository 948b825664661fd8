"""A draft as TOML, with the reasons as comments."""

import json
import re
from collections.abc import Mapping, Sequence

from fsmd.errors import one_line
from studies.data.draft.values import Draft, DraftSection, Line, Toml

COMMENTS_AT = 60
"""Column at which comments begin, beyond lines that are longer."""


def text_of(draft: Draft) -> str:
    """The whole file."""
    head = "".join(f"{_comment(note)}\n" for note in draft.notes)
    return "\n".join((head, *map(_section, draft.sections)))


def _section(section: DraftSection) -> str:
    lines = (section.header, *map(_comment, section.notes), *map(_line, section.lines))
    return "".join(f"{line}\n" for line in lines)


def _line(line: Line) -> str:
    """A key and its value; both are behind a # where they do not bind."""
    start = f"{'' if line.on else '# '}{key(line.key)} = {value(line.value)}"
    return f"{start:<{COMMENTS_AT}}  {_comment(line.why)}" if line.why else start


def _comment(words: str) -> str:
    return f"# {one_line(words)}"


def key(name: str) -> str:
    """The name as a key of TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else value(name)


def value(given: Toml) -> str:
    r"""A value of TOML, on one line.

    >>> print(value({"kind": "tags", "separator": "\t", "max_length": 8, "shares": [0.8, 0.2]}))
    { kind = "tags", separator = "\t", max_length = 8, shares = [0.8, 0.2] }
    """
    if isinstance(given, str):
        # JSON's texts are TOML's but for DEL, which TOML wants written out too.
        return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, Mapping):
        return "{ " + ", ".join(f"{key(k)} = {value(v)}" for k, v in given.items()) + " }"
    if isinstance(given, Sequence):
        return "[" + ", ".join(map(value, given)) + "]"
    return repr(given)
