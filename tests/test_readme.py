"""The README's "Your own log", run as it is written on a small log of the same shape."""

import re
import shlex
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reports.build
import studies.data
import studies.run
from tests.conftest import leave_figures_blank
from tests.test_catalog import LOG, USERS, VIDEOS

README = Path(__file__).parents[1] / "README.md"
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "studies.data": studies.data.main,
    "studies.run": studies.run.main,
    "reports.build": reports.build.main,
}
QUICKLY = ["--epochs", "1", "--replicates", "1", "--workers", "1"]


def test_the_walk_from_a_log_to_a_report_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_figures_blank(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "KuaiRand-Pure" / "data")
    walk = README.read_text().partition("\n## Your own log\n")[2].partition("\n## ")[0]
    for kind, content in re.findall(r"^```(\w*)\n(.*?)^```$", walk, re.DOTALL | re.MULTILINE):
        if kind == "toml":
            edit(tmp_path / "dataset.toml", content)
            continue
        for module, given in commands(content):
            more = QUICKLY if module == "studies.run" else []
            assert COMMANDS[module]([*given, *more]) == 0, given
    assert len(glob("out/gate_depth-*/report.html")) == 1


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Module and arguments of each command, globs as a shell resolves them."""
    for line in block.replace("\\\n", " ").splitlines():
        python, option, module, *given = shlex.split(line, comments=True)
        assert (python, option) == ("python", "-m")
        yield module, [path for each in given for path in sorted(glob(each)) or [each]]


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
