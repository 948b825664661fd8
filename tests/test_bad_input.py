"""Whatever is given to a command: it is done, or refused in one line that leaves nothing."""

import argparse
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmd import Scorer, predict
from fsmd.command_line import check_folders
from fsmd.config import MODELS
from fsmd.data import load
from fsmd.errors import UserError
from fsmd.saved.head import read_example
from fsmd.saved.model import save_model
from fsmd.tasks import Task
from reports import build, commands
from studies import definition, execute, get, open_engine, record, run
from studies.blend import commands as blend
from studies.export import command as export
from studies.objectives import named
from studies.planner.design import check_name
from studies.store.studies import find_study
from tests.lab import Immediate
from tests.made_up import model_folders

DATA = "planted:rows=2000"
HOSTILE = (
    *("", " ", "a b", "a\nb", "a\tb", "\x1b[2J", "-", "--", "--x", "=", ",", ":", "%s", "{0}"),
    *("0", "-1", "1_0", "007", "1.5", "nan", "inf", "-inf", "1e400", "10" * 40, "9" * 3000),
    *("\u0663", "\u00b2", "\u22121", "None", "True", "click,click", "0,0", "64,x"),
    *(".", "..", "../../up", "/", "/dev/null", "/dev/full/x", "/proc/x", "~", "a/b", "a\\b"),
    *("$(touch up)", "`touch up`", "; touch up", "| cat", "'", '"', "<script>", "=1+1", "&#x27;"),
    *("a" * 101, "a" * 3000, "\u00e4\u00f6", "\U0001f600", "a\u202eb", "\udcff", "con", "NUL.txt"),
    *("index.html", "Artifacts", "all.pdf", "file", "file/x", ".hidden", "x.", "x.py"),
    *(
        "weights:0,0",
        "weights:-1,2",
        "weights:nan,1",
        "weights:1e400,1",
        "weights:1e308,1e308",
        "weights:1,1,1",
    ),
    *("best:", "floor:", "knee:1", "layers=64,x", "layers=", "dropout=nan", "dropout=1e400"),
    *("seed=1", "layers", "fm=", "sqlite://", "sqlite:///", "sqlite:////dev/null", "sqlite:///."),
    *("sqlite:///file", "sqlite:///no/such.db", "mysql://", "http://x", "://", "x://y:z@h/%"),
    *("planted:", "planted:rows", "planted:rows=-1", "planted:rows=x", "cuda:", "cuda:\u00b2"),
)
NUL = ("\x00", "a\x00b", "x\x00.py", "sqlite:///a\x00b", "planted:rows=\x00")
"""Which no command line can hold, but a notebook's call of `main`."""
COMMANDS: dict[str, tuple[Any, Sequence[Sequence[str]]]] = {
    "run": (run, (("null", "--data", DATA), ("pareto", "--data", DATA))),
    "report": (build, (("mine",), ("sought",), ("--all",))),
    "record": (record, (("--data", DATA),)),
}


def options_of(module: Any) -> list[argparse.Action]:
    actions: list[argparse.Action] = module.parser()._actions
    return [action for action in actions if action.dest != "help"]


def hostile(module: Any, starts: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Each option of a command with each of the values, after each of the starts."""
    for action in options_of(module):
        for start in starts:
            name = action.option_strings[:1]
            if action.nargs == 0:
                yield [*start, *name]
                continue
            for value in (*HOSTILE, *NUL):
                if action.dest in ("out", "curves") and value == "\udcff":
                    continue  # which the tests' own output cannot print; a real one can
                if name:
                    yield [*start, f"{name[0]}={value}"]
                    continue
                yield [value, *start[1:]]


@pytest.fixture(scope="module", autouse=True)
def data() -> None:
    load(DATA)  # so that no test waits for the encoding


@pytest.fixture
def untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return training_nothing(monkeypatch, tmp_path)


def training_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A folder to work in; what is accepted is stored, but not trained and not reported."""

    def built(engine: Any, name: str, out: Path, *_: Any) -> SimpleNamespace:
        return SimpleNamespace(page=out / name, lines=(), figures=(), means={})

    monkeypatch.chdir(folder)
    monkeypatch.setattr("studies.session._train", lambda *_, **__: (0, 0, "trained nothing"))
    monkeypatch.setattr("studies.session.publish_report", lambda *_, **__: None)
    monkeypatch.setattr("reports.build.build", built)
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    (folder / "file").write_text("text")
    return folder


def listing(folder: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_size for path in folder.rglob("*")}


def outcome(
    module: Any, arguments: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    """Code and error output of a command; where it refuses, one line and nothing else."""
    before = listing(folder)
    code, told = module.main(list(arguments)), capsys.readouterr().err
    shown = [each[:80] for each in arguments]
    assert code in (0, 2), (shown, told)
    if code == 2:
        assert told.startswith("error: "), (shown, told)
        assert told.count("\n") == 1, (shown, told)
        assert told[:-1].isprintable(), (shown, told)
        assert len(told) < 2100, shown
        left = listing(folder).keys() - before.keys()
        # A lock beside a file that is no database is left, as others may wait for it.
        assert {path for path in left if not path.endswith(".lock")} == set(), shown
    return code, told


def swept(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "file":
            path.unlink()


@pytest.mark.parametrize("command", ["run", "record"])
@pytest.mark.parametrize("share", [pytest.param(1, marks=pytest.mark.slow), 29])
def test_every_option_takes_a_value_or_refuses_it_in_one_line_and_leaves_nothing(
    untrained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    share: int,
) -> None:
    """With `share` each so many-th of the cases, so that each option meets many values."""
    monkeypatch.setattr("studies.record.curves", lambda *_: pd.DataFrame())
    module, starts = COMMANDS[command]
    codes = Counter[object]()
    for arguments in islice(hostile(module, starts), 0, None, share):
        code, _ = outcome(module, arguments, untrained, capsys)
        codes[code] += 1
        if code == 0:
            swept(untrained)
    assert set(codes) == {0, 2}
    assert sum(codes.values()) > 25
    assert not (untrained / "up").exists()


@pytest.mark.parametrize("share", [pytest.param(1, marks=pytest.mark.slow), 29])
def test_a_report_takes_a_value_or_refuses_it_in_one_line(
    untrained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    share: int,
) -> None:
    for name, stored in (("null", "mine"), ("pareto", "sought")):
        assert run.main([name, "--name", stored, "--data", DATA]) == 0
    capsys.readouterr()
    monkeypatch.undo()
    monkeypatch.chdir(untrained)
    monkeypatch.setattr("reports.build.build_all", lambda engine, out, tell: out)
    module, starts = COMMANDS["report"]
    for arguments in islice(hostile(module, starts), 0, None, share):
        outcome(module, arguments, untrained, capsys)


@pytest.mark.parametrize("command", ["export", "blend", "predict"])
@pytest.mark.parametrize("share", [pytest.param(1, marks=pytest.mark.slow), 29])
def test_taking_a_model_home_takes_a_value_or_refuses_it_in_one_line(
    untrained: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    command: str,
    share: int,
) -> None:
    """No arm of the study is trained: there, no value is right."""
    assert run.main(["null", "--data", DATA, "--name", "mine"]) == 0
    model = tmp_path_factory.mktemp("home") / "model"
    save_model(model_folders.untrained(DATA), model)
    rows = model.with_name("rows.parquet")
    pq.write_table(pa.Table.from_pylist([*read_example(model).rows]), rows)
    module, start = {
        "export": (export, ("mine", "--out", "home")),
        "blend": (blend, (str(model),)),
        "predict": (predict, (str(model), str(rows), "--out", "scores.csv")),
    }[command]
    for arguments in islice(hostile(module, [start]), 0, None, share):
        code, _ = outcome(module, arguments, untrained, capsys)
        if code == 0:
            swept(untrained)
    assert Scorer.load(model).outputs


@pytest.mark.parametrize("value", HOSTILE[::4])
def test_no_command_is_one_line(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert outcome(commands, [value], tmp_path, capsys)[0] == 2


def test_options_that_do_not_go_together_are_told_in_one_line(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        (("--workers", "two"), "argument --workers: invalid int value: 'two'; python -m studies"),
        (("--wrong",), "unrecognized arguments: --wrong"),
        (("null", "pareto"), "unrecognized arguments: pareto"),
        (("--name",), "argument --name: expected one argument"),
        (("null", "--set", "layers=64,x"), "--set layers must be whole numbers with commas betw"),
        (("null", "--epochs", "1" * 12), "--epochs must be at most 1,000,000; got 111"),
        (("null", "--data="), "no data set ''"),
        (("null", "--out="), "a path must have a name"),
    ):
        code, told = outcome(run, arguments, untrained, capsys)
        assert code == 2
        assert said in told


@pytest.mark.parametrize(
    "name",
    [
        *("artifacts", "Artifacts", "index.html", "INDEX.HTML", "all.pdf", "nul", "Com1.x", "-x"),
        *(".x", "..", ".", "", "x.", "a/b", "a b", "x" * 101, "x\n", "\u00e4"),
    ],
)
def test_one_rule_refuses_a_name_of_which_no_folder_can_be_made(
    untrained: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Of a study's file, and of an option."""
    told = outcome(run, ["null", "--data", DATA, f"--name={name}"], untrained, capsys)[1]
    assert "--name must" in told
    text = "from dataclasses import replace\nfrom studies import get\n"
    (untrained / "own.py").write_text(
        f"{text}STUDY = replace(get('null'), name={name!r})\n", "utf-8"
    )
    told = outcome(run, ["own.py", "--data", DATA], untrained, capsys)[1]
    assert "the study file own.py is faulty: the name of a study must" in told


def test_a_name_made_of_a_study_and_its_data_keeps_the_rule_too(
    untrained: Path,
) -> None:
    study = replace(get("null"), name="n" * 95)
    with pytest.raises(UserError, match="the name to store it under, which --name sets, must"):
        execute(study, data=DATA)
    assert [path.name for path in untrained.iterdir()] == ["file"]


def test_names_that_differ_by_the_size_of_letters_alone_are_refused(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["null", "--data", DATA, "--name", "mine"]) == 0
    capsys.readouterr()
    told = outcome(run, ["null", "--data", DATA, "--name", "Mine"], untrained, capsys)[1]
    assert "study 'Mine' would lie where 'mine' does" in told


@given(st.text(max_size=120) | st.from_regex(r"[A-Za-z0-9._-]{0,110}", fullmatch=True))
def test_what_the_rule_of_names_lets_pass_is_a_folder_of_its_own_everywhere(name: str) -> None:
    try:
        check_name(name, "a name")
    except UserError:
        return
    assert Path(name).name == name
    assert Path("out", name).parent == Path("out")
    assert name.isascii()
    assert name[0] not in ".-"
    assert name[-1] != "."
    assert len(name) <= 100
    assert name.lower() not in ("artifacts", "index.html", "all.pdf")


@given(
    st.lists(st.floats() | st.integers() | st.text(max_size=5), max_size=4).map(
        lambda parts: "weights:" + ",".join(map(str, parts))
    )
    | st.text(max_size=20)
)
def test_a_pick_is_a_rule_or_refused(name: str) -> None:
    tasks = (Task("click"), Task("long_view"))
    try:
        build.check_picks([name], tasks, named(["tasks"], tasks))
    except UserError:
        return
    kind, _, argument = name.partition(":")
    assert kind in ("knee", "best", "floor", "weights")
    if kind == "weights":
        assert 0 < sum(map(float, argument.split(","))) < math.inf


def test_a_search_in_which_nothing_was_begun_may_be_asked_otherwise(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one whose limits no model keeps."""
    command = ["pareto", "--data", DATA, "--name", "mine", "--max-params"]
    assert run.main([*command, "10"]) == run.main([*command, "20"]) == 0
    engine = open_engine("sqlite:///studies.db")
    stored = find_study(engine, "mine")
    engine.dispose()
    assert stored
    assert stored.search.max_params == 20
    assert stored.stated == stored.definition


@pytest.mark.parametrize(
    "place", ["file", "file/x", "/dev/null", "/proc/none", "dangling", "loop/x", "x" * 300, "a\0"]
)
@pytest.mark.parametrize("option", ["--out", "--curves"])
def test_a_folder_that_cannot_be_is_refused_before_anything_is_stored(
    untrained: Path, capsys: pytest.CaptureFixture[str], option: str, place: str
) -> None:
    (untrained / "dangling").symlink_to("nowhere")
    (untrained / "loop").symlink_to("loop")
    for module in (run, record, build) if option == "--out" else (record,):
        asked = () if module is record else ("null", "--data", "unread.toml")
        told = outcome(module, (*asked, f"{option}={place}"), untrained, capsys)[1]
        assert f"error: {option} must be a folder that can be written" in told
        assert ("file is no folder: give another" in told) == place.startswith("file")
    assert not list(untrained.glob("studies.db*"))


@pytest.mark.parametrize("part", ["mine", "mine/figures", "mine/tables", "artifacts"])
def test_a_file_where_a_report_would_have_a_folder_is_refused_before_training(
    untrained: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    path = untrained / "out" / part
    path.parent.mkdir(parents=True)
    path.touch()
    command = ["null", "--data", DATA, "--name", "mine"]
    assert "--out must be a folder that can be" in outcome(run, command, untrained, capsys)[1]
    assert not list(untrained.glob("studies.db*"))


def test_looking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_folders("--out", tmp_path / "a/b", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", [run, record, build])
def test_a_help_speaks_of_the_command_that_was_given(
    module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name = {run: "run", record: "record", build: "report"}[module]
    assert module.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert f"usage: {module.COMMAND} [-h]" in told
    assert commands.main([name, "--help"]) == 0
    assert capsys.readouterr().out.split() == told.replace(module.COMMAND, f"fsmd {name}").split()


def test_two_arms_of_one_name_are_refused_and_not_made_one() -> None:
    pairs = (("a", MODELS["fsmd"]), ("b", MODELS["base"]), ("a", MODELS["mmoe"]))
    with pytest.raises(UserError, match="each arm must have a name of its own; got a twice"):
        definition.named(pairs, "arm", MODELS["fsmd"])
