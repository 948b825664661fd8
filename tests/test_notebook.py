"""The notebook of examples/: its cells run in order, and it holds no output of anybody's."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.lab import Immediate, no_report

TAKES_LONG = True

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


def cells() -> list[dict[str, Any]]:
    """Those of code."""
    every = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return [cell for cell in every if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs() -> None:
    assert [cell["outputs"] for cell in cells()] == [[]] * len(cells())
    assert {cell["execution_count"] for cell in cells()} == {None}


@pytest.mark.usefixtures("one_thread")
def test_its_cells_go_from_a_log_to_scored_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, one epoch of each model, and without the report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.setattr("reports.build.build", no_report)
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)
    names: dict[str, Any] = {}
    for cell in cells():
        source = "".join(cell["source"]).replace("epochs=3", "epochs=1")
        exec(compile(source.replace("replicates=2", "replicates=1"), "a cell", "exec"), names)
    scores = pd.read_parquet("scores.parquet")
    assert list(scores) == ["user_id", "video_id", *names["scorer"].outputs]
    assert len(scores) == len(names["log"])
    assert scores["P(long_view)"].between(0, scores["P(click)"]).all()


@pytest.mark.slow
def test_a_notebook_server_runs_it(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert (tmp_path / "scores.parquet").is_file()
