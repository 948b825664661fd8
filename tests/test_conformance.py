"""What every metric, data set, model, study, search and figure must do, whoever wrote it.

Whatever lies in their folders is tested here; nobody keeps a list.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import sqlalchemy as sa
import torch

from fsmd import data
from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data import sets
from fsmd.data.schema import Dataset, Field, Schema, Split
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.metrics import METRICS, Array, Metric, influences, measured
from fsmd.module import FSMDModule
from fsmd.runtime import Runtime
from fsmd.tasks import Task, check_tasks, is_funnel, parents
from reports.build import outline_of
from reports.page.figure_kind import FigureKind, kinds_in, view_of
from reports.page.html import html
from reports.page.model import Outline
from reports.results import StudyResults, read
from reports.search import figures as search_figures
from reports.search.analysis import SearchAnalysis
from reports.search.analysis import analyse as analyse_search
from reports.study import figures as study_figures
from studies import catalog
from studies.definition import Search, Study
from studies.planner.design import plan, search_plan
from studies.search.run import check_search
from studies.store.records import Plan
from tests import made_up
from tests.pages import assert_stands_alone, text_of

TAKES_LONG = True

TASKS: dict[str, tuple[Task, ...]] = {
    "1 task": made_up.tasks(1),
    "2 tasks": made_up.tasks(2),
    "2 tasks, no funnel": made_up.CENSUS,
    "3 tasks": made_up.tasks(3),
    "5 tasks": made_up.tasks(5),
}
each_tasks = pytest.mark.parametrize("tasks", TASKS.values(), ids=TASKS.keys())

# ------------------------------------------------------------------------------------------
# Metrics; more of their theory is in test_metrics.py
# ------------------------------------------------------------------------------------------

each_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
JUDGING = {name: metric for name, metric in METRICS.items() if metric.judges}
GROUPS = {name: np.random.default_rng(9).integers(0, 40, 300) for name in ("user", "request")}
"""Of `rows`."""
each_judge = pytest.mark.parametrize("metric", JUDGING.values(), ids=JUDGING.keys())


def rows(count: int = 300, separation: float = 1.0, seed: int = 0) -> tuple[Array, Array]:
    """Scores and labels of a model that tells the classes apart, and is calibrated."""
    rng = np.random.default_rng(seed)
    label_N = (rng.random(count) < 0.4).astype(float)
    evidence_N = separation * (separation * label_N + rng.normal(size=count))
    score_N = np.log(0.4 / 0.6) + evidence_N - separation**2 / 2
    return np.round(score_N, 2), label_N  # some are equal


def value_of(
    metric: Metric, score_N: Array, label_N: Array, weight_N: Array | None = None
) -> float:
    value = measured(metric, score_N, label_N, weight_N, GROUPS)
    assert value is not None
    return value


def test_a_metric_has_the_name_of_its_file_and_what_figures_need() -> None:
    folder = Path(import_module("fsmd.metrics").__file__ or "").parent
    helpers = {"__init__", "metric", "groups", "parts", "steps", "ties"}
    files = {path.stem for path in folder.glob("*.py")} - helpers
    assert {name.partition("@")[0] for name in METRICS} == files
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.label
        assert metric.margin > 0
        assert metric.digits > 0
        assert metric.low < metric.high


@each_judge
def test_more_separation_is_better_and_the_reverse_worse(metric: Metric) -> None:
    weak, strong, wrong = (
        metric.sign * value_of(metric, *rows(separation=s)) for s in (0.3, 1.5, 0.0)
    )
    if not metric.calibration:  # all three are calibrated
        assert strong > weak > wrong - metric.margin
    score_N, label_N = rows()
    assert metric.sign * value_of(metric, -score_N, label_N) < weak


@each_metric
@pytest.mark.parametrize("separation", [0.0, 1.0, 4.0])
def test_a_figure_lies_in_its_metrics_range(metric: Metric, separation: float) -> None:
    for sign in (1, -1):
        score_N, label_N = rows(separation=separation)
        assert metric.low <= value_of(metric, sign * score_N, label_N) <= metric.high


@each_metric
def test_the_order_of_rows_changes_nothing(metric: Metric) -> None:
    score_N, label_N = rows()
    weight_N = np.random.default_rng(1).integers(0, 3, len(label_N)).astype(float)
    order_N = np.random.default_rng(2).permutation(len(label_N))
    groups = {name: group_N[order_N] for name, group_N in GROUPS.items()}
    moved = measured(metric, score_N[order_N], label_N[order_N], weight_N[order_N], groups)
    assert moved == pytest.approx(value_of(metric, score_N, label_N, weight_N), abs=1e-12)


@each_metric
def test_of_one_class_a_figure_is_a_number_or_missing_and_never_a_warning(metric: Metric) -> None:
    score_N, _ = rows()
    for label in (0.0, 1.0):
        value = measured(metric, score_N, np.full(len(score_N), label), None, GROUPS)
        assert value is None or metric.low <= value <= metric.high


@each_judge
def test_influences_have_no_mean_and_are_of_the_rows_that_count(metric: Metric) -> None:
    score_N, label_N = rows()
    masked_N = np.where(np.arange(len(label_N)) % 5 == 0, np.nan, label_N)
    weight_N = np.random.default_rng(1).integers(0, 3, len(label_N)).astype(float)
    for labels, weights in ((label_N, None), (masked_N, None), (masked_N, weight_N)):
        moved_N = influences(metric, score_N, labels, weights, GROUPS)
        assert moved_N.shape == label_N.shape
        assert moved_N.sum() == pytest.approx(0, abs=1e-9)
        gone_N = np.isnan(labels) if weights is None else np.isnan(labels) | (weights == 0)
        assert not moved_N[gone_N].any()


# ------------------------------------------------------------------------------------------
# Data sets
# ------------------------------------------------------------------------------------------


def _data_sets() -> Iterator[Any]:
    """Every data set; those of files are large, so that their own tests load them too."""
    for module in iter_modules(sets.__path__):
        held = import_module(f"{sets.__name__}.{module.name}")
        for name in held.sources():
            marks = [pytest.mark.slow] if hasattr(held, "ORIGIN") else []
            yield pytest.param(f"{name}:rows=1500", marks=marks, id=name)
    for tasks in (1, 3, 5):
        yield f"planted:rows=1500,tasks={tasks}"
    yield "planted:rows=1500,metric=log_loss"


def loaded(name: str) -> Dataset:
    """A data set; a skip where its files are not there."""
    held = {module.name for module in iter_modules(sets.__path__)}
    for module in held:
        origin = getattr(import_module(f"{sets.__name__}.{module}"), "ORIGIN", None)
        if (
            origin is None
            or name.partition(":")[0] not in import_module(f"{sets.__name__}.{module}").sources()
        ):
            continue
        folder = Path(os.environ.get("FSMD_DATA", "nowhere")) / origin.name
        if not folder.is_dir():
            pytest.skip(f"FSMD_DATA has no {origin.name}")
    return data.load(name)


@pytest.mark.parametrize("name", tuple(_data_sets()))
def test_a_data_set_holds_what_models_and_studies_rely_on(name: str) -> None:
    dataset = loaded(name)
    schema, tasks = dataset.schema, dataset.schema.tasks
    assert dataset.name == name
    assert dataset.content_hash == loaded(name).content_hash
    check_tasks(tasks)
    for split in (dataset.train, dataset.valid, dataset.test):
        field_C = [field for field in schema.categorical for _ in range(field.length)]
        assert split.ids.shape == (len(split), len(field_C))
        assert split.dense.shape == (len(split), len(schema.dense))
        assert split.labels.shape == (len(split), len(tasks))
        assert np.isfinite(split.dense).all()
        top_C = split.ids.max(axis=0, initial=0)
        assert (split.ids >= [-(field.length > 1) for field in field_C]).all()
        assert (top_C < [field.cardinality for field in field_C]).all()
        assert (split.weights is not None) == schema.weighted
        known = ~np.isnan(split.labels)
        assert schema.masked or known.all()
        assert np.isin(split.labels[known], (0, 1)).all()
        for k, parent in enumerate(parents(tasks)):
            assert set(np.unique(split.labels[known[:, k], k])) == {0, 1}
            if parent is not None:
                both_N = known[:, k] & known[:, parent]
                assert (split.labels[both_N, k] <= split.labels[both_N, parent]).all()
    assert np.abs(dataset.train.dense.mean(axis=0)).max(initial=0) < 0.01
    assert dataset.test_unseen.shape == (len(dataset.test),)
    if dataset.test.users is not None:
        assert dataset.test.users.shape == (len(dataset.test),)
    assert dataset.settings.applied(FSMDConfig()).left_open == ()
    for task in tasks if dataset.reachable else ():
        assert dataset.reachable is not None
        metric = METRICS[task.metric]
        assert metric.low <= dataset.reachable[task.name] <= metric.high


def test_whatever_a_data_set_is_called_an_unknown_option_of_it_is_one_line() -> None:
    for name in data.names():
        with pytest.raises(UserError, match="no option 'colour'") as refusal:
            data.load(f"{name}:colour=1")
        assert "\n" not in str(refusal.value)


# ------------------------------------------------------------------------------------------
# Models
# ------------------------------------------------------------------------------------------

each_model = pytest.mark.parametrize("name", MODELS)
SMALL: dict[str, Any] = {"layers": (8,), "tower_width": 8, "expert_count": 4, "embedding_size": 2}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models are slower on many threads, and much so beside other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_model(name: str, tasks: tuple[Task, ...], masked: bool = False) -> FSMDModule:
    config = fitted(replace(MODELS[name], **SMALL), tasks)
    fields = (Field("user", 7), Field("video", 5))
    schema = Schema("tiny", fields, ("age",), tasks, masked=masked)
    return FSMDModule.create(TrainingSettings().applied(config), schema, seed=3)


def batch(tasks: tuple[Task, ...], masked: bool = False, count: int = 12) -> tuple[Any, ...]:
    labels = made_up_labels(tasks, count)
    if masked:
        labels[::2, 0] = np.nan
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 5, (count, 2), generator=generator, dtype=torch.int32)
    return ids, torch.randn(count, 1, generator=generator), torch.from_numpy(labels)


def made_up_labels(tasks: tuple[Task, ...], count: int) -> Any:
    from tests.made_up.rows import made_up_rows

    return made_up_rows(tasks, count, seed=1).label_NK.astype(np.float32)


@each_model
@each_tasks
def test_a_model_predicts_probabilities_that_keep_to_the_funnel(
    name: str, tasks: tuple[Task, ...]
) -> None:
    module = small_model(name, tasks).eval()
    ids, dense, _ = batch(tasks)
    with torch.no_grad():
        p_BK = module(ids, dense)
    assert p_BK.shape == (12, len(tasks))
    assert ((p_BK > 0) & (p_BK < 1)).all()
    if module.config.chain:
        for k, parent in enumerate(parents(tasks)):
            assert parent is None or (p_BK[:, k] <= p_BK[:, parent]).all()


@each_model
@each_tasks
def test_each_tasks_loss_is_finite_and_moves_the_model(name: str, tasks: tuple[Task, ...]) -> None:
    """Some labels of the first one are hidden, of the others none."""
    module = small_model(name, tasks, masked=True)
    loss_K = module.losses(batch(tasks, masked=True))
    assert loss_K.shape == (len(tasks),)
    parameters = list(module.model.parameters())
    found = torch.autograd.grad(loss_K.sum(), parameters, allow_unused=True)
    gradients = [gradient for gradient in found if gradient is not None]
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert any(bool((g != 0).any()) for g in gradients)


@each_model
def test_a_model_with_a_chain_is_refused_where_no_task_follows_another(name: str) -> None:
    fields = (Field("user", 7),)
    config = TrainingSettings().applied(MODELS[name])
    for tasks in (made_up.tasks(1), made_up.CENSUS):
        schema = Schema("tiny", fields, (), tasks)
        if config.chain:
            with pytest.raises(UserError, match="use chain=False"):
                FSMDModule.create(config, schema, seed=0)
        else:
            FSMDModule.create(config, schema, seed=0)


# ------------------------------------------------------------------------------------------
# Studies and searches
# ------------------------------------------------------------------------------------------


SETTINGS = TrainingSettings(epochs=3)


def planted(tasks: tuple[Task, ...], name: str = "planted") -> Dataset:
    """Twelve rows with the planted data's tasks: enough to plan on."""
    labels = made_up_labels(tasks, 12)
    split = Split(np.zeros((12, 1), np.int32), np.zeros((12, 0), np.float32), labels)
    return Dataset(
        name=name,
        schema=Schema("planted", (Field("user_id", 3),), (), tasks),
        train=split,
        valid=split,
        test=split,
        test_unseen=np.ones(12, bool),
        content_hash=f"hash of {name}",
        path=Path("nowhere"),
        reachable=None,
        settings=SETTINGS,
    )


@pytest.mark.parametrize("name", catalog.names())
@each_tasks
def test_every_definition_is_planned_on_any_number_of_tasks_or_refused_in_one_line(
    name: str, tasks: tuple[Task, ...]
) -> None:
    definition = catalog.get(name)
    if isinstance(definition, Search):
        check_search(definition, search_plan(planted(tasks), SETTINGS, 0, Runtime()))
        return
    names = [definition.data, *(arm.data for arm in definition.arms if arm.data)]
    several = {each: planted(tasks, each) for each in dict.fromkeys(names)}
    planned = planned_or_refused(definition, several)
    if isinstance(planned, str):
        assert "\n" not in planned
        assert len(tasks) != len(definition.tasks), planned
        return
    assert all(not arm.config.left_open for arm in planned.arms)
    networks = [arm.config for arm in planned.arms if isinstance(arm.config, FSMDConfig)]
    assert all(config.chain <= is_funnel(tasks) for config in networks)
    names = [arm.name for arm in planned.arms] + [arm for arm, _ in planned.same]
    assert set(names) == {arm.name for arm in definition.arms}


def planned_or_refused(study: Study, several: dict[str, Dataset]) -> Plan | str:
    try:
        return plan(study, several, SETTINGS, 0, Runtime())
    except UserError as error:
        return str(error)


def test_a_definition_asks_a_question_and_is_named_after_its_file() -> None:
    for name in catalog.names():
        definition = catalog.get(name)
        assert definition.name == name
        assert definition.title
        assert "?" in definition.question


# ------------------------------------------------------------------------------------------
# Figures
# ------------------------------------------------------------------------------------------

FORMS = (made_up.towers, made_up.models, made_up.grid, made_up.knob, made_up.many)
JUDGED: dict[str, tuple[Task, ...]] = {
    "1 task": made_up.tasks(1),
    "2 tasks": made_up.tasks(2),
    "3 tasks": made_up.tasks(3),
    "2 metrics": made_up.MIXED,
    "log loss": made_up.tasks(2, ("log_loss",)),
}
DRAWN = ("1 task", "3 tasks", "2 metrics")
"""Of the rest the words alone are tested: drawing takes most of the time."""
ANY_METRIC = re.compile(r"\bAUCs?\b")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    engine = made_up.fresh_engine(tmp_path_factory.mktemp("figures"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def studies(engine: sa.Engine) -> dict[str, tuple[StudyResults, ...]]:
    """A study of each form, for each set of tasks."""
    kept: dict[str, tuple[StudyResults, ...]] = {}
    for label, tasks in JUDGED.items():
        results = []
        for form in FORMS if label == "2 tasks" else (made_up.models, made_up.small_grid):
            study = form(tasks)
            record = made_up.store_study(
                engine,
                study,
                tasks=tasks,
                replicates=2,
                name=f"{study.name} {label}",
                rows=200 if form is made_up.towers else 0,
            )
            with engine.begin() as connection:  # so that some arms cost more than others
                connection.execute(sa.text("UPDATE fsmd_runs SET seconds = 1 + rowid"))
            results.append(read(engine, record.name))
        kept[label] = tuple(results)
    return kept


@pytest.fixture(scope="module")
def searches(engine: sa.Engine) -> dict[str, tuple[SearchAnalysis, ...]]:
    """A search with fresh seeds for each set of tasks, and one of three objectives."""
    kept: dict[str, tuple[SearchAnalysis, ...]] = {}
    for label, tasks in JUDGED.items():
        points = made_up.paper_points(8, tasks=tasks)
        objectives = ("tasks", "params") if label == "2 metrics" else ("tasks",)
        record = made_up.store_search(
            engine,
            points,
            tasks=tasks,
            name=f"search {label}",
            objectives=objectives,
            confirmed=list(points)[:3],
            seeds=4,
        )
        kept[label] = (analyse_search(engine, record),)
    return kept


def is_said_well(kind: FigureKind[Any, Any], subject: Any, tasks: tuple[Task, ...]) -> bool:
    """Whether there is something to draw; its words are then about what is measured."""
    view = view_of(kind, subject)
    if view is None:
        return False
    for text in (view.caption, view.alt):
        assert text.strip().endswith("."), text
        assert "nan" not in text.split()
        assert "None" not in text
        if all(task.metric != "auc" for task in tasks):
            assert not ANY_METRIC.search(text), text
    return True


def draws(kind: FigureKind[Any, Any], subject: Any, narrow: bool) -> None:
    figure = kind.draw(kind.summarize(subject), narrow)
    assert figure.axes
    figure.draw_without_rendering()
    plt.close(figure)


STUDY_FIGURES = kinds_in(study_figures)
SEARCH_FIGURES = kinds_in(search_figures)


def test_figures_have_keys_of_their_own() -> None:
    for kinds in (STUDY_FIGURES, SEARCH_FIGURES):
        assert len({kind.key for kind in kinds}) == len(kinds) > 0


@pytest.mark.parametrize("kind", STUDY_FIGURES, ids=lambda kind: kind.key)
@pytest.mark.parametrize("label", JUDGED)
def test_a_figure_of_a_study_suits_any_tasks_or_is_left_out(
    studies: dict[str, tuple[StudyResults, ...]], kind: FigureKind[Any, Any], label: str
) -> None:
    fitting = [results for results in studies[label] if kind.fits(results)]
    shown = [results for results in fitting if is_said_well(kind, results, JUDGED[label])]
    assert shown or label != "2 tasks", "no made-up study has such a figure"
    for results in shown[:1] if label == "3 tasks" else ():  # others: tests/test_figures_study.py
        draws(kind, results, narrow=True)


@pytest.mark.parametrize("kind", SEARCH_FIGURES, ids=lambda kind: kind.key)
@pytest.mark.parametrize("label", JUDGED)
def test_a_figure_of_a_search_suits_any_tasks_or_is_left_out(
    searches: dict[str, tuple[SearchAnalysis, ...]], kind: FigureKind[Any, Any], label: str
) -> None:
    fitting = [found for found in searches[label] if kind.fits(found)]
    for analysis in fitting:
        if is_said_well(kind, analysis, JUDGED[label]) and label in DRAWN:
            draws(kind, analysis, narrow=label == "3 tasks")


# ------------------------------------------------------------------------------------------
# Reports
# ------------------------------------------------------------------------------------------


def is_sound(outline: Outline, tasks: tuple[Task, ...]) -> None:
    page = html(outline.report)
    assert_stands_alone(page)
    words = text_of(page)
    assert not re.search(r"\b(nan|None|inf|array|Task\()\b", words)
    for task in tasks:
        assert METRICS[task.metric].label in words
        assert task.name in words
    json.dumps(outline.summary, allow_nan=False)
    assert outline.lines


@pytest.mark.parametrize("label", JUDGED)
@pytest.mark.usefixtures("blank_figures")
def test_a_report_of_a_study_is_sound_with_any_tasks(
    engine: sa.Engine, studies: dict[str, tuple[StudyResults, ...]], label: str
) -> None:
    for results in studies[label][-2:]:
        outline = outline_of(engine, results.record)
        is_sound(outline, JUDGED[label])
        stated = {(entry["level"], entry["task"]) for entry in outline.summary["levels"]}
        keys = [target.key for target in results.targets]
        assert stated == {(arm, key) for arm in results.arms for key in keys}
        assert len(outline.summary["claims"]) == len(results.study.claims)


@pytest.mark.parametrize("label", JUDGED)
@pytest.mark.usefixtures("blank_figures")
def test_a_report_of_a_search_is_sound_with_any_tasks(
    engine: sa.Engine, searches: dict[str, tuple[SearchAnalysis, ...]], label: str
) -> None:
    for analysis in searches[label]:
        is_sound(outline_of(engine, analysis.search.record), JUDGED[label])
