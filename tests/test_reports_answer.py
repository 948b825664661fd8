"""The answer and the leaderboard: who leads, how sure, what it costs, what to run next."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fsmd.config import MODELS, FSMDConfig
from fsmd.stats.estimates import p_value
from fsmd.tasks import Task
from reports.answer import answer_in_words
from reports.page.model import Answer, TableCell
from reports.results import StudyResults, load_results
from reports.standing import Leaderboard
from reports.study import outline
from reports.study.analysis import analyse_study
from studies.definition import LOOKS, Study, baselines, models
from studies.timing import spoken
from tests.made_up import FAILURE, MIXED, fresh_engine, many, store_study, tasks, towers


def results_of(folder: Path, study: Study | None = None, **more: Any) -> StudyResults:
    folder.mkdir(exist_ok=True)
    made = fresh_engine(folder)
    record = store_study(made, study, **more)
    results = load_results(made, record, record.plan.arms)
    assert results.test.targets  # read while the database is there
    made.dispose()
    return results


def board_of(results: StudyResults) -> Leaderboard:
    return analyse_study(results).asked.board


def answer_of(results: StudyResults) -> Answer:
    return analyse_study(results).answer


def with_costs(results: StudyResults, parameters: Mapping[str, int]) -> StudyResults:
    runs = results.runs.assign(parameters=results.runs["arm"].map(pd.Series(parameters)))
    return replace(results, runs=runs)


def moved(results: StudyResults, split: str, arm: str, by: float) -> StudyResults:
    frame = results.measurements.copy()
    frame.loc[(frame["split"] == split) & (frame["arm"] == arm), "value"] += by
    return replace(results, measurements=frame)


def simple_study() -> Study:
    base = FSMDConfig(**vars(MODELS["mmoe"]))
    arms = (*models(("mmoe", "fs"), base), *baselines(("logistic", "trees")))
    return replace(towers(), name="simple", arms=arms, reference="mmoe", claims=(), factor="model")


# Who leads


def test_validation_says_who_leads_and_test_only_how_it_does(tmp_path: Path) -> None:
    results = results_of(tmp_path, replicates=5, effects={"increasing": 0.004})
    lucky = moved(results, "test", "constant", 0.01)
    board = board_of(lucky)
    assert board.leader is not None
    assert board.leader.arm == board.standings[0].arm == "increasing"
    assert board.standings[1].arm == "constant"
    assert board.standings[1].behind_leader["mean"].mean > 0
    assert answer_of(lucky).use == "Use increasing for now: which of 4 arms is the best is open."
    assert (board.leader.chance_best or 0) < 0.01
    why = "Validation chose it, since test must never choose; by the test figures, constant is "
    assert f"{why}likelier to be the best (> 99 %)." in answer_of(lucky).sentences
    assert answer_of(lucky).next.startswith("No look is left at which more replicates could tell")


def test_where_test_says_another_one_is_the_best_more_seeds_are_asked_for(tmp_path: Path) -> None:
    """It gains far more than what matters, so what is open is not too small."""
    results = results_of(tmp_path, replicates=5, effects={"increasing": 0.004}, looks=LOOKS)
    answer = answer_of(moved(results, "test", "constant", 0.01))
    assert answer.sentences[2].endswith("to be the best (> 99 %): more replicates may settle it.")
    assert answer.next.startswith("To be surer, run 10 replicates: 20 more trainings, ")
    assert "likelier" not in " ".join(answer_of(results).lines)


@pytest.mark.parametrize("of", [tasks(1), tasks(2), tasks(5), MIXED])
def test_on_any_tasks_and_metrics_the_arm_that_is_ahead_on_all_is_almost_surely_the_best(
    tmp_path: Path, of: tuple[Task, ...]
) -> None:
    results = results_of(tmp_path, tasks=of, replicates=5, effects={"increasing": 0.01})
    analysis = analyse_study(results)
    answer = analysis.answer
    assert answer.use == "Use increasing: it is almost surely the best of 4 arms."
    assert answer.sentences[0].startswith("Over diamond (the reference): test ")
    assert all(f"on {task.name}" in answer.sentences[0] for task in of)
    assert ("(above zero is better)" in answer.sentences[0]) == (of is MIXED)
    assert answer.sentences[1].endswith("> 99 %; that it is worse than diamond: < 1 %.")
    assert (answer.next, answer.command) == ("", "")
    assert len(" ".join(answer.lines).split()) <= 90
    gains = analysis.asked.board.standings[0].over_reference
    assert all(gain.mean == pytest.approx(0.01, abs=0.002) for gain in gains.values())


def test_what_the_seeds_that_chose_tell_is_said_to_flatter(tmp_path: Path) -> None:
    analysis = analyse_study(results_of(tmp_path, replicates=5, effects={"increasing": 0.01}))
    assert analysis.answer.sentences[2] == "Chosen on the same replicates, it may look too good."
    assert any("(the winner's curse)" in told for told in answer_in_words(analysis.asked))


def test_the_chance_of_being_worse_is_the_paired_tests(tmp_path: Path) -> None:
    results = results_of(tmp_path, replicates=5, rows=300)
    for standing in board_of(results).standings:
        if standing.arm != "diamond":
            assert standing.chance_worse == pytest.approx(
                p_value(standing.over_reference["mean"], "above")
            )
    total = sum(standing.chance_best or 0.0 for standing in board_of(results).standings)
    assert total == pytest.approx(1)


def test_means_are_over_the_replicates_that_all_have_and_who_has_few_is_not_ranked(
    tmp_path: Path,
) -> None:
    failed = {("constant", replicate): FAILURE for replicate in range(1, 6)}
    results = results_of(
        tmp_path, replicates=6, failures=failed, missing=(("diamond", 0),), rows=200
    )
    analysis = analyse_study(results)
    board = analysis.asked.board
    assert (board.replicates, board.left_out) == (5, ("constant",))
    for standing in board.standings:
        values_R = results.test.of(standing.arm, "mean")[1:]
        assert standing.means["mean"].mean == pytest.approx(np.mean(values_R))
    (table,) = (t for t in outline.page(analysis).tables if t.key == "leaderboard")
    assert table.rows[-1][0] == TableCell("constant", ("not ranked: 1 replicate",))


def test_where_no_two_arms_share_the_complete_replicates_the_test_rows_still_count(
    tmp_path: Path,
) -> None:
    gone = (("constant", 0), ("increasing", 1), ("diamond", 2))
    made = fresh_engine(tmp_path)
    record = store_study(made, replicates=7, missing=gone, rows=200)
    results = load_results(made, record, record.plan.arms)
    board = board_of(results)
    assert board.replicates == 4
    assert sum(standing.chance_best or 0.0 for standing in board.standings) == pytest.approx(1)
    assert min(standing.chance_best or 0.0 for standing in board.standings) > 0.01
    made.dispose()


def test_fifty_arms_are_ranked(tmp_path: Path) -> None:
    results = results_of(tmp_path, many(count=50), replicates=3, effects={"30": 0.01})
    assert answer_of(results).use == (
        "Use embedding size = 30: it is almost surely the best of 50 arms."
    )


def test_what_the_user_has_stands_in_the_references_place(tmp_path: Path) -> None:
    results = results_of(tmp_path, replicates=5, effects={"increasing": 0.01})
    answer = replace(analyse_study(results), have="constant").answer
    assert answer.sentences[0].startswith("Over constant (what you have): test AUC +0.0")
    assert "that it is worse than constant: < 1 %" in answer.sentences[1]


# How sure, and what next


@pytest.mark.parametrize("replicates", [1, 2])
def test_too_few_seeds_say_nothing_and_what_would_change_that(
    tmp_path: Path, replicates: int
) -> None:
    results = results_of(tmp_path, replicates=replicates, effects={"diamond": 0.01}, looks=LOOKS)
    answer, board = answer_of(results), board_of(results)
    assert answer.use == "Nothing can be said yet."
    assert "diamond is ahead on validation, which may be luck." in answer.sentences[0]
    more = 4 * (5 - replicates)
    assert answer.next.startswith(f"Run 5 replicates: {more} more trainings, about ")
    assert "--replicates 5" in answer.command
    assert {s.chance_best for s in board.standings} == {None}
    assert {s.chance_worse for s in board.standings} == {None}
    assert board.cheapest is None
    assert not any(s.not_worse for s in board.standings if not s.is_leader)


def test_where_all_failed_the_answer_says_what_to_do(tmp_path: Path) -> None:
    failures = {(arm.name, 0): FAILURE for arm in towers().arms}
    answer = answer_of(results_of(tmp_path, replicates=1, failures=failures))
    assert answer.use == "Nothing can be said: no training that counts was finished."
    assert answer.command.endswith(" --retry-failed")


def test_a_test_set_that_is_too_small_is_named_as_the_limit(tmp_path: Path) -> None:
    answer = answer_of(results_of(tmp_path, replicates=5, rows=300))
    assert "for now" in answer.use
    assert answer.next.startswith("More replicates will not tell ")
    assert "the test set is the limit (one about " in answer.next
    assert not answer.command


def test_before_a_test_set_is_blamed_there_are_a_few_seeds(tmp_path: Path) -> None:
    answer = answer_of(results_of(tmp_path, replicates=3, rows=300, looks=LOOKS))
    assert answer.next.startswith("To be surer, run 5 replicates: 8 more trainings")
    assert "--replicates 5 " in answer.command


def test_nothing_is_to_be_run_for_what_is_too_small_to_matter(tmp_path: Path) -> None:
    answer = answer_of(results_of(tmp_path, replicates=6, effects={"increasing": -0.0003}))
    assert answer.use == "Use diamond: it is perhaps the best of 4 arms."
    assert answer.next == "What is open is too small to matter (0.001)."
    assert not answer.command


def test_what_to_run_next_is_told_with_the_time_that_it_takes(tmp_path: Path) -> None:
    answer = answer_of(results_of(tmp_path, replicates=3, looks=LOOKS))
    assert answer.use.startswith("Use increasing")
    assert answer.next.startswith("To be surer, run ")
    count = int(answer.next.split()[4])
    more = 4 * (count - 3)
    assert f"{more} more trainings, about {spoken(more * 41.5)} of one worker." in answer.next
    assert f"--replicates {count} " in answer.command


# What it costs


def test_the_cheapest_that_is_not_shown_to_be_worse_is_named_with_what_it_saves(
    tmp_path: Path,
) -> None:
    effects = {"increasing": 0.0005, "constant": -0.02}
    results = results_of(tmp_path, replicates=5, effects=effects)
    costs = {"constant": 10, "increasing": 1000, "decreasing": 600, "diamond": 950}
    board = board_of(with_costs(results, costs))
    assert board.leader is not None
    assert board.cheapest is not None
    assert (board.leader.arm, board.cheapest.arm) == ("increasing", "decreasing")
    assert not board.of("constant").not_worse  # type: ignore[union-attr]
    chance = board.cheapest.chance_far
    gains = board.cheapest.behind_leader
    far = [1 - (p_value(gains[key], "below", -0.001) or 0) for key in ("click", "long_view")]
    assert max(far) - 0.03 < (chance or 0) < 1 - (1 - far[0]) * (1 - far[1]) + 0.03
    told = answer_of(with_costs(results, costs)).sentences[-1]
    assert told.startswith(
        "Cheaper, but likely worse: decreasing needs 40 % fewer parameters. That it is worse by"
    )
    near = with_costs(results, costs | {"decreasing": 950})
    cheapest = board_of(near).cheapest
    assert cheapest is not None
    assert cheapest.arm == "increasing"  # a saving below a tenth is none
    assert "Cheaper" not in " ".join(answer_of(near).lines)


def test_a_simple_model_wins_where_no_other_gains_what_matters(tmp_path: Path) -> None:
    study = simple_study()
    equal = results_of(tmp_path / "a", study, replicates=5, effects={"fs": 0.0004})
    board = board_of(equal)
    assert board.leader is not None
    assert board.used is not None
    assert board.used.is_baseline
    assert board.simple is not None
    assert 0.05 < board.simple.chance_beaten < 0.5
    answer = answer_of(equal)
    assert answer.use == f"Use {board.used.arm}: a simple model perhaps wins."
    assert (
        "the chance that it gains more than what matters (0.001) on any task: "
        in (answer.sentences[0])
    )
    assert any(
        told.startswith("By the test figures, fs is likelier to be the best (")
        and told.endswith("), but is not shown to gain more than what matters.")
        for told in answer.sentences
    )
    other = board_of(moved(equal, "test", "mmoe", 0.01))  # which validation does not put first
    assert other.simple is not None
    assert other.simple.chance_beaten == board.simple.chance_beaten
    assert not other.simple.wins
    assert other.used == other.leader
    ahead = results_of(tmp_path / "b", study, replicates=5, effects={"fs": 0.01})
    answer = answer_of(ahead)
    assert answer.use.startswith("Use fs: it is almost surely")
    assert "the best simple model: test AUC +0.0" in answer.sentences[1]
    assert answer.sentences[1].endswith("on any task: > 99 %.")
    marks = {s.arm: s.is_baseline for s in board_of(ahead).standings}
    assert marks == {"mmoe": False, "fs": False, "logistic": True, "trees": True}


# The table


def test_the_bars_of_a_column_share_an_axis_and_the_page_opens_with_the_answer(
    tmp_path: Path,
) -> None:
    results = results_of(tmp_path, replicates=5, effects={"diamond": 0.01})
    analysis = analyse_study(results)
    page = outline.page(analysis)
    table = page.tables[0]
    assert table.key == "leaderboard"
    assert page.answer == outline.entry(analysis).answer
    assert outline.lines(analysis)[1 : 1 + len(page.answer.lines)] == page.answer.lines
    means = [results.test.mean(row[0].text, "mean") for row in table.rows]
    column = [row[table.columns.index("AUC, mean")] for row in table.rows]
    low = min(mean.low or 0 for mean in means)
    high = max(mean.high or 0 for mean in means)
    for cell, mean in zip(column, means, strict=True):
        assert cell.bar is not None
        assert cell.bar.mean == pytest.approx((mean.mean - low) / (high - low))
        assert cell.bar.mark == column[0].bar.mean  # type: ignore[union-attr]
    assert "first on validation" in table.rows[0][0].notes
