"""What a report found, beside its study in the real optuna-dashboard, in a real browser."""

import json
import os
import re
import shlex
import threading
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import get_note, save_note, save_plotly_graph_object, wsgi
from plotly.graph_objects import Figure

from fsmd.data.schema import DataRef
from fsmd.tasks import MEAN
from reports.build import analyse, outline_of
from reports.results import read
from reports.search.analysis import SearchAnalysis
from studies.search.attempt import cell_of, read_attempts
from studies.search.confirmation import fresh_cells
from studies.search.run import search_mirror
from studies.store.dashboard import HEADING, RULE, dashboard_command, publish, publish_report
from studies.store.database import open_engine
from studies.store.records import StudyRecord
from tests import made_up
from tests.browser import dom_of, needs_browser
from tests.postgres import closing_all

BOX = 'viewBox="0 0 80 40"'
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" {BOX}><rect width="80" height="40"/></svg>'
LINES = ("#6 dominates wide_deep", "picked: `knee` <not a tag>")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, optuna.Study, Path]]:
    """A small study with two findings, published twice, behind a running dashboard."""
    folder = tmp_path_factory.mktemp("dashboard")
    url = f"sqlite:///{folder}/studies.db"
    study = optuna.create_study(
        study_name="pareto", storage=url, directions=["maximize", "maximize"]
    )
    for x in (0.1, 0.5, 0.9):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, (x, 1 - x))
    stopped = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    study.tell(stopped, state=optuna.trial.TrialState.PRUNED)
    figure, page = folder / "front.svg", folder / "report.html"
    figure.write_text(SVG)
    for said in ("first", "second"):
        page.write_text(said)
        publish(study, LINES, [figure], [page], folder / "artifacts")
    app = wsgi(url, FileSystemArtifactStore(folder / "artifacts"))
    with make_server("127.0.0.1", 0, app, Threading, Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", study, folder
        server.shutdown()
        thread.join()


class Threading(ThreadingMixIn, WSGIServer):
    """A browser asks for several things at once."""


class Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return bytes(answer.read())


def test_the_dashboard_serves_the_note_the_plot_and_the_report_once_each(
    shown: tuple[str, optuna.Study, Path],
) -> None:
    address, _, _ = shown
    study = json.loads(_read(f"{address}/api/studies/1?after=0"))
    note = study["note"]["body"]
    assert r"\#6 dominates wide_deep" in note
    assert note.count("picked") == 1
    assert [plot["id"] for plot in study["plotly_graph_objects"]] == ["fsmd-front"]
    assert len(study["artifacts"]) == 1
    artifact = study["artifacts"][0]
    assert artifact["filename"] == "report.html"
    assert _read(f"{address}/artifacts/1/{artifact['artifact_id']}") == b"second"
    states = [trial["state"] for trial in study["trials"]]
    assert states == ["Complete"] * 3 + ["Pruned"]


@needs_browser
def test_a_browser_shows_front_note_and_plot(shown: tuple[str, optuna.Study, Path]) -> None:
    address, _, folder = shown

    def page(path: str) -> str:
        flags = ("--virtual-time-budget=20000", "--window-size=1300,2600")
        return dom_of(f"{address}/dashboard/studies/1{path}", folder / "browser", *flags)

    main = page("")
    assert "Pareto Front" in main
    assert "data:image/svg+xml;base64," in main
    assert ">front<" in main
    assert "report.html" in main
    note = page("/note")
    assert "#6 dominates wide_deep" in note
    assert "&lt;not a tag&gt;" in note


def test_what_a_person_wrote_in_the_note_stays(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/s.db")
    save_note(study, "my own words")
    publish(study, ["found"], [], [], tmp_path / "artifacts")
    assert get_note(study).endswith(f"{RULE}my own words")
    save_note(study, get_note(study) + " and more")
    publish(study, ["found more"], [], [], tmp_path / "artifacts")
    assert get_note(study).endswith(f"- found more{RULE}my own words and more")
    assert get_note(study).count("found") == 2  # the heading and the line


# ------------------------------------------------------------------------------------------
# What the dashboard says of a search and of a study
# ------------------------------------------------------------------------------------------


def served(url: str) -> dict[str, Any]:
    """Name -> what the dashboard's own application answers for each study."""
    app = wsgi(url)

    def answer(path: str, query: str = "") -> Any:
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
        asked |= {"SERVER_NAME": "here", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
        body = app({**asked, "wsgi.input": BytesIO()}, lambda *_: None)
        return json.loads(b"".join(body))

    listed = answer("/api/studies")["study_summaries"]
    return {
        study["study_name"]: answer(f"/api/studies/{study['study_id']}", "after=0")
        for study in listed
    }


def attribute(trial: Any, key: str) -> Any:
    return {a["key"]: a["value"] for a in trial["user_attrs"]}[key]


def arms(trials: Any) -> set[str]:
    return {attribute(trial, "arm") for trial in trials}


def published(engine: sa.Engine, record: StudyRecord, folder: Path) -> dict[str, Any]:
    outline = outline_of(engine, record)
    for _ in range(2):
        publish_report(
            engine,
            record,
            outline.lines,
            outline.means,
            figures=(),
            files=(),
            artifacts=folder / "artifacts",
        )
    return served(engine.url.render_as_string(hide_password=False))


@pytest.mark.parametrize("objectives", [("tasks",), ("mean",), ("click", "params")])
def test_the_dashboard_of_a_search_agrees_with_its_report(
    tmp_path: Path, objectives: tuple[str, ...]
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    points = list(made_up.paper_points(14).items())
    known = [name for name, _ in points if not name.startswith("#")]
    attempts = {name if name in known else f"#{i}": p for i, (name, p) in enumerate(points)}
    names = list(attempts)
    record = made_up.store_search(
        engine,
        attempts,
        objectives=objectives,
        stopped=names[6:8],
        failed=[names[8]],
        confirmed=[*names[:2], *names[9:12]],
        seeds=5,
    )
    data = DataRef("planted", record.plan.data.content_hash, Path())
    stored = read_attempts(engine, record)
    own = ((cell_of(attempt, record, data), attempt.state) for attempt in stored)
    fresh = fresh_cells(engine, record, data, stored)
    search_mirror(engine, record).show((*own, *fresh))
    studies = published(engine, record, tmp_path / "out")
    analysis = analyse(engine, record.name)
    assert isinstance(analysis, SearchAnalysis)

    tried = studies["search"]
    assert [t["number"] for t in tried["trials"]] == list(range(14))
    assert [attribute(t, "arm") for t in tried["trials"]] == names
    for trial in tried["trials"]:
        name, number = attribute(trial, "arm"), trial["number"]
        assert name in known or name == f"#{number}"
        assert attribute(trial, "replicate") == "0"
        attempt = analysis.search.attempt(name)
        shown = {p["name"]: p["param_external_value"] for p in trial["params"]}
        assert shown == {key: str(value) for key, value in attempt.params.items()}
        if trial["state"] == "Complete":
            assert tuple(trial["values"]) == attempt.values
    assert arms(tried["best_trials"]) == set(analysis.front)
    labels = [objective.label for objective in analysis.search.objectives]

    trainings = studies["search (fresh seeds)"]["trials"]
    runs = analysis.search.fresh.runs
    cells = {(attribute(t, "arm"), int(attribute(t, "replicate"))) for t in trainings}
    assert cells == set(zip(runs["arm"], runs["replicate"], strict=True))

    means = studies["search (means)"]
    assert arms(means["best_trials"]) == set(analysis.fresh_front)
    assert len(means["trials"]) == len(analysis.confirmed)
    for trial in means["trials"]:
        point = next(p for p in analysis.confirmed if p.name == attribute(trial, "arm"))
        told = [analysis.value(point, o).mean for o in analysis.search.objectives]
        assert trial["values"] == pytest.approx(told, rel=1e-12)
        sought = analysis.search.sought
        assert attribute(trial, f"the {sought}") == str(point.on_front)
        assert attribute(trial, f"P({sought})") == str(point.probability)
    for study in studies.values():
        assert study["objective_names"] == labels
        assert study["note"]["body"].count(HEADING) == 1
        assert re.sub(r"\\(.)", r"\1", study["note"]["body"]).count("best here") <= 1
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_dashboard_of_a_study_has_each_arms_mean_as_its_report(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    if kind == "postgresql":
        url = request.getfixturevalue("server").new_database()
    with closing_all():
        check_means(open_engine(url, create=True), tmp_path)


def check_means(engine: sa.Engine, tmp_path: Path) -> None:
    record = made_up.store_study(engine, replicates=3, missing=[("diamond", 2)])
    studies = published(engine, record, tmp_path / "out")
    means, scores = studies[f"{record.name} (means)"], read(engine, record.name).test
    assert [attribute(t, "arm") for t in means["trials"]] == list(scores.trained)
    targets = [target.key for target in scores.targets if target.key != MEAN]
    for trial in means["trials"]:
        arm = attribute(trial, "arm")
        told = [scores.mean(arm, key, scores.paired).mean for key in targets]
        assert trial["values"] == told
        assert attribute(trial, "replicates") == "[0, 1]"
    assert means["objective_names"] == ["test AUC, click", "test AUC, long_view"]
    assert "2 complete replicates, on test" in means["note"]["body"]
    engine.dispose()


def test_a_figure_that_the_report_has_no_more_is_no_plot_any_more(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    record = made_up.store_study(engine, replicates=1)
    outline = outline_of(engine, record)
    created = published(engine, record, tmp_path / "out")[f"{record.name} (means)"]
    study = optuna.create_study(study_name=record.name, storage=f"sqlite:///{tmp_path}/studies.db")
    save_plotly_graph_object(study, Figure(), graph_object_id="a-persons")
    figures = [tmp_path / f"{name}.svg" for name in ("front", "seesaw", "gates")]
    for figure in figures:
        figure.write_text(SVG)
    for some in (figures[:2], figures[1:]):
        publish_report(
            engine,
            record,
            outline.lines,
            outline.means,
            figures=some,
            files=(),
            artifacts=tmp_path / "out" / "artifacts",
        )
        plots = served(f"sqlite:///{tmp_path}/studies.db")[record.name]["plotly_graph_objects"]
        shown = {"a-persons", *(f"fsmd-{figure.stem}" for figure in some)}
        assert {plot["id"] for plot in plots} == shown
    assert served(f"sqlite:///{tmp_path}/studies.db")[f"{record.name} (means)"] == created
    engine.dispose()


HOSTILE = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\n\r/"),
    min_size=1,
    max_size=12,
)


@pytest.mark.skipif(os.name == "nt", reason="for a POSIX shell")
@given(HOSTILE, HOSTILE)
@example("my results & 'more' $(x)", "-out {SCHEMA_VERSION} %41?")
def test_the_dashboards_command_can_be_copied_into_a_shell(database: str, out: str) -> None:
    """Whatever the file's and the folder's names are, both arrive as they are."""
    url = sa.URL.create("sqlite", database=f"/place/{database}.db")
    line = dashboard_command(url, Path(out))
    name, storage, option, folder = shlex.split(line)
    assert (name, option) == ("optuna-dashboard", "--artifact-dir")
    assert Path(folder) == Path(out)
    assert not folder.startswith("-")
    read_by_optuna = sa.make_url(storage.format(SCHEMA_VERSION=1))
    path = read_by_optuna.database or ""
    assert not read_by_optuna.query
    assert path == f"/place/{database}.db"


def test_the_dashboards_command_shows_no_password() -> None:
    url = sa.make_url("postgresql+psycopg://me:hunter2@host/name")
    line = dashboard_command(url, Path("out/artifacts"))
    assert "hunter2" not in line
    assert "'postgresql+psycopg://me:***@host/name'" in line
