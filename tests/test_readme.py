"""The README and the pages of the documentation: every command and example on them is run.

Each page in a folder of its own that holds a small log of KuaiRand-Pure's shape, on few rows. What
a study trains, and how long that takes, is out of the air; what is exported is trained.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed.cli import dask_scheduler, dask_worker

from fsmd.data import open_encoded
from fsmd.tasks import names
from fsmd.training import Measurement, Training, TrainingResult
from studies.run import parser
from studies.timing import EpochTime
from tests.conftest import leave_figures_blank
from tests.lab import Immediate, no_report
from tests.test_catalog import LOG, USERS, VIDEOS

TAKES_LONG = True

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")
TOLD_ALONE = (
    *("pip", "nox", "curl", "optuna-dashboard"),
    *("createdb", "export", "bash", "docker", "kubectl"),  # see tests/test_recipes.py
)
"""Commands of others, or that go on for ever: these are not run."""
QUICKLY = ("--epochs", "1", "--workers", "1")
FEW = "rows=600"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with logs, where trainings are done in this process and figures are blank."""
    leave_figures_blank(monkeypatch)
    for module in ("pdf", "files"):
        monkeypatch.setattr(f"reports.page.{module}.pdf", lambda *_: b"")
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.setattr("studies.workers.worker.train", no_training)
    for module in ("timing", "session"):
        monkeypatch.setattr(f"studies.{module}.measure", lambda *_: EpochTime(0.1, 0.1, 1.0))
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)
    monkeypatch.setattr("studies.costs.Costs._measure", lambda *_: 1.0)
    for name, value in {"FEWEST_TRIALS": 4, "MOST_TRIALS": 4, "CONFIRMING": ((2, 2),)}.items():
        monkeypatch.setattr(f"studies.auto.plan.{name}", value)
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "KuaiRand-Pure" / "data")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_and_example_of_a_page_runs_as_it_is_written(page: Path, desk: Path) -> None:
    text = page.read_text("utf-8")
    for kind, content in re.findall(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if kind == "toml":
            edit(desk / "dataset.toml", content)
        elif kind == "python" and "\nSTUDY = " in content:
            (desk / "mine").mkdir()
            (desk / "mine" / "my_study.py").write_text(content)
        elif kind == "python":
            exec(compile(content, str(page), "exec"), {})
        elif kind == "":
            for words in commands(content):
                run(words)
        else:
            assert kind == "{toctree}" or content.startswith(".. "), kind


def run(words: list[str]) -> None:
    """One command line; what it tells of a mistake is shown."""
    if words[0] in TOLD_ALONE:
        if words[:2] == ["nox", "-s"]:
            assert f"def {words[2]}(" in (ROOT / "noxfile.py").read_text()
        return
    if words[0] == "dask":
        command = {"scheduler": dask_scheduler, "worker": dask_worker}[words[1]].main
        command.make_context(" ".join(words[:2]), words[2:])  # which refuses unknown options
        return
    assert words[0] == "python"
    if words[1] != "-m":
        script = (ROOT / words[1]).read_text("utf-8")
        assert all(
            f'"{word}"' in script for word in words if word.startswith("--") and word != "--"
        )
        return
    module, given = words[2], words[3:]
    for path in given:
        if path == "rows.csv":  # of the made-up log's columns
            write_rows(Path(path))
    main: Callable[[list[str]], int] = import_module(module).main
    with pytest.MonkeyPatch.context() as patch:
        if "--cluster" in given:
            assert module == "studies.run"
            parser().parse_args(given)  # what it does is told in tests/test_cluster.py
            return
        if module == "studies.run":
            given = [*given, *quick(given)]
            patch.setattr("reports.build.build", no_report)
        assert main(given) == 0, words


def quick(given: list[str]) -> list[str]:
    """What makes a run small; of an option that is given twice, the last one counts."""
    if "--list" in given:
        return []
    data = given[given.index("--data") + 1] if "--data" in given else "planted"
    more = ["--name", Path(given[0]).stem] if {"--data", "--name"}.isdisjoint(given) else []
    if data == "planted" or not data.startswith(("planted:", "dataset.toml")):
        more += ["--data", f"planted:{FEW}"]  # also for a set that has to be downloaded
    elif data.startswith("planted:"):
        more += ["--data", f"{data},{FEW}"]
    if given[0] == "auto":
        return [*more, "--workers", "1"]
    if given[0] == "pareto":
        return [*more, *QUICKLY, "--trials", "2", "--confirm", "0", "--sampler", "random"]
    small = () if "--set" in given else ("--set", "layers=16,8")
    return [*more, *QUICKLY, "--replicates", "1", *small]


def no_training(training: Training, *_: Any) -> TrainingResult:
    """In the place of `train`: figures of one epoch, out of the air."""
    tasks = open_encoded(training.data.path).schema.tasks
    figures = [
        Measurement(1, split, task.name, task.metric, 0.5 + int(training.id[:6], 16) / 2**26)
        for task in tasks
        for split in ("valid", "test")
    ]
    return TrainingResult(tuple(figures), dict.fromkeys(names(tasks), 1), 1, True, 0.1, 10)


def commands(block: str) -> Iterator[list[str]]:
    """The words of each command, globs as a shell resolves them."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield [path for each in words for path in sorted(glob(each)) or [each]]


def edit(path: Path, sections: str) -> None:
    """Write each of some sections in the place of the one with its name."""
    text = path.read_text()
    for section in re.split(r"^(?=\[)", sections, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        before, found, after = text.partition(f"{name}\n")
        assert found, name
        rest = re.split(r"^(?=\[)", after, maxsplit=1, flags=re.MULTILINE)
        text = before + section + (rest[1] if len(rest) > 1 else "")
    path.write_text(text)


def write_rows(path: Path) -> None:
    """Raw rows of the model that lies here."""
    rows = json.loads(Path("model/example.json").read_text())["rows"]
    pd.DataFrame(rows).to_csv(path, index=False)


def write_log(folder: Path) -> None:
    """As KuaiRand-Pure: two logs of 14 days, and what is known of 60 users and 80 videos."""
    random = np.random.default_rng(0)
    rows, users, videos = 1400, 60, 80
    first = pd.Timestamp("2022-04-25", tz="Asia/Shanghai")
    moments = first + pd.to_timedelta(np.sort(random.uniform(0, 14 * 86_400, rows)), unit="s")
    user, video = random.integers(users, size=rows), random.integers(videos, size=rows)
    click = random.random(rows) < 1 / (1 + np.exp(-(user / 30 - 1) - (video / 40 - 1)))
    long_view = click & (random.random(rows) < 0.4 + video / 200)
    log = pd.DataFrame(0, index=range(rows), columns=LOG.split(","))
    log["user_id"], log["video_id"] = user, video
    log["date"], log["hourmin"] = moments.strftime("%Y%m%d"), moments.hour * 100
    log["time_ms"] = (moments.as_unit("ms").astype("int64")).to_numpy()
    log["is_click"], log["long_view"] = click.astype(int), long_view.astype(int)
    log["play_time_ms"], log["duration_ms"] = random.integers(60_000, size=(2, rows))
    log["tab"] = random.integers(3, size=rows)
    folder.mkdir(parents=True)
    half = rows // 2
    log[:half].to_csv(folder / "log_standard_4_08_to_4_21_pure.csv", index=False)
    log[half:].to_csv(folder / "log_standard_4_22_to_5_08_pure.csv", index=False)
    for name, text, count in (("user", USERS, users), ("video", VIDEOS, videos)):
        header, *lines = text.splitlines()
        made = [re.sub(r"^\d+", str(i), lines[i % len(lines)]) for i in range(count)]
        kind = "features" if name == "user" else "features_basic"
        (folder / f"{name}_{kind}_pure.csv").write_text("\n".join([header, *made, ""]))
