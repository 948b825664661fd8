"""What a report found, beside its study in a real optuna-dashboard, in a real browser."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna_dashboard import get_note, save_note

from studies.store.dashboard import RULE, publish

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from optuna_dashboard._cli import main; main()", url),
            *("--artifact-dir", str(folder / "artifacts"), "--port", str(port)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(address):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address, study, folder
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(address: str) -> bool:
    try:
        return bool(_read(f"{address}/api/studies"))
    except OSError:
        return False


def _read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return bytes(answer.read())


def test_the_dashboard_serves_the_note_the_plot_and_the_report_once_each(
    shown: tuple[str, optuna.Study, Path],
) -> None:
    address, _, _ = shown
    study = json.loads(_read(f"{address}/api/studies/1?after=0"))
    note = study["note"]["body"]
    assert r"\#6 dominates wide\_deep" in note
    assert note.count("picked") == 1
    assert [plot["id"] for plot in study["plotly_graph_objects"]] == ["fsmd-front"]
    assert len(study["artifacts"]) == 1
    artifact = study["artifacts"][0]
    assert artifact["filename"] == "report.html"
    assert _read(f"{address}/artifacts/1/{artifact['artifact_id']}") == b"second"
    states = [trial["state"] for trial in study["trials"]]
    assert states == ["Complete"] * 3 + ["Pruned"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_a_browser_shows_front_note_and_plot(shown: tuple[str, optuna.Study, Path]) -> None:
    address, _, folder = shown

    def page(path: str) -> str:
        return subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
                *(f"--user-data-dir={folder}/browser", "--virtual-time-budget=20000"),
                *("--window-size=1300,2600", f"{address}/dashboard/studies/1{path}"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

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
