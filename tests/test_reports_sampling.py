"""Stored predictions: what reports read of them, and the test set's part in the differences."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from fsmd.metrics import METRICS, Array, influences
from fsmd.packing import unpack
from fsmd.stats.sampling import by_unit, shared_covariance
from fsmd.tasks import Task
from reports.build import outline_of
from reports.results import StudyResults, read, stored_record
from reports.study.nothing_differs import complete_influences, is_null
from studies.store.tables import CELLS, PREDICTIONS, RUNS, TEST_ROWS
from tests.made_up import CENSUS, MIXED, fresh_engine, store_study, tasks

NAME = "towers"


def drop_predictions(engine: sa.Engine, arm: str) -> None:
    """As if they had not been kept."""
    of_arm = sa.select(CELLS.c.run_id).filter_by(arm=arm)
    with engine.begin() as connection:
        connection.execute(sa.delete(PREDICTIONS).where(PREDICTIONS.c.run_id.in_(of_arm)))


def stored_influences(engine: sa.Engine, arm: str, replicate: int, task: Task) -> Array:
    """Naively, of one training."""
    query = (
        sa.select(PREDICTIONS.c.scores, RUNS.c.data_hash)
        .join(CELLS, CELLS.c.run_id == PREDICTIONS.c.run_id)
        .join(RUNS, RUNS.c.id == PREDICTIONS.c.run_id)
        .where(CELLS.c.arm == arm, CELLS.c.replicate == replicate)
        .where(PREDICTIONS.c.task == task.name)
    )
    with engine.connect() as connection:
        row = connection.execute(query).one()
        columns = {
            each.column: unpack(each.packed).astype(float)
            for each in connection.execute(sa.select(TEST_ROWS).filter_by(data_hash=row.data_hash))
        }
    label_N = np.where(columns[f"label:{task.name}"] < 0, np.nan, columns[f"label:{task.name}"])
    score_N = unpack(row.scores).astype(float)
    groups = {name: columns[name] for name in ("user", "request") if name in columns}
    return influences(METRICS[task.metric], score_N, label_N, columns.get("weight"), groups)


def notices(engine: sa.Engine) -> str:
    report = outline_of(engine, stored_record(engine, NAME)).report
    return " ".join((*report.notices, *report.reading))


@pytest.mark.parametrize("of", [tasks(2), CENSUS, MIXED, tasks(1), tasks(3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_stored_predictions_become_the_test_sets_part(
    tmp_path: Path, of: tuple[Task, ...], weighted: bool
) -> None:
    engine = fresh_engine(tmp_path)
    store_study(engine, tasks=of, replicates=3, rows=501, weighted=weighted)
    drop_predictions(engine, "constant")
    scores = read(engine, NAME).test
    assert [s.arms for s in scores.samplings] == [("increasing", "decreasing", "diamond")]
    for task in of:
        assert scores.difference("diamond", "constant", task.name).se_test is None
        known = scores.difference("diamond", "increasing", task.name)
        apart = [
            stored_influences(engine, "diamond", r, task)
            - stored_influences(engine, "increasing", r, task)
            for r in range(3)
        ]
        expected = max(shared_covariance([one[:, None] for one in apart])[0, 0], 0.0)
        assert known.se_test is not None
        assert known.se_test**2 == pytest.approx(expected, abs=1e-15)
    engine.dispose()


def test_users_are_what_is_independent_where_they_are_known(tmp_path: Path) -> None:
    alone, of_users = (fresh_engine(tmp_path, name) for name in ("alone", "of_users"))
    store_study(alone, replicates=2, rows=300)
    store_study(of_users, replicates=2, rows=300, users=60)
    assert "rows are taken as independent" in notices(alone)
    assert "users of the test rows are taken as independent" in notices(of_users)
    results = read(of_users, NAME)
    (sampling,) = results.test.samplings
    with of_users.connect() as connection:
        packed = connection.scalars(sa.select(TEST_ROWS.c.packed).filter_by(column="user")).one()
    user_N = np.unique(unpack(packed), return_inverse=True)[1].astype(np.int64)
    assert sampling.units == user_N.max() + 1 <= 60
    task = results.tasks[0]
    apart = [
        by_unit(
            (
                stored_influences(of_users, "diamond", r, task)
                - stored_influences(of_users, "constant", r, task)
            )[:, None],
            user_N,
        )
        for r in range(2)
    ]
    part = sampling.part("diamond", "constant", np.array([1.0, 0.0]))
    assert part == pytest.approx(max(shared_covariance(apart)[0, 0], 0.0), abs=1e-15)
    alone.dispose()
    of_users.dispose()


def test_rows_that_were_not_observed_move_nothing(tmp_path: Path) -> None:
    engine = fresh_engine(tmp_path)
    store_study(engine, replicates=3, rows=400, observed={"long_view": 0.5})
    results = read(engine, NAME)
    known = results.test.difference("diamond", "constant", "long_view")
    assert known.se_test is not None
    with engine.connect() as connection:
        query = sa.select(TEST_ROWS.c.packed).filter_by(column="label:long_view")
        unobserved_N = unpack(connection.scalars(query).one()).astype(float) < 0
    moved_N = stored_influences(engine, "diamond", 0, results.tasks[1])
    assert 100 < unobserved_N.sum() < 300
    assert not moved_N[unobserved_N].any()
    engine.dispose()


def test_a_pairs_part_is_of_the_replicates_that_it_shares(tmp_path: Path) -> None:
    """What an arm lacks changes only its own comparisons."""
    whole, gap = (fresh_engine(tmp_path, name) for name in ("whole", "gap"))
    store_study(whole, replicates=3, rows=300)
    store_study(gap, replicates=3, rows=300, missing=(("constant", 0),))
    full, holed = (read(engine, NAME).test for engine in (whole, gap))
    same = ("diamond", "increasing", "mean")
    assert full.difference(*same).n == 3
    assert holed.difference(*same) == full.difference(*same)
    less = holed.difference("diamond", "constant", "mean")
    assert less.n == 2
    assert less.se_test is not None
    part = holed.sampling("diamond", "constant")
    assert part is not None
    assert part.replicates == (1, 2)
    assert part.arms == ("constant", "increasing", "decreasing", "diamond")
    whole.dispose()
    gap.dispose()


def test_predictions_are_read_only_when_test_figures_are_asked_for(tmp_path: Path) -> None:
    engine = fresh_engine(tmp_path)
    store_study(engine, replicates=2, rows=100)
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    results = read(engine, NAME)
    assert not any("fsmd_predictions" in query for query in asked)
    assert results.test is results.test
    assert any("scores" in query for query in asked)
    engine.dispose()


def test_a_database_without_predictions_says_that_only_seeds_are_covered(tmp_path: Path) -> None:
    engine = fresh_engine(tmp_path)
    store_study(engine, replicates=3)
    assert read(engine, NAME).test.samplings == ()
    assert "No test predictions were kept" in notices(engine)
    engine.dispose()


def test_a_test_set_with_one_positive_has_no_part(tmp_path: Path) -> None:
    from fsmd.packing import pack

    engine = fresh_engine(tmp_path)
    store_study(engine, replicates=2, rows=100)
    one = pack((np.arange(100) == 7).astype(np.int8))
    with engine.begin() as connection:
        click = sa.update(TEST_ROWS).filter_by(column="label:click")
        connection.execute(click.values(packed=one))
    assert read(engine, NAME).test.samplings == ()
    engine.dispose()


def test_what_is_in_memory_does_not_grow_with_the_replicates(tmp_path: Path) -> None:
    peaks = []
    for replicates in (3, 9):
        engine = fresh_engine(tmp_path, str(replicates))
        store_study(engine, replicates=replicates, rows=3_000)
        results = read(engine, NAME)
        tracemalloc.start()
        assert len(results.test.samplings) == 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        engine.dispose()
    assert peaks[1] < 1.2 * peaks[0]


# Where all arms are one model


def null_results(tmp_path: Path, **stored: object) -> tuple[sa.Engine, StudyResults]:
    engine = fresh_engine(tmp_path)
    store_study(engine, "null", replicates=3, **stored)  # type: ignore[arg-type]
    return engine, read(engine, "null")


def test_influences_are_those_of_the_complete_replicates(tmp_path: Path) -> None:
    engine, results = null_results(tmp_path, rows=200, missing=(("null_b", 2),))
    found = list(complete_influences(results))
    assert [one.shape for one in found] == [(200, 8), (200, 8)]
    sampling = results.test.sampling("null_a", "null_b")
    assert sampling is not None
    assert (sampling.replicates, sampling.arms) == ((0, 1), results.arms)
    assert shared_covariance(found).reshape(4, 2, 4, 2) == pytest.approx(sampling.covariance_AKAK)
    engine.dispose()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("rows", [0, 200])
def test_a_study_in_which_nothing_differs_answers_how_often_something_is_found(
    tmp_path: Path, rows: int
) -> None:
    engine, results = null_results(tmp_path, rows=rows)
    assert is_null(results)
    assert bool(list(complete_influences(results))) == bool(rows)
    report = outline_of(engine, results.record).report
    (section,) = (s for s in report.sections if s.heading == "Where nothing differs")
    found, crowned = section.sentences
    assert "each of 3 complete replicates makes 500 studies" in found
    assert "at most 5 % is promised" in found
    assert "An error that stays with an arm over all its seeds is shuffled away too" in found
    assert "would crown one in 100.0 % of them" in crowned
    store_study(engine, replicates=2)
    assert not is_null(read(engine, NAME))
    engine.dispose()
