"""The test set's part: against the definitions, pair by pair, and on simulated studies."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from fsmd.predictions import pack_ranks, unpack_ranks
from fsmd.units import pack_units, unpack_units
from reports.build import build
from reports.contrasts import contrasts
from reports.estimates import Array, mean_interval
from reports.joint import joint_difference, joint_ellipse
from reports.null import covariance, cross_products, null_rate, stored_influences
from reports.results import Scores, auc_on_test, read
from reports.sampling import Sampling, by_unit, influence, placements, shared_covariance
from reports.verdicts import compare
from studies.definition import Study
from studies.storage import LABELS, PREDICTIONS, RUNS, UNITS, open_engine
from tests.test_reports import TASKS, store_study, text_of

Labels = NDArray[np.bool_]

pytestmark = pytest.mark.usefixtures("no_collection")


def sample(rows: int, seed: int, columns: int = 2) -> tuple[NDArray[np.int64], Labels]:
    """Ranks with many ties, rows x columns, that have to do with the labels."""
    rng = np.random.default_rng(seed)
    positive_N = rng.random(rows) < 0.3
    scores = rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1)) + positive_N[:, None]
    return np.asarray(3 * scores + 20, np.int64), positive_N


def kernel(rank_N: NDArray[np.int64], positive_N: Labels) -> Array:
    """Positives x negatives: 1 where the positive is above, 1/2 where they tie."""
    difference = rank_N[positive_N][:, None] - rank_N[~positive_N]
    won: Array = (np.sign(difference) + 1) / 2
    return won


# Against the definitions


def test_placement_values_are_means_over_the_other_class() -> None:
    rank_NC, positive_N = sample(200, 0)
    won = kernel(rank_NC[:, 0], positive_N)
    found = placements(rank_NC[:, 0], positive_N)
    assert found[positive_N] == pytest.approx(won.mean(axis=1))
    assert found[~positive_N] == pytest.approx(won.mean(axis=0))
    area = roc_auc_score(positive_N, rank_NC[:, 0])
    assert (found[positive_N].mean(), found[~positive_N].mean()) == pytest.approx((area, area))


def test_packed_ranks_have_the_placements_of_the_scores() -> None:
    rank_NC, positive_N = sample(200, 1)
    packed = unpack_ranks(pack_ranks(rank_NC[:, 0] / 7.0))
    assert placements(packed, positive_N).tolist() == placements(
        rank_NC[:, 0], positive_N).tolist()  # fmt: skip


def test_for_one_task_the_covariance_of_influences_is_delongs() -> None:
    rank_NC, positive_N = sample(150, 2)
    kernels = [kernel(rank_NC[:, c], positive_N) for c in range(2)]
    m, n = kernels[0].shape
    of_positives = np.cov([won.mean(axis=1) for won in kernels]) / m
    of_negatives = np.cov([won.mean(axis=0) for won in kernels]) / n
    influence_NC = np.array([influence(rank_NC[:, c], positive_N) for c in range(2)]).T
    assert shared_covariance([influence_NC]) == pytest.approx(of_positives + of_negatives)


def test_two_tasks_on_the_same_rows_covary_as_a_bootstrap_of_rows_says() -> None:
    rng = np.random.default_rng(3)
    rank_NC, first_N = sample(1500, 3)
    second_N = first_N ^ (rng.random(1500) < 0.2)
    columns = [(rank_NC[:, 0], first_N), (rank_NC[:, 1], second_N)]
    found = shared_covariance([np.array([influence(r, y) for r, y in columns]).T])
    drawn = []
    for _ in range(1500):
        rows = rng.integers(1500, size=1500)
        drawn.append([placements(r[rows], y[rows])[y[rows]].mean() for r, y in columns])
    expected = np.cov(np.array(drawn).T)
    assert found == pytest.approx(expected, rel=0.12)
    assert abs(found[0, 1]) > 0.3 * found[0, 0]  # it would be missed if tasks were taken apart


def test_replicates_share_what_their_cross_products_share() -> None:
    influence_RNC = np.random.default_rng(4).normal(size=(4, 30, 3))
    products = [
        influence_RNC[r].T @ influence_RNC[s] for r in range(4) for s in range(4) if r != s
    ]
    expected = np.mean(products, axis=0) / 30**2
    assert shared_covariance(influence_RNC) == pytest.approx(expected)


def test_users_rows_are_summed_as_obuchowski_says() -> None:
    """Written out as in the paper (Statistics in Medicine 16, 1997, section 3), user by user."""
    rank_NC, positive_N = sample(900, 6)
    user_N = np.random.default_rng(6).integers(0, 250, 900)
    kernels = [kernel(rank_NC[:, c], positive_N) for c in range(2)]
    area = [won.mean() for won in kernels]
    m, n = kernels[0].shape
    of_positive, of_negative = user_N[positive_N], user_N[~positive_N]
    with_positives, with_negatives = len(set(of_positive)), len(set(of_negative))
    expected = np.zeros((2, 2))
    for a in range(2):
        for b in range(2):
            s10 = s01 = s11 = s11_back = 0.0
            for user in range(250):
                mine, theirs = of_positive == user, of_negative == user
                x = [kernels[c].mean(axis=1)[mine].sum() - mine.sum() * area[c] for c in (a, b)]
                y = [kernels[c].mean(axis=0)[theirs].sum() - theirs.sum() * area[c]
                     for c in (a, b)]  # fmt: skip
                s10, s01 = s10 + x[0] * x[1], s01 + y[0] * y[1]
                s11, s11_back = s11 + x[0] * y[1], s11_back + y[0] * x[1]
            s10 *= with_positives / ((with_positives - 1) * m)
            s01 *= with_negatives / ((with_negatives - 1) * n)
            cross = 250 / 249 * (s11 + s11_back)
            expected[a, b] = s10 / m + s01 / n + cross / (m * n)
    influence_NC = np.array([influence(rank_NC[:, c], positive_N) for c in range(2)]).T
    found = shared_covariance([by_unit(influence_NC, user_N)])
    assert found == pytest.approx(expected, rel=0.01)  # m / (m - 1) is of rows here, not of users


def test_users_who_rate_all_alike_widen_the_interval_as_a_bootstrap_of_users_says() -> None:
    rng = np.random.default_rng(8)
    user_N = np.repeat(np.arange(300), 5)
    positive_N = rng.random(1500) < rng.choice([0.05, 0.8], size=300)[user_N]
    liked_U = rng.normal(size=300)
    rank_N = np.asarray(10 * (positive_N + liked_U[user_N] + rng.normal(size=1500)) + 90, int)
    found = by_unit(influence(rank_N, positive_N)[:, None], user_N)
    drawn = []
    for _ in range(1500):
        rows = (5 * rng.integers(300, size=300)[:, None] + np.arange(5)).ravel()
        drawn.append(placements(rank_N[rows], positive_N[rows])[positive_N[rows]].mean())
    by_users = float(shared_covariance([found])[0, 0])
    assert by_users == pytest.approx(float(np.var(drawn)), rel=0.12)
    alone = np.arange(1500)
    by_rows = shared_covariance([influence(rank_N, positive_N)[:, None]])
    assert shared_covariance([by_unit(influence(rank_N, positive_N)[:, None], alone)]) == (
        pytest.approx(by_rows)
    )
    assert by_users > 1.3 * by_rows[0, 0]


def test_users_that_train_does_not_know_are_taken_for_different_ones() -> None:
    found = unpack_units(pack_units(np.array([7, 0, 3, 0, 7])))
    assert found[0] == found[4]
    assert sorted(set(found.tolist())) == [0, 1, 2, 3]


def test_a_difference_of_levels_is_a_contrast_of_their_covariance() -> None:
    rng = np.random.default_rng(5)
    influence_NC = rng.normal(size=(40, 6))  # three levels, two tasks
    sampling = Sampling(("a", "b", "c"), shared_covariance([influence_NC]).reshape(3, 2, 3, 2))
    difference_NK = influence_NC[:, 4:] - influence_NC[:, :2]
    assert sampling.of("c", "a") == pytest.approx(difference_NK.T @ difference_NK / 40**2)
    part = sampling.part("c", "a", np.array([0.5, 0.5]))
    mean_N = difference_NK.mean(axis=1)
    assert part == pytest.approx(float(mean_N @ mean_N) / 40**2)
    assert sampling.part("a", "a", np.array([1.0, 0.0])) == 0


# Simulated studies


class World:
    """Arms, seeds and test sets with a known truth.

    A row's score is the arm's signal where its label is positive, plus noise of the row (all arms
    share it), of the row and the arm (all its replicates share it: what a test set does to a
    difference) and of the row and the training. A seed moves the signal of all arms, and each.
    """

    ROWS, POSITIVE = 400, 0.3
    CELL, SEED = 0.1, 0.003
    """Variances of a row and training, and of a seed; `arm` is that of a row and arm."""

    def __init__(self, signals: tuple[float, ...], replicates: int = 5, arm: float = 0.15) -> None:
        self.signals, self.replicates, self.arm = np.array(signals), replicates, arm

    @property
    def auc(self) -> Array:
        """Each arm's, over all rows and seeds that there could be."""
        row = 1 + self.arm + self.CELL
        found: Array = stats.norm.cdf(self.signals / np.sqrt(2 * row + 2 * self.SEED))
        return found

    def measured(self, rng: np.random.Generator) -> tuple[Array, list[Array]]:
        """AUCs and influences of a study; the second task's labels go with the first's."""
        arms, rows = len(self.signals), self.ROWS
        first_N = rng.random(rows) < self.POSITIVE
        again_N = rng.random(rows) < 0.5
        second_N = np.where(again_N, first_N, rng.random(rows) < self.POSITIVE)
        label_KN = np.array([first_N, second_N])
        row_KN = rng.normal(size=(2, rows))
        arm_LKN = rng.normal(0, self.arm**0.5, (arms, 2, rows))
        aucs, influences = np.empty((arms, self.replicates, 2)), []
        for r in range(self.replicates):
            common, own = rng.normal(0, self.SEED**0.5, (2, arms, 2))
            signal_LK = self.signals[:, None] + common[:1] + own
            score_LKN = signal_LK[:, :, None] * label_KN + row_KN + arm_LKN
            score_LKN += rng.normal(0, self.CELL**0.5, score_LKN.shape)
            rank_LKN = score_LKN.argsort(axis=2).argsort(axis=2)
            columns = [(rank_LKN[a, k], label_KN[k]) for a in range(arms) for k in range(2)]
            aucs[:, r] = np.reshape([placements(*c)[c[1]].mean() for c in columns], (arms, 2))
            influences.append(np.array([influence(*c) for c in columns]).T)
        return np.concatenate([aucs, aucs.mean(axis=2, keepdims=True)], axis=2), influences

    def scores(self, rng: np.random.Generator) -> Scores:
        """What is made of it."""
        (values, influences), arms = self.measured(rng), len(self.signals)
        covariance = shared_covariance(influences).reshape(arms, 2, arms, 2)
        levels = tuple(map(str, range(arms)))
        return Scores(levels, tuple(range(self.replicates)), ("first", "second", "mean"), values,
                      samplings=(Sampling(levels, covariance),))  # fmt: skip


SIMULATIONS = 400
ERROR = (0.95 * 0.05 / SIMULATIONS) ** 0.5


@pytest.fixture(scope="module")
def simulated() -> tuple[Scores, ...]:
    rng = np.random.default_rng(11)
    return tuple(World((1.0, 1.1)).scores(rng) for _ in range(SIMULATIONS))


@pytest.mark.parametrize("target", ["first", "second", "mean"])
def test_intervals_over_both_sources_cover_the_truth_and_those_over_seeds_alone_do_not(
    simulated: tuple[Scores, ...], target: str
) -> None:
    truth = float(np.diff(World((1.0, 1.1)).auc)[0])
    covered = [0, 0]
    for scores in simulated:
        for i, known in enumerate((scores, replace(scores, samplings=()))):
            found = known.difference("1", "0", target)
            assert found.low is not None
            assert found.high is not None
            covered[i] += found.low <= truth <= found.high
    assert covered[0] / SIMULATIONS == pytest.approx(0.95, abs=3 * ERROR)
    assert covered[1] / SIMULATIONS < 0.90


def test_the_joint_distribution_covers_the_truth(simulated: tuple[Scores, ...]) -> None:
    truth = np.repeat(np.diff(World((1.0, 1.1)).auc), 2)
    covered = 0
    for scores in simulated:
        joint = joint_difference(scores, "1", "0")
        assert joint is not None
        centre, semi_axes, angle = joint_ellipse(joint)
        turn = np.radians(angle)
        x, y = truth - centre
        along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        covered += np.hypot(*np.divide(along, semi_axes)) <= 1
    assert covered / SIMULATIONS == pytest.approx(0.95, abs=4 * ERROR)


@pytest.mark.parametrize(("replicates", "arm"), [(2, 0.02), (5, 0.15)])
def test_any_false_better_or_worse_of_a_study_comes_in_one_of_twenty(
    replicates: int, arm: float
) -> None:
    rng, world = np.random.default_rng(12), World((1.0,) * 4, replicates, arm)
    study = Study("null", "", "", "level", (), "0", "", ())
    wrong = 0
    for _ in range(SIMULATIONS):
        scores = world.scores(rng)
        found = contrasts(study, scores, compare(study, scores))
        wrong += any(contrast.word in ("better", "worse") for contrast in found)
    assert wrong / SIMULATIONS <= 0.05 + 3 * ERROR


def test_shuffled_levels_have_the_covariance_of_shuffled_influences() -> None:
    rng = np.random.default_rng(15)
    influence_RNLK = rng.normal(size=(3, 40, 4, 2)) + rng.normal(size=(40, 4, 1))
    products = cross_products(tuple(influence_RNLK.reshape(3, 40, 8)), 4)
    order_LR = rng.permuted(np.repeat(np.arange(4)[:, None], 3, axis=1), axis=0)
    shuffled = [one[:, order_LR[:, r]].reshape(40, 8) for r, one in enumerate(influence_RNLK)]
    expected = shared_covariance(shuffled).reshape(4, 2, 4, 2)
    assert covariance(products, order_LR) == pytest.approx(expected)


def test_where_nothing_differs_shuffled_rows_name_few_winners_too() -> None:
    rng, world = np.random.default_rng(16), World((1.0,) * 4)
    rates = []
    for i in range(20):
        values, influences = world.measured(rng)
        rates.append(null_rate(values, 20, i, influences))
    assert np.mean([rate.machinery for rate in rates]) <= 0.05 + 3 * ERROR
    assert {rate.one_seed for rate in rates} == {1.0}


def test_the_error_is_known_to_shrink_with_seeds_only_as_far_as_the_rows_let_it() -> None:
    values = np.tile([0.001, 0.003], 50)
    found = mean_interval(values, 1e-6)
    assert found.se == pytest.approx(0.001, rel=0.01)


# Stored predictions


def store_predictions(engine: sa.Engine, rows: int, leave_out: tuple[str, ...] = ()) -> None:
    """Labels of the one data set, and for each finished training ranks of its own."""
    rng = np.random.default_rng(0)
    labels = {task: rng.random(rows) < 0.3 for task in TASKS}
    with engine.begin() as connection:
        data_hash = connection.scalars(sa.select(RUNS.c.data_hash).distinct()).one()
        for task, positive in labels.items():
            connection.execute(sa.insert(LABELS).values(
                data_hash=data_hash, task=task, rows=rows, bits=np.packbits(positive).tobytes()
            ))  # fmt: skip
        runs = connection.execute(sa.text(
            "SELECT id, level FROM fsmd_runs JOIN fsmd_cells ON run_id = id WHERE status = 'done'"
        )).all()  # fmt: skip
        shared = rng.normal(size=rows)
        for run, level in runs:
            for task, positive in labels.items():
                if level not in leave_out:
                    scores = shared + positive + 0.3 * rng.normal(size=rows)
                    connection.execute(sa.insert(PREDICTIONS).values(
                        run_id=run, task=task, ranks=pack_ranks(scores)))  # fmt: skip


def test_stored_predictions_become_the_test_sets_part(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(engine, replicates=3)
    store_predictions(engine, 501, leave_out=("constant",))
    scores = auc_on_test(read(engine, "tower_shape"))
    assert [s.levels for s in scores.samplings] == [("increasing", "decreasing", "diamond")]
    known = scores.difference("diamond", "increasing", "click")
    assert known.se_test is not None
    assert scores.difference("diamond", "constant", "click").se_test is None
    with engine.connect() as connection:
        query = sa.text(
            "SELECT level, replicate, ranks FROM fsmd_predictions p JOIN fsmd_cells c "
            "ON p.run_id = c.run_id WHERE task = 'click' AND level IN ('diamond', 'increasing')"
        )
        found = {(row.level, row.replicate): row.ranks for row in connection.execute(query)}
        bits = connection.scalars(sa.select(LABELS.c.bits).filter_by(task="click")).one()
    positive = np.unpackbits(np.frombuffer(bits, np.uint8))[:501].astype(bool)
    influences = [
        np.array([influence(unpack_ranks(found[level, r]), positive)
                  for level in ("diamond", "increasing")]).T
        for r in range(3)
    ]  # fmt: skip
    c = shared_covariance(influences)
    expected = max(c[0, 0] + c[1, 1] - 2 * c[0, 1], 0.0)
    assert known.se_test**2 == pytest.approx(expected, abs=1e-15)
    assert "rows are taken as independent" in page_of(engine, tmp_path)

    user_N = np.arange(501) // 3
    with engine.begin() as connection:
        data_hash = connection.scalars(sa.select(RUNS.c.data_hash).distinct()).one()
        row = {"data_hash": data_hash, "packed": pack_units(user_N + 1)}
        connection.execute(sa.insert(UNITS).values(row))
    scores = auc_on_test(read(engine, "tower_shape"))
    assert [s.units for s in scores.samplings] == [167]
    c = shared_covariance([by_unit(influence_NC, user_N) for influence_NC in influences])
    expected = max(c[0, 0] + c[1, 1] - 2 * c[0, 1], 0.0)
    found_test = scores.difference("diamond", "increasing", "click").se_test
    assert found_test is not None
    assert found_test**2 == pytest.approx(expected, abs=1e-15)
    assert "The 167 users of the test rows are taken as independent" in page_of(engine, tmp_path)
    engine.dispose()


def page_of(engine: sa.Engine, folder: Path) -> str:
    """The words of the report."""
    build(engine, "tower_shape", folder)
    return text_of(folder)


def test_stored_influences_are_those_of_the_complete_replicates(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(engine, replicates=3, missing=(("diamond", 2),))
    store_predictions(engine, 501)
    results = read(engine, "tower_shape")
    found = stored_influences(results)
    assert [one.shape for one in found] == [(501, 8), (501, 8)]
    sampling = results.test_auc.sampling("diamond", "constant")
    assert sampling is not None
    assert (sampling.replicates, sampling.levels) == ((0, 1), results.levels)
    assert shared_covariance(found).reshape(4, 2, 4, 2) == pytest.approx(sampling.covariance_LKLK)
    engine.dispose()


def test_a_pairs_part_is_of_the_replicates_that_it_shares(tmp_path: Path) -> None:
    """What a level lacks changes only its own comparisons."""
    whole, gap = (open_engine(f"sqlite:///{tmp_path / n}.db", create=True) for n in ("a", "b"))
    for engine in (whole, gap):
        store_study(engine, replicates=3)
        store_predictions(engine, 300)
    with gap.begin() as connection:
        connection.execute(
            sa.text("DELETE FROM fsmd_cells WHERE level = 'constant' AND replicate = 0")
        )
    full, holed = (auc_on_test(read(engine, "tower_shape")) for engine in (whole, gap))
    same = ("diamond", "increasing", "mean")
    assert full.difference(*same).n == 3
    assert holed.difference(*same) == full.difference(*same)
    less = holed.difference("diamond", "constant", "mean")
    assert less.n == 2
    assert less.se_test is not None
    part = holed.sampling("diamond", "constant")
    assert part is not None
    assert part.replicates == (1, 2)
    assert part.levels == ("constant", "increasing", "decreasing", "diamond")
    whole.dispose()
    gap.dispose()


def test_predictions_are_read_only_when_test_aucs_are_asked_for(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(engine, replicates=2)
    store_predictions(engine, 100)
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    results = read(engine, "tower_shape")
    assert not any("fsmd_predictions" in query for query in asked)
    assert auc_on_test(results) is auc_on_test(results)
    assert any("ranks" in query for query in asked)
    engine.dispose()


@pytest.mark.usefixtures("blank_figures")
def test_a_database_without_predictions_says_that_only_seeds_are_covered(tmp_path: Path) -> None:
    from reports.build import build

    engine = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(engine, replicates=3)
    assert auc_on_test(read(engine, "tower_shape")).samplings == ()
    build(engine, "tower_shape", tmp_path)
    engine.dispose()
    assert "No test predictions were kept" in text_of(tmp_path)


def test_a_test_set_with_one_positive_has_no_part(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(engine, replicates=2)
    store_predictions(engine, 100)
    with engine.begin() as connection:
        one = np.packbits(np.arange(100) == 7).tobytes()
        connection.execute(sa.update(LABELS).filter_by(task="click").values(bits=one))
    assert auc_on_test(read(engine, "tower_shape")).samplings == ()
    engine.dispose()


def test_what_is_in_memory_does_not_grow_with_the_replicates(tmp_path: Path) -> None:
    peaks = []
    for replicates in (3, 12):
        engine = open_engine(f"sqlite:///{tmp_path / str(replicates)}.db", create=True)
        store_study(engine, replicates=replicates)
        store_predictions(engine, 10_000)
        results = read(engine, "tower_shape")
        tracemalloc.start()
        assert len(auc_on_test(results).samplings) == 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        engine.dispose()
    assert peaks[1] < 1.2 * peaks[0]
