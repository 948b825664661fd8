"""The report of one study on several data sets."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from fsmd.metrics import Array
from fsmd.stats.across import MeanRank, normal_error, pooled
from fsmd.tasks import Task
from reports.across import outline
from reports.across.analysis import Across, TargetAcross, read_across
from reports.across.forest import forests
from reports.build import main
from tests import made_up

GAINS = {"planted": 0.004, "census": 0.005, "kuairand": 0.0045}


def stored(folder: Path, gains: Mapping[str, float] = GAINS, **more: object) -> sa.Engine:
    """Tower shapes on each data set; `increasing` gains over the reference, `diamond`."""
    engine = made_up.fresh_engine(folder)
    for data, gain in gains.items():
        name = "towers" if data == "planted" else f"towers-{data}"
        options = {"replicates": 3, "effects": {"increasing": gain}, **more}
        made_up.store_study(engine, data=data, name=name, **options)  # type: ignore[arg-type]
    return engine


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> Across:
    return read_across(stored(tmp_path_factory.mktemp("across")), ["towers"])


def test_a_name_of_a_definition_finds_all_its_data_sets(across: Across) -> None:
    assert across.sets == ("planted", "census", "kuairand")
    assert (across.name, across.reference) == ("across-towers", "diamond")
    assert [target.name for target in across.targets] == ["click", "long_view", "mean"]


def test_what_is_pooled_are_the_gains_of_each_report(across: Across) -> None:
    target = across.targets[0]
    arm = next(each for each in target.arms if each.arm == "increasing")
    gains = [s.scores.gain("increasing", "diamond", "click") for s in across.studies]
    assert [one.gain for one in arm.on] == gains
    errors = [normal_error(gain) for gain in gains]
    assert None not in errors
    found = pooled(np.array([g.mean for g in gains]), np.array(errors, float))
    assert arm.together == found
    assert found is not None
    assert found.better > 0.9


def test_verdicts_are_of_the_arm_whichever_way_a_study_compares(across: Across) -> None:
    """The study's comparisons are of the reference minus the arm."""
    for target in across.targets:
        for each in target.arms:
            for one, study in zip(each.on, across.studies, strict=True):
                (said,) = [
                    c.word
                    for c in study.comparisons
                    if c.key == ("diamond", each.arm, target.name)
                ]
                turned = {"better": "worse", "worse": "better"}.get(said, said)
                assert one.word == turned


def test_the_page_says_what_to_expect_and_how_little_few_data_sets_say(across: Across) -> None:
    page = outline.page(across)
    assert page.study == "across-towers"
    assert [table.key for table in page.tables][:3] == ["across", "ranks", "each"]
    assert [figure.key for figure in page.figures] == ["forest_auc"]
    assert any("3 data sets say little" in notice for notice in page.notices)
    assert len(page.tables[0].rows) == 3 * 3
    text = json.dumps(outline.summary(across))
    assert '"better"' in text
    assert "NaN" not in text


@pytest.mark.parametrize("narrow", [False, True])
def test_the_forest_has_a_panel_a_target_and_a_mark_a_data_set(
    across: Across, narrow: bool
) -> None:
    (view,) = forests(across)
    figure = view.drawing(narrow)
    assert len(figure.axes) == 3
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["constant", "increasing", "decreasing"]
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["planted", "census", "kuairand", "a new data set", "within ±0.001"]


def test_data_sets_without_an_interval_are_named_and_not_counted(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    wide = replace(made_up.towers(), margins=(("auc", 0.004),))
    for data, replicates in (("a", 2), ("b", 2), ("c", 2), ("d", 1), ("e", 2)):
        asked = wide if data == "c" else None
        missing = [("constant", 0), ("constant", 1)] if data == "e" else []
        options = {"data": data, "replicates": replicates, "missing": missing}
        made_up.store_study(engine, asked, name=f"towers-{data}", **options)  # type: ignore[arg-type]
    found = read_across(engine, ["towers"])
    page = outline.page(found)
    told = {arm.text: sets.text for arm, _, sets, *_ in page.tables[0].rows}
    assert told == {"constant": "3 of 5", "increasing": "4 of 5", "decreasing": "4 of 5"}
    (constant, *_) = found.targets[0].arms
    gains = [one.gain for one in constant.on[:3]]
    errors = np.array([normal_error(gain) for gain in gains], float)
    assert constant.together == pooled(np.array([gain.mean for gain in gains]), errors)
    assert page.headline.endswith("Chances are of 3 of them at least.")
    assert page.notices[0].startswith("3 data sets say little of another one")
    assert page.notices[-3:] == (
        "Chances for a new data set leave out d, which has no interval: one replicate.",
        "Chances of constant for a new data set leave out e, which has no interval: no replicate.",
        "The margin of AUC is 0.001 on a, 0.001 on b, 0.004 on c, 0.001 on d and 0.001 on e: "
        "verdicts are by each one's own, and the band of the figure is of 0.001.",
    )


def test_of_two_data_sets_nothing_is_said_of_a_third(across: Across) -> None:
    two = replace(across, studies=across.studies[:2])
    answer = outline.answer(two)
    assert answer.use == "2 data sets say nothing of another one."
    assert [table.key for table in outline.page(two).tables][:2] == ["ranks", "each"]
    for target, said in zip(two.targets, answer.sentences[1:], strict=True):
        alike = [
            each.arm
            for each in target.arms
            if len({one.word for one in each.on}) == 1 and each.on[0].word != "undecided"
        ]
        assert (" no arm is decided the same way on every data set." in said) == (not alike)
        assert all(arm in said for arm in alike)
    assert all(each.together is None for target in two.targets for each in target.arms)
    assert outline.summary(two)["targets"][0]["arms"][0]["new"] is None


def test_where_all_expected_gains_are_below_zero_it_is_said(across: Across) -> None:
    def worse(target: TargetAcross) -> TargetAcross:
        known = [(each, each.together) for each in target.arms]
        lower = (replace(a, together=replace(t, mean=-0.01, better=0.3)) for a, t in known if t)
        return replace(target, arms=tuple(lower))

    below = replace(across)
    vars(below)["targets"] = tuple(map(worse, across.targets))
    answer = outline.answer(below)
    assert (
        answer.use == "All other arms are expected to be worse than diamond on another data set."
    )
    assert all("all are expected to be worse than diamond" in s for s in answer.sentences)
    assert all("the smallest loss" not in s for s in outline.answer(across).sentences)
    assert not any("all are expected" in s for s in outline.answer(across).sentences)


def test_arms_called_by_numbers_are_told_with_what_they_are_values_of(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    for data in ("planted", "census", "kuairand"):
        name = "counts" if data == "planted" else f"counts-{data}"
        made_up.store_study(engine, made_up.counts(), replicates=2, data=data, name=name)
    found = read_across(engine, ["counts"])
    assert "compared with experts = 8." in outline.headline(found)
    assert all("experts = " in said for said in outline.answer(found).sentences)
    assert outline.new_table(found).columns[0] == "experts"


def test_tasks_that_are_called_otherwise_are_matched_by_their_place(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    made_up.store_study(engine, replicates=2)
    others = (Task("income"), Task("married", after="income"))
    made_up.store_study(
        engine, made_up.towers(), replicates=2, tasks=others, data="census", name="towers-census"
    )
    found = read_across(engine, ["towers", "towers-census"])
    assert [target.name for target in found.targets] == [
        "click / income",
        "long_view / married",
        "mean",
    ]


def test_ranks_count_the_test_rows_where_arms_miss_different_replicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two arms share just the replicates that all have."""
    arms = ("diamond", "constant", "increasing", "decreasing")
    missing = [(arm, i) for i, arm in enumerate(arms)]
    gains = {"planted": 0.0, "census": 0.0}
    found = read_across(
        stored(tmp_path, gains, replicates=6, rows=60, missing=missing), ["towers"]
    )
    seen: list[object] = []

    def spy(values: list[Array], rows: list[Array | None], draw: object) -> tuple[MeanRank, ...]:
        seen.extend(rows)
        assert {value_AR.shape for value_AR in values} == {(4, 2)}
        return (MeanRank(1.0, None, None),) * 4

    monkeypatch.setattr("reports.across.analysis.mean_ranks", spy)
    assert found.targets
    assert len(seen) == 6
    for part in seen:
        assert isinstance(part, np.ndarray)
        assert np.diag(part).min() > 0


def test_halves_on_one_data_set_alone_are_told(tmp_path: Path, across: Across) -> None:
    engine = made_up.fresh_engine(tmp_path)
    made_up.store_study(engine, replicates=2, data="census", name="towers-census", halves=True)
    made_up.store_study(engine, replicates=2)
    page = outline.page(read_across(engine, ["towers"]))
    assert any("Each training on census saw half" in notice for notice in page.notices)
    caption = next(table.caption for table in page.tables if table.key == "each")
    assert "seeds on planted; seeds and halves of the training rows on census" in caption
    assert not any("saw half" in notice for notice in outline.page(across).notices)


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    url = f"sqlite:///{folder / 'studies'}.db"
    assert main([*arguments, "--storage", url, "--out", str(folder / "out")]) == 2
    assert not (folder / "out").exists()
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_what_cannot_be_compared_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = stored(tmp_path, {"planted": 0.0})
    assert "is the only one" in refused(tmp_path, capsys, "--across", "towers")
    assert "no study 'towrs' is stored; did you mean 'towers'?" in refused(
        tmp_path, capsys, "--across", "towrs"
    )
    for none in ("", ","):
        assert "needs the name of a study" in refused(tmp_path, capsys, "--across", none)
    assert "--have goes with a study's name" in refused(
        tmp_path, capsys, "--across", "towers", "--have", "diamond"
    )
    assert "one of them" in refused(tmp_path, capsys, "towers", "--across", "towers")
    made_up.store_study(engine, replicates=2, name="again")
    other = replace(made_up.towers(), name="two")
    made_up.store_study(engine, other, replicates=2, data="census", name="two-census")
    told = refused(tmp_path, capsys, "--across", "two,towers")
    assert told.rstrip().endswith("; there are again, towers, two-census")
    assert "needs another data set each" in refused(tmp_path, capsys, "--across", "towers,again")
    losses = (Task("click", "log_loss"), Task("long_view", "log_loss"))
    made_up.store_study(
        engine, made_up.towers(), replicates=2, tasks=losses, data="census", name="losses"
    )
    assert "'losses' has log loss and log loss, 'towers' AUC and AUC" in refused(
        tmp_path, capsys, "--across", "towers,losses"
    )
    few = replace(made_up.towers(), arms=made_up.towers().arms[1:], claims=())
    made_up.store_study(engine, few, replicates=2, data="census", name="few")
    assert "'few' has no arm 'constant'" in refused(tmp_path, capsys, "--across", "towers,few")
    made_up.store_search(engine)
    assert "is a search" in refused(tmp_path, capsys, "--across", "towers,search")


@pytest.mark.slow
def test_the_command_writes_a_page_a_pdf_and_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path)
    url = f"sqlite:///{tmp_path / 'studies'}.db"
    assert main(["--across", "towers", "--storage", url, "--out", str(tmp_path)]) == 0
    folder = tmp_path / "across-towers"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"report.html", "report.pdf", "summary.json", "tables/across.csv"} <= names
    assert "tables/ranks.csv" in names
    assert capsys.readouterr().out.count("Report: ") == 1
