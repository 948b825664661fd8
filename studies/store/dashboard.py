"""Shows in optuna-dashboard what a report found: a note, figures as plots, files as artifacts.

It writes only what the dashboard shows beside a study's trials, and the means that the report
compares. Publishing again replaces what was published before; what a person wrote in the note
stays.
"""

import base64
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna_dashboard import get_note, save_note, save_plotly_graph_object
from optuna_dashboard._custom_plot_data import SYSTEM_ATTR_PLOT_DATA

from fsmd.markdown import plain
from studies.store.faults import patient, shown
from studies.store.means import Means
from studies.store.mirror import FRESH, MEANS, show_means, stored_studies
from studies.store.records import StudyRecord

HEADING = "## What the report found"
RULE = "\n\n---\n\n"
"""Between what the report says and what a person wrote."""
_PLOT = "fsmd-"
"""How the identities of a report's plots begin."""


@patient
def publish_report(
    engine: sa.Engine,
    record: StudyRecord,
    lines: Sequence[str],
    means: Means,
    *,
    figures: Sequence[Path],
    files: Sequence[Path],
    artifacts: Path,
) -> None:
    """Put a report's findings beside its study, and what it compares into a study of its own.

    See `publish`; means: of the arms, or of the configurations that were confirmed.
    """
    show_means(engine, record.name, means)
    for name, study in stored_studies(engine, record.name).items():
        told = (*_what_trials_are(record, name, means), *lines)
        if name == record.name:
            _remove_plots(engine, study)
            publish(study, told, figures, files, artifacts)
        else:
            _note(study, told)


def _what_trials_are(record: StudyRecord, shown: str, means: Means) -> Iterator[str]:
    """What a reader of the trials must know, as Optuna ranks all of a study by their values."""
    name = record.name
    if shown == name and record.is_search:
        yield (
            "Each trial is a configuration that the search tried, trained on the search's one "
            "seed: its attribute arm is its name in the report, and #N is trial N. What is best "
            "here is what the search saw."
        )
        yield (
            "The report estimates importance from stopped trials too, the dashboard from "
            "complete ones alone, in another way: they may differ."
        )
    elif shown == name:
        yield (
            "Each trial is one training, of an arm in one replicate: its figures on validation. "
            "What is best here is best by the luck of one seed, and decides nothing."
        )
    elif shown == FRESH.format(name):
        yield (
            f"Each trial is one training of a configuration of {name} on a fresh seed. What is "
            "best here is best by the luck of one seed, and decides nothing."
        )
    else:
        yield f"Each trial is the mean over {means.over}, as the report compares them."
    if shown != MEANS.format(name) and means.of_arms:
        yield f"The study {MEANS.format(name)} has the means over {means.over}."


def dashboard_command(url: sa.URL, artifacts: Path) -> str:
    """What starts optuna-dashboard on a database, to be copied into a shell as it is.

    A password is shown as ***, in whose place it is to be put.
    """
    folder = str(artifacts)
    folder = os.path.join(".", folder) if folder.startswith("-") else folder
    words = ["optuna-dashboard", shown(url), "--artifact-dir", folder]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


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
        save_plotly_graph_object(study, _plot(path), graph_object_id=f"{_PLOT}{path.stem}")
    artifacts.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(artifacts)
    known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(study)}
    for path in files:
        if path.name in known:  # the same entry, with what the file holds now
            with path.open("rb") as content:
                store.write(known[path.name], content)
        else:
            upload_artifact(study_or_trial=study, file_path=str(path), artifact_store=store)


@patient
def _remove_plots(engine: sa.Engine, study: optuna.Study) -> None:
    """Else figures of an earlier report that this one lacks stay; Optuna removes no attribute."""
    stored = sa.table("study_system_attributes", *map(sa.column, ("study_id", "key")))
    own = stored.c.key.startswith(f"{SYSTEM_ATTR_PLOT_DATA}{_PLOT}", autoescape=True)
    with engine.begin() as connection:
        connection.execute(sa.delete(stored).where(own, stored.c.study_id == study._study_id))


def _note(study: optuna.Study, lines: Sequence[str]) -> None:
    before = get_note(study)
    own = before.partition(RULE)[2] if before.startswith(HEADING) else before
    # The dashboard reads Markdown: names such as wide_deep and #12 are not marks.
    body = "\n".join(f"- {plain(line)}" for line in lines)
    text = f"{HEADING}\n\n{body}{RULE}{own}"
    if text != before:
        save_note(study, text)


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
