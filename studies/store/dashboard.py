"""Shows in optuna-dashboard what a report found: a note, figures as plots, files as artifacts.

It writes only what the dashboard shows beside a study. Publishing again replaces what was
published before; what a person wrote in the note stays.
"""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna_dashboard import get_note, save_note, save_plotly_graph_object

HEADING = "## What the report found"
RULE = "\n\n---\n\n"
"""Between what the report says and what a person wrote."""


def publish(
    study: optuna.Study,
    lines: Sequence[str],
    figures: Sequence[Path],
    files: Sequence[Path],
    artifacts: Path,
) -> None:
    """Put a report's findings beside its study.

    lines: the findings, for the note. figures: SVG files, shown as plots. files: kept in the
    folder `artifacts`, which the dashboard reads with --artifact-dir.
    """
    _note(study, lines)
    for path in figures:
        save_plotly_graph_object(study, _plot(path), graph_object_id=f"fsmd-{path.stem}")
    artifacts.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(artifacts)
    known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(study)}
    for path in files:
        if path.name in known:  # the same entry, with what the file holds now
            with path.open("rb") as content:
                store.write(known[path.name], content)
        else:
            upload_artifact(study_or_trial=study, file_path=str(path), artifact_store=store)


def _note(study: optuna.Study, lines: Sequence[str]) -> None:
    before = get_note(study)
    own = before.partition(RULE)[2] if before.startswith(HEADING) else before
    # The dashboard reads Markdown: names such as wide_deep and #12 are not marks.
    body = "\n".join(f"- {_plain(line)}" for line in lines)
    text = f"{HEADING}\n\n{body}{RULE}{own}"
    if text != before:
        save_note(study, text)


def _plain(line: str) -> str:
    return re.sub(r"[\\*_#`\[\]]", r"\\\g<0>", html.escape(line, quote=False))


def _plot(path: Path) -> Any:
    """The figure as it is in the report, filling a plot without axes."""
    import plotly.graph_objects as go

    source = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
    image = {
        "source": source,
        **{"xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1},
        **{"xanchor": "left", "yanchor": "top"},
    }
    hidden = {"visible": False, "fixedrange": True}
    return go.Figure(
        layout={
            **{"images": [image], "xaxis": hidden, "yaxis": hidden, "plot_bgcolor": "white"},
            **{"title": {"text": path.stem}, "margin": {"l": 8, "r": 8, "t": 48, "b": 8}},
        }
    )
