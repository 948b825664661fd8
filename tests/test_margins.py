"""The smallest difference that matters is a property of each metric, and the user's to state."""

from dataclasses import replace
from pathlib import Path

import pytest

from fsmd.metrics import METRICS
from fsmd.tasks import Task
from reports.ran import run_command
from reports.results import read
from reports.study.analysis import analyse_study
from reports.study.cautions import statement
from studies.run import main
from studies.store.database import open_engine
from tests import made_up
from tests.lab import without_training

MIXED = (Task("click"), Task("buy", "log_loss", after="click"))


def test_each_metric_is_judged_by_its_own_margin(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    study = replace(made_up.towers(MIXED), margins=(("log_loss", 0.5),))
    made_up.store_study(engine, study, tasks=MIXED, replicates=5, looks=(5,))
    analysis = analyse_study(read(engine, "towers"))
    margins = {c.target.key: c.margin for c in analysis.comparisons}
    assert margins == {"click": METRICS["auc"].margin, "buy": 0.5}
    assert {c.word for c in analysis.comparisons if c.target.key == "buy"} == {"equivalent"}
    assert "0.001 in AUC and 0.5 in log loss" in analysis.asked.matters
    assert "--margin log_loss=0.5" in run_command(analysis.results)


def test_a_margin_that_was_changed_later_is_said(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    study = made_up.towers()
    later = replace(study, margins=(("auc", 0.01), ("log_loss", 0.2)))
    made_up.store_study(engine, later, stated=study, replicates=2)
    said = statement(read(engine, "towers"))
    assert said == (
        "Stated or changed after this study was planned: the margin of AUC (0.01, before: 0.001)."
    )


def test_the_command_line_takes_margins_by_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_training(monkeypatch, "planted:rows=2000", tmp_path)
    command = ["tower_shape", "--data", "planted:rows=2000", "--name", "own", "--replicates", "2"]
    assert main([*command, "--margin", "auc=0.004"]) == 0
    record = read(open_engine("sqlite:///studies.db"), "own").record
    assert record.study.margins == (("auc", 0.004),)
    assert record.study.margin("log_loss") == METRICS["log_loss"].margin
    for text, told in (
        ("acu=0.1", "--margin acu is of no task here; did you mean 'auc'?"),
        ("log_loss=0.1", "--margin log_loss is of no task here; there are auc"),
        ("auc=0.1,auc=0.2", "the margin of auc is there twice"),
        ("0.1", "a margin is metric=value"),
        ("auc=-1", "a margin is metric=value"),
        ("auc=nan", "a margin is metric=value"),
    ):
        capsys.readouterr()
        assert main([*command, "--margin", text]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert main(["pareto", "--margin", "auc=0.1"]) == 2
    assert "--margin goes with a study only" in capsys.readouterr().err


def test_margins_that_were_stated_are_kept_as_soon_as_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_training(monkeypatch, "planted:rows=2000", tmp_path)
    command = ["tower_shape", "--data", "planted:rows=2000", "--name", "own", "--replicates", "2"]

    def margin() -> float:
        engine = open_engine("sqlite:///studies.db")
        kept = read(engine, "own").record.study.margin("auc")
        engine.dispose()
        return kept

    with monkeypatch.context() as patch:  # stored, and stopped before anything is trained
        patch.setattr("studies.session._train", lambda *_, **__: (0, 0, ""))
        assert main([*command, "--margin", "auc=0.5"]) == 0
        assert main([*command, "--margin", "auc=0.4"]) == 0
    assert margin() == 0.4
    capsys.readouterr()
    assert main(command) == 0
    assert "The margin of auc stays 0.4, as it was first stated." in capsys.readouterr().err
    assert main([*command, "--margin", "auc=0.00001"]) == 2
    error = capsys.readouterr().err
    assert "other margins (margin of auc: 0.4 there, 1e-05 now); leave --margin out" in error
    assert "--name" in error
    assert error.count("\n") == 1
    assert margin() == 0.4


def test_a_command_states_no_margin_of_a_metric_that_is_of_no_task(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    study = replace(made_up.towers(), margins=(("auc", 0.5), ("log_loss", 0.5)))
    made_up.store_study(engine, study, replicates=2)
    assert "--margin auc=0.5 " in f"{run_command(read(engine, 'towers'))} "
