"""Pages and pictures from templates, in which no value can become markup."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2


def rendered(template: Path, **values: Any) -> str:
    """What a template makes of values; it may include others of its folder."""
    return f"{_template(template).render(**values).strip()}\n"


@cache
def _template(path: Path) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(path.name)
