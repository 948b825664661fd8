"""Figures of studies: their numbers exactly, for any number of tasks; little of their ink.

Drawing is slow, so that what can be stated of numbers is not drawn.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import sqlalchemy as sa
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse as EllipsePatch
from matplotlib.text import Annotation, Text

import reports.study.figures
from fsmd.baselines import BASELINES
from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS
from fsmd.stats.estimates import Array, mean_interval
from fsmd.stats.joint import joint_ellipse
from fsmd.stats.sampling import Sampling
from fsmd.tasks import MEAN, Task, names, targets
from reports import quality_cost, words
from reports.page import labels, panels, style
from reports.page.figure_kind import FigureKind, kinds_in
from reports.page.svg import for_page, to_svg
from reports.page.typeset import figure_pdf
from reports.results import Scores, StudyResults, read
from reports.standing import ArmStanding, Leaderboard
from reports.study.figures import (
    arms,
    curves,
    differences,
    effects,
    gains,
    gates,
    gradients,
    scatter,
    seesaw,
)
from reports.study.figures.differences import DifferenceRow, DifferencesSummary
from reports.study.figures.gradients import GradientCourse, GradientsPanel, GradientsSummary
from reports.study.leaderboard import leaderboard_of
from reports.study.named import MOST, looks_of, named_arms
from reports.study.scales import Scale, within_margin
from reports.study.shape import arms_drawn
from reports.study.tables import seesaw_table
from studies.definition import Factor, Study, one_factor
from tests.drawn import ticks_are_true
from tests.made_up import (
    CENSUS,
    MIXED,
    fresh_engine,
    grid,
    knob,
    many,
    models,
    small_grid,
    store_study,
    tasks,
    towers,
)

TAKES_LONG = True
TASKS = ("click", "long_view")
GRID = "diamond / 1 / 4"
AUC, LOSS = METRICS["auc"], METRICS["log_loss"]
KINDS = {kind.key: kind for kind in kinds_in(reports.study.figures)}
STORED = sorted({*KINDS} - {"quality_cost"})
"""What a made-up study has; its arms all cost the same."""


INSIDE = ("differences", "curves", "gradients", "gates")
FORMS: dict[str, tuple[Callable[..., Study], tuple[str, ...]]] = {
    "models": (models, ("gains", "arms", *INSIDE)),
    "towers": (towers, ("arms", *INSIDE)),
    "small_grid": (small_grid, ("scatter", "effects", *INSIDE)),
    "grid": (grid, ("scatter", "effects", *INSIDE)),
    "knob": (knob, ("seesaw", *INSIDE)),
    "many": (many, ("scatter", *INSIDE)),
    "predicted": (towers, ("arms", "calibration", *INSIDE)),
}
"""A study's form -> how to make it up, and the figures that it has."""
CASES = {
    "one": tasks(1),
    "two": tasks(2),
    "three": tasks(3),
    "five": tasks(5),
    "mixed": MIXED,
    "losses": tasks(2, ("log_loss",)),
}
NEEDS_TWO = ("gains", "gradients")
"""Figures that a single task has not."""


def long_view_at_a_price(index: int, task: str) -> float:
    """Arm by arm, what one task gains the other one loses."""
    return 0.001 * index * (1 if task in ("long_view", "never_married") else -1)


def along_the_knob(index: int, task: str) -> float:
    """Every model but the first gains 0.004 at no conflict and loses as much at full conflict."""
    arm = knob().arms[index]
    model, conflict = (value for _, value in arm.params)
    return 0.0 if model == "single_task" else 0.004 - 0.008 * float(conflict)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    return fresh_engine(tmp_path_factory.mktemp("db"))


Made = Callable[[str, str], StudyResults]
"""Form and case -> the made-up study; it is stored when it is asked for first."""


@pytest.fixture(scope="module")
def made(engine: sa.Engine) -> Made:
    @cache
    def results(form: str, case: str) -> StudyResults:
        of = CASES[case]
        store_study(
            engine,
            FORMS[form][0](of=of),
            tasks=of,
            name=f"{form} {case}",
            replicates=2 if "grid" in form else 3,
            effect=along_the_knob if form == "knob" else None,
            rows=300 if form == "predicted" else 0,
            reachable={task.name: 0.9 for task in of} if form == "towers" else None,
        )
        return read(engine, f"{form} {case}")

    return results


@pytest.fixture(scope="module")
def video(engine: sa.Engine) -> StudyResults:
    store_study(engine, "models_video", replicates=4, data="kuairand", effect=long_view_at_a_price)
    return read(engine, "models_video")


def summary_of(results: StudyResults, kind: Any) -> Any:
    """The summary, which is there."""
    summary = kind.summarize(results)
    assert summary is not None
    return summary


def scale(task: Task) -> Scale:
    return Scale(targets([task])[0], METRICS[task.metric].margin)


# Every figure


def test_each_figure_has_a_name_and_a_place_of_its_own() -> None:
    known = {key for _, keys in FORMS.values() for key in keys} | {"quality_cost"}
    assert sorted(KINDS) == sorted(known)
    assert {kind.section for kind in KINDS.values()} == {
        *("leaderboard", "arms", "differences", "curves", "inside", "probabilities")
    }
    assert all(kind.draw.__module__.endswith(f".{key}") for key, kind in KINDS.items())


@pytest.mark.parametrize(
    ("form", "case"),
    [
        *(("models", case) for case in CASES if case != "five"),
        *(("small_grid", case) for case in ("one", "five", "mixed")),
        *((form, case) for form in ("towers", "knob") for case in ("one", "mixed")),
        ("many", "two"),
        ("grid", "two"),
    ],
)
def test_a_study_has_the_figures_that_fit_it_and_words_for_each(
    made: Made, form: str, case: str
) -> None:
    results = made(form, case)
    fitting = {key: kind for key, kind in KINDS.items() if kind.fits(results)}
    summaries = {key: kind.summarize(results) for key, kind in fitting.items()}
    lacking = NEEDS_TWO if case == "one" else ()
    expected = {key for key in FORMS[form][1] if key not in lacking}
    assert {key for key, summary in summaries.items() if summary is not None} == expected
    for key in expected:
        kind, summary = KINDS[key], summaries[key]
        caption, alt, finding = kind.caption(summary), kind.alt(summary), kind.finding(summary)
        assert caption.endswith(".")
        assert alt.endswith(".")
        assert finding.endswith(".")
        assert ". " not in finding  # one sentence
        assert "nan" not in caption + alt + finding
        if key not in ("gradients", "gates"):  # these show what has no better and worse
            assert ("AUC" in caption) == (case != "losses")
            assert ("Of log loss less is better." in caption) == (case in ("mixed", "losses"))
        if case == "one" or case == "mixed":
            assert " the mean " not in alt
        if case == "one":
            assert "both" not in caption


@pytest.mark.parametrize(
    ("key", "case"),
    [
        *((key, case) for key in STORED for case in ("one", "five", "mixed")),
        *((key, "three") for key in ("gains", "scatter")),
    ],
)
def test_each_figure_has_its_panels_for_any_number_of_tasks(
    made: Made, key: str, case: str
) -> None:
    form = next(form for form, (_, keys) in FORMS.items() if key in keys)
    summary = KINDS[key].summarize(made(form, case))
    if case == "one" and key in NEEDS_TWO:
        assert summary is None
        return
    count = len(CASES[case])
    planes = {"one": 1, "three": 3, "five": 10, "mixed": 1}[case]
    shown = count + (case in ("three", "five"))
    expected = {
        "arms": shown,
        "differences": shown,
        "curves": count,
        "calibration": count + sum(task.after is not None for task in CASES[case]),
        "gates": count,
        "gradients": min(count * (count - 1) // 2, gradients.MOST_PAIRS),
        "gains": planes,
        "scatter": planes,
        "effects": 3 * (1 + (case == "mixed")),
        "seesaw": 2 * (1 + (case == "mixed")),
    }
    assert len(KINDS[key].draw(summary, False).axes) == expected[key]


@pytest.mark.parametrize("key", STORED)
def test_every_figure_is_drawn_narrow_too_and_marks_its_parts(made: Made, key: str) -> None:
    form = next(form for form, (_, keys) in FORMS.items() if key in keys)
    kind: FigureKind[Any, Any] = KINDS[key]
    svg = to_svg(kind.draw(kind.summarize(made(form, "two")), True))
    assert "data-part=" in svg
    assert "<title>" in svg


def test_the_same_numbers_give_the_same_bytes_and_leave_matplotlibs_settings_alone(
    made: Made,
) -> None:
    before = dict(matplotlib.rcParams)
    summary = summary_of(made("towers", "one"), arms)
    drawn = [to_svg(arms.draw(summary)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    pdf = figure_pdf(drawn[0])
    assert pdf == figure_pdf(drawn[1])
    assert b"CreationDate" not in pdf
    assert dict(matplotlib.rcParams) == before
    page = for_page(drawn[0], "arms", arms.alt(summary))
    assert '<title id="arms-title">Test AUC by tower shape</title>' in page
    assert style.INK not in page


def test_each_point_has_the_style_that_matplotlib_gives_it_though_a_group_says_it() -> None:
    with style.styled():
        figure, axes = plt.subplots()
        axes.scatter(range(5), range(5), color="#123456", alpha=0.5)
        axes.scatter(range(3), range(3), color=["#abcdef", "#fedcba", "#abcdef"])
        for x in range(3):
            axes.plot(range(4), np.arange(4) + x, marker="o", color="#654321", alpha=0.5 * (x > 0))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg")

    def styles(svg: bytes) -> list[tuple[str | None, bool]]:
        """Of each point, in their order: its style, its own or else the nearest group's."""
        found = list[tuple[str | None, bool]]()

        def go(element: ElementTree.Element, said: str | None) -> None:
            said = element.get("style", said)
            if element.tag.endswith("}use"):
                found.append((said, "style" in element.attrib))
            for child in element:
                go(child, said)

        go(ElementTree.fromstring(svg), None)
        return found

    drawn, ours = styles(buffer.getvalue()), styles(to_svg(figure).encode())
    assert [said for said, _ in ours] == [said for said, _ in drawn]
    assert all(own for _, own in drawn)
    once = " ".join(str(said) for said, own in ours if not own)
    assert "#123456" in once
    assert "#654321" in once


# The grid of panels


def test_an_axis_has_room_a_least_span_and_the_ends_of_its_metric() -> None:
    assert style.limits(0.7, 0.8, 0.1, least=0.001) == pytest.approx((0.69, 0.81))
    low, high = style.limits(0.7, 0.7, 0.1, least=0.001)
    assert (low, high) == pytest.approx((0.6995, 0.7005))
    assert style.limits(0.9, 0.999, 0.1, least=0.001, within=(0.0, 1.0))[1] == 1.0


@pytest.mark.parametrize("count", range(1, 8))
def test_marks_at_one_place_stand_apart_and_in_the_middle(count: int) -> None:
    places = [style.aside(i, count, room=0.6, step=0.12) for i in range(count)]
    assert sum(places) == pytest.approx(0)
    assert max(places) - min(places) <= 0.6
    assert all(b > a for a, b in pairwise(places))


# Names beside points


def test_names_do_not_overlap_each_other_nor_leave_the_panel() -> None:
    generator = np.random.default_rng(1)
    for _ in range(6):
        middle = generator.uniform(90, 150, 2)
        points = {
            f"a_long_name_{i}": tuple((middle + generator.normal(0, 25, 2)).tolist())
            for i in range(10)
        }
        places = labels.placed(points, (270.0, 240.0))
        boxes = [
            labels.Box.of_text(name, labels.FONT).at(
                (points[name][0] + place.dx, points[name][1] + place.dy)
            )
            for name, place in places.items()
        ]
        assert max(one.overlap(other) for one, other in combinations(boxes, 2)) < 1
        assert max(box.outside((270.0, 240.0)) for box in boxes) < 1


def test_a_lone_name_stands_beside_its_mark_without_a_line() -> None:
    (place,) = labels.placed({"base": (100.0, 100.0)}, (200.0, 200.0)).values()
    assert place.dy == 0
    assert not place.far


def test_a_plane_knows_where_its_points_are_and_names_those_inside() -> None:
    figure, (here, below) = panels.planes(
        [((0, 2), (10, 20)), ((0, 1), (0, 1))], True, [], height=3
    )
    width, height = figure.get_size_inches()
    assert here.on_page((0, 10)) == (0, 0)
    assert here.on_page((2, 20)) == here.size
    box = here.axis.get_position()
    inches = (box.width * width, box.height * height)
    assert (here.size[0] / 72, here.size[1] / 72) == pytest.approx(inches)
    assert here.axis.get_position().y0 > below.axis.get_position().y1
    texts = here.write_names({"in": (1, 15), "out": (3, 15)}, marks=[(1.1, 15)])
    assert list(texts) == ["in"]
    assert texts["in"].xy == (1, 15)


@pytest.mark.parametrize("end", [(2, 15), (2, 17)], ids=["level", "slanted"])
def test_no_name_stands_on_a_line_where_another_place_is_free(end: labels.Point) -> None:
    figure, (here,) = panels.planes([((0, 2), (10, 20))], True, [], height=3)
    figure.canvas.draw()

    def crossed(line: Sequence[labels.Point]) -> bool:
        (text,) = here.write_names({"a_long_name": (1, 15)}, line=line).values()
        (left, low), (right, high) = text.get_window_extent().get_points()
        (x0, y0), (x1, y1) = (here.axis.transData.transform(at) for at in ((1, 15), end))
        on_line = np.linspace((x0, y0), (x1, y1), 999)
        return any(left < x < right and low < y < high for x, y in on_line.tolist())

    assert crossed([])
    assert not crossed([(1, 15), end])


# Arms


def test_the_arms_figure_shows_every_replicate_and_a_range_that_holds_them(
    made: Made,
) -> None:
    summary = summary_of(made("towers", "two"), arms)
    assert [panel.scale.key for panel in summary.panels] == [*TASKS, MEAN]
    for panel in summary.panels:
        low, high = arms.y_range(panel)
        assert low < panel.values_AR.min() <= panel.values_AR.max() < high
        assert high - low >= arms.MIN_SPAN * AUC.margin
        assert high < panel.reachable == pytest.approx(0.9)  # far above: written, not drawn


def panel_of(metric: str, values: Sequence[float], reachable: float | None = None) -> Any:
    values_AR = np.array([values])
    estimate = mean_interval(values_AR[0])
    return arms.ArmsPanel(scale(Task("a", metric)), values_AR, (estimate,), reachable)


def test_a_reachable_figure_near_the_data_is_inside_the_range() -> None:
    assert arms.y_range(panel_of("auc", [0.72, 0.721], 0.722))[1] > 0.722
    assert arms.y_range(panel_of("log_loss", [0.452, 0.451], 0.450))[0] < 0.450


def test_an_axis_spans_four_margins_at_least_and_ends_where_its_metric_does() -> None:
    for metric in ("auc", "log_loss"):
        low, high = arms.y_range(panel_of(metric, [0.45, 0.45]))
        assert high - low == pytest.approx(1.14 * 4 * METRICS[metric].margin)
    assert arms.y_range(panel_of("auc", [0.9, 0.999]))[1] == 1.0
    assert arms.y_range(panel_of("log_loss", [0.0001, 0.3]))[0] == 0.0


def test_the_best_reachable_figure_stands_above_the_panel(made: Made) -> None:
    summary = summary_of(made("towers", "two"), arms)
    near, far, _ = summary.panels
    high = arms.y_range(near)[1]
    panels_ = (near._replace(reachable=high), far._replace(reachable=0.9))
    figure = arms.draw(summary._replace(panels=panels_))
    for axis, height in zip(figure.axes, (high, 1.03), strict=True):
        (text,) = [t for t in axis.texts if "best reachable" in t.get_text()]
        assert isinstance(text, Annotation)
        assert text.get_text().endswith("(dashed)")
        assert text.xy == (0, 1)
        assert text.get_verticalalignment() == "bottom"
        dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert len(dashed) == 1
        # The far one is beyond the panel's upper end.
        assert set(np.asarray(dashed[0].get_ydata(), float)) == {height}


# Differences


def test_differences_go_the_way_of_the_claims_and_share_one_range_a_metric(
    made: Made,
) -> None:
    results = made("towers", "mixed")
    summary = summary_of(results, differences)
    assert (summary.reference, summary.forward) == ("diamond", True)
    for each, rows in zip(summary.scales, summary.rows, strict=True):
        low, high = differences.x_range(summary, each.metric)
        assert [row.label for row in rows] == [f"minus {row.arm}" for row in rows]
        for row in rows:
            values = results.test.differences("diamond", row.arm, each.key)
            assert row.values == tuple(values)
            assert low < min(row.values) <= max(row.values) < high
        assert low < -each.margin < each.margin < high
    assert "Right of zero diamond leads in AUC, left of it in log loss" in (
        differences.caption(summary)
    )
    rows_of_one = tuple(
        tuple(row._replace(estimate=mean_interval(row.values[:1])) for row in rows)
        for rows in summary.rows
    )
    assert "95 %" in differences.caption(summary)
    assert "95 %" not in differences.caption(summary._replace(rows=rows_of_one))
    one_way = summary._replace(scales=(summary.scales[1],), rows=(summary.rows[1],))
    assert "Left of zero diamond leads;" in differences.caption(one_way)
    alone = summary._replace(rows=tuple(rows[:1] for rows in summary.rows))
    assert "the interval of diamond minus" in differences.finding(alone)


def test_a_margin_is_the_studys_or_each_metrics_own(made: Made) -> None:
    results = made("towers", "mixed")
    other = replace(results.study, margins=(("auc", 0.005),))
    record = replace(results.record, definition=other)
    own = summary_of(replace(results, record=record), differences)
    for each in own.scales:
        assert each.margin == (0.005 if each.metric.name == "auc" else each.metric.margin)
    assert {each.metric.name for each in own.scales} > {"auc"}
    auc, loss = scale(Task("a")), scale(Task("b", "log_loss"))._replace(margin=0.02)
    assert within_margin([auc, auc]) == "±0.001"
    assert within_margin([auc, loss]) == "±0.001 of AUC and ±0.02 of log loss"


# Gains


def test_gains_are_means_of_paired_differences(video: StudyResults) -> None:
    scores, summary = video.test, summary_of(video, gains)
    assert (summary.reference, names_of(summary)) == ("base", TASKS)
    assert [gain.arm for gain in summary.gains] == [x for x in video.arms if x != "base"]
    for gain in summary.gains:
        expected = [scores.differences(gain.arm, "base", task).mean() for task in TASKS]
        assert gain.means == pytest.approx(expected, abs=1e-15)
        assert (gain.n, len(gain.regions)) == (4, 1)
        assert gain.regions[0] is not None
    assert set(summary.paper) == set(video.arms) - {"base", "ple", *BASELINES}


def names_of(summary: Any) -> tuple[str, ...]:
    return tuple(each.key for each in summary.scales)


def test_below_three_pairs_there_is_no_region(engine: sa.Engine) -> None:
    store_study(engine, "models_census", tasks=CENSUS, replicates=2, data="census")
    summary = summary_of(read(engine, "models_census"), gains)
    assert {gain.regions for gain in summary.gains} == {(None,)}
    assert "joint regions" not in gains.caption(summary)


def test_each_pair_of_up_to_five_tasks_has_a_plane(made: Made) -> None:
    three, five = (summary_of(made("models", n), gains) for n in ("three", "five"))
    assert three.pairs == ((0, 1), (0, 2), (1, 2))
    assert "minus that of base on click, long_view and like," in gains.caption(three)
    assert "better on both tasks of a panel," in gains.caption(three)
    assert "better on both tasks of a panel," in gains.caption(five)
    assert five.pairs == tuple(combinations(range(5), 2))
    for summary in (three, five):
        assert all(len(gain.means) == len(summary.scales) for gain in summary.gains)
        assert all(f"on {key}" in gains.alt(summary) for key in names_of(summary))


def test_the_papers_gains_lie_in_the_plane_of_the_tasks_that_it_names(
    engine: sa.Engine, video: StudyResults
) -> None:
    assert summary_of(video, gains).paper_pair == 0
    turned = (Task("share"), Task("long_view"), Task("click"))
    store_study(engine, "models_video", tasks=turned, name="turned", replicates=1)
    store_study(engine, "models_video", tasks=CASES["losses"], name="losses", replicates=1)
    summary = summary_of(read(engine, "turned"), gains)
    losses = summary_of(read(engine, "losses"), gains)
    assert [names_of(summary)[task] for task in summary.pairs[summary.paper_pair]] == [
        "long_view",
        "click",
    ]
    click, long_view = summary_of(video, gains).paper["fs"]
    assert summary.paper["fs"] == (long_view, click)
    assert not losses.paper  # the paper reports AUC


def scores_of(pairs_R2: Array, sampling: Sampling | None = None) -> Scores:
    """Two arms, of which the first leads by these pairs."""
    values_ART = np.zeros((2, len(pairs_R2), 3))
    values_ART[0, :, :2], values_ART[0, :, 2] = pairs_R2, pairs_R2.mean(axis=1)
    samplings = (sampling,) if sampling else ()
    replicates = tuple(range(len(pairs_R2)))
    return Scores(("arm", "other"), replicates, targets(tasks(2)), values_ART, {}, samplings)


def test_the_joint_region_is_of_the_pairs_and_of_the_test_sets_part() -> None:
    pairs_R2 = np.random.default_rng(0).normal(size=(5, 2)) @ [[1.0, 0.0], [0.7, 0.4]]
    mean_2, seeds_22 = pairs_R2.mean(axis=0), np.cov(pairs_R2.T) / 5
    alone = gains.joint_region(scores_of(pairs_R2), "arm", "other", TASKS)
    assert alone == joint_ellipse(mean_2, seeds_22, np.zeros((2, 2)), n=5)
    covariance_AKAK = np.zeros((2, 2, 2, 2))
    covariance_AKAK[0, :, 0] = rows_22 = np.array([[0.3, 0.1], [0.1, 0.2]])
    sampling = Sampling(("arm", "other"), covariance_AKAK)
    both = gains.joint_region(scores_of(pairs_R2, sampling), "arm", "other", TASKS)
    assert both == joint_ellipse(mean_2, seeds_22, rows_22, n=5)


def test_a_region_without_correlation_is_upright_and_reaches_its_half_axes() -> None:
    pairs_R2 = np.array([[1.0, 0], [-1, 0], [0, 0.1], [0, -0.1]])
    region = gains.joint_region(scores_of(pairs_R2), "arm", "other", TASKS)
    assert region is not None
    assert np.allclose(gains.reach(region), region.semi_axes)
    assert region.semi_axes[0] == pytest.approx(10 * region.semi_axes[1])


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        ((2, 2), "better on both"),
        ((-2, -1), "worse on both"),
        ((2, -2), "seesaw: trades b for a"),
        ((-2, 2), "seesaw: trades a for b"),
        ((-0.1, 2), "gains on b, within the margin on a"),
        ((-2, 0), "loses on a, within the margin on b"),
        ((0.9, -0.9), "within the margin on both"),
        ((2, 2, 1), "better on all tasks"),
        ((-1, -2, -3), "worse on all tasks"),
        ((2, -2, 2), "seesaw: trades b for a and c"),
        ((2, -2, 0), "gains on a, loses on b, within the margin on c"),
        ((0, 0, 0.5), "within the margin on all tasks"),
    ],
)
def test_below_the_margin_nothing_is_won_or_traded(gain: tuple[float, ...], told: str) -> None:
    assert gains.standing(dict(zip("abc", gain, strict=False))) == told


def test_where_less_is_better_a_loss_of_loss_is_a_gain(made: Made) -> None:
    summary = summary_of(made("models", "losses"), gains)
    first = summary.gains[0]._replace(means=(-0.002, -0.003))
    summary = summary._replace(gains=(first,))
    told = "\u22120.00200 and \u22120.00300: base against it, undecided."
    assert gains.alt(summary).endswith(told)
    assert "The corners say which way is better." in gains.caption(summary)
    axis = gains.draw(summary).axes[0]
    corner = {t.get_text(): t.xy for t in axis.texts if isinstance(t, Annotation)}
    assert (corner["better on both"], corner["worse on both"]) == ((0, 0), (1, 1))


@pytest.mark.parametrize("with_paper", [False, True])
def test_the_frame_holds_every_mean_and_zero_away_from_its_edges(
    video: StudyResults, with_paper: bool
) -> None:
    summary = summary_of(video, gains)
    limits = gains.frame(summary, 0, with_paper)
    points = [gain.means for gain in summary.gains]
    points += list(summary.paper.values()) if with_paper else []
    for axis, (low, high) in enumerate(limits):
        assert all(low < point[axis] < high for point in points)
        assert 0.25 < -low / (high - low) < 0.75


def test_the_left_panel_has_only_what_was_measured_in_outlines(video: StudyResults) -> None:
    summary = summary_of(video, gains)
    here, beside = gains.draw(summary).axes
    others = {gain.arm for gain in summary.gains} - {*summary.named}
    outlined = len(others), len(others) + len(summary.paper)
    assert (hollow_marks(here), hollow_marks(beside)) == outlined
    ellipses = [patch for patch in here.patches if isinstance(patch, EllipsePatch)]
    assert len(ellipses) == len(summary.gains)
    assert not [ellipse for ellipse in ellipses if ellipse.get_fill()]
    written = [t for t in here.texts if t.get_text() in {gain.arm for gain in summary.gains}]
    assert {name.get_text() for name in written} == {*summary.named} - {"base"}
    assert all(isinstance(name, Annotation) and name.arrow_patch for name in written)


def hollow_marks(axis: Axes) -> int:
    return sum(line.get_markerfacecolor() == "none" for line in axis.lines)


# Learning curves


@pytest.mark.parametrize("case", ["two", "losses"])
def test_curves_are_scaled_around_the_chosen_epochs(made: Made, case: str) -> None:
    """The first epoch, 0.018 worse than the best, would leave the arms no room."""
    summary = summary_of(made("models", case), curves)
    for each, of_task in zip(summary.scales, summary.curves, strict=True):
        low, high = curves.y_range(of_task, each.metric)
        assert all(low < value < high for curve in of_task for _, value in curve.chosen)
        for curve in of_task:
            first = curve.means[0]
            assert first < low if each.metric.higher else first > high
            assert low < curve.means[curve.epochs.index(5)] < high


def test_curves_without_a_finished_training_have_a_frame() -> None:
    assert curves.y_range([curves.CurveOfArm("a", (), (), ())], AUC) == (0.0, 1.0)


# Inside the models


def test_the_cosines_are_means_with_their_range(video: StudyResults) -> None:
    summary = summary_of(video, gradients)
    (panel,) = summary.panels
    assert panel.tasks == TASKS
    sharing = ["shared_bottom", "mmoe", "base", "fg", "fs", "fsmd", "ple"]
    assert [course.arm for course in panel.courses] == sharing
    frame = video.measurements
    rows = frame[(frame["metric"] == "gradient_cosine") & (frame["arm"] == "mmoe")]
    rows = rows[rows["epoch"] == 1]
    course = panel.courses[1]
    assert course.epochs[0] == 1
    assert course.means[0] == pytest.approx(rows["value"].mean())
    assert (course.lows[0], course.highs[0]) == (rows["value"].min(), rows["value"].max())
    low, high = gradients.y_range(summary)
    assert low < 0 < high


def test_of_many_pairs_of_tasks_six_have_a_panel_and_the_caption_says_so(
    made: Made,
) -> None:
    five = summary_of(made("models", "five"), gradients)
    assert (five.pairs, len(five.panels)) == (10, 6)
    assert [panel.tasks for panel in five.panels] == list(combinations(names(CASES["five"]), 2))[
        :6
    ]
    assert "Of 10 pairs of tasks the first 6 are shown" in gradients.caption(five)
    three = summary_of(made("models", "three"), gradients)
    assert len(three.panels) == three.pairs == 3
    assert "are shown" not in gradients.caption(three)


def test_gate_weights_add_up_and_half_are_shared_where_tasks_have_their_own(
    video: StudyResults,
) -> None:
    summary = summary_of(video, gates)
    shared = {"mmoe": 8, "fg": 8, "fs": 4, "fsmd": 4, "ple": 4}
    for rows in summary.rows:
        assert {row.arm: row.shared for row in rows} == shared
        assert all(sum(row.weights) == pytest.approx(1) for row in rows)


def test_experts_of_a_tasks_own_are_as_many_as_the_configuration_says(
    engine: sa.Engine,
) -> None:
    base = FSMDConfig(layers=(8,), tower_width=8, tower_depth=2, expert_count=4)
    own = one_factor(Factor("own_experts", (1, 2, 3)))
    study = replace(towers(), base=base, arms=own, reference="1", claims=())
    store_study(engine, study, name="own experts", replicates=1)
    summary = summary_of(read(engine, "own experts"), gates)
    assert [row.shared for row in summary.rows[0]] == [3, 2, 1]


# The grid and the knob


def test_the_front_is_what_no_arm_beats_on_all_tasks(made: Made) -> None:
    for case in ("one", "two", "three", "losses"):
        summary = summary_of(made("small_grid", case), scatter)
        assert len(summary.arms) == 8
        sign = np.array([each.metric.sign for each in summary.scales])
        points = {arm.arm: np.array(arm.means) * sign for arm in summary.arms}
        for arm, point in points.items():
            beaten = any(
                (other >= point).all() and (other > point).any() for other in points.values()
            )
            assert (arm in summary.front) == (not beaten)


def test_of_few_arms_every_one_is_named_and_of_many_those_that_matter(made: Made) -> None:
    results = made("grid", "two")
    summary = summary_of(results, scatter)
    claimed = {GRID, "constant / 1 / 2"}
    assert set(summary.named) == {*summary.front, *claimed}
    assert all(width > 0 for width in summary.half_widths)
    assert "Named: the reference" in scatter.caption(summary)
    few = summary_of(made("small_grid", "two"), scatter)
    assert set(few.named) == {arm.name for arm in small_grid().arms}
    assert "Named" not in scatter.caption(few)


def test_means_are_ranked_over_the_same_replicates_or_not_at_all(
    engine: sa.Engine,
) -> None:
    """One arm has only the replicate with the best seed: its mean is above all others."""
    arm = small_grid().arms[5].name
    missing = [(arm, 0), (arm, 2)]
    store_study(engine, small_grid(), name="uneven", replicates=3, missing=missing)
    summary = summary_of(read(engine, "uneven"), scatter)
    assert not summary.front
    assert not summary.half_widths
    assert "not ranked" in scatter.caption(summary)


@pytest.mark.parametrize("top", [0.72, 0.7203, 0.72103, 0.7303, 0.81])
def test_a_tick_stands_where_it_says_and_has_room(made: Made, top: float) -> None:
    summary = summary_of(made("small_grid", "two"), scatter)
    spread = np.linspace(0.72, top, 4)
    few = zip(summary.arms, spread, strict=False)
    moved = tuple(arm._replace(means=(at, at)) for arm, at in few)
    shown = summary._replace(arms=moved, front=(), named=(), reference="")
    ticks_are_true(scatter.draw(shown))


def test_a_front_of_arms_without_scatter_says_nothing_of_their_intervals(made: Made) -> None:
    results = made("small_grid", "two")
    frame = results.measurements.assign(value=0.7)
    summary = summary_of(replace(results, measurements=frame), scatter)
    assert (len(summary.front), summary.half_widths) == (8, ())
    assert scatter.caption(summary).endswith("on the front of the means is partly chance.")


def test_the_strip_of_a_single_task_lies_inside_of_its_figure(made: Made) -> None:
    figure = scatter.draw(summary_of(made("small_grid", "one"), scatter))
    figure.draw_without_rendering()
    box = figure.axes[0].get_tightbbox()
    assert box is not None
    assert box.x0 >= 0


def test_where_each_arm_is_a_group_of_its_own_there_is_one_group(made: Made) -> None:
    summary = summary_of(made("many", "two"), scatter)
    assert (summary.factor, summary.groups) == ("", ("arm",))
    nameless = tuple(replace(arm, params=()) for arm in many().arms)
    record = replace(made("many", "two").record, definition=replace(many(), arms=nameless))
    assert summary_of(replace(made("many", "two"), record=record), scatter) == summary
    grouped = summary_of(made("small_grid", "two"), scatter)
    assert (grouped.factor, grouped.groups) == ("tower_shape", ("constant", "diamond"))


def test_main_effects_add_up_to_nothing(made: Made) -> None:
    for case in ("one", "five", "mixed"):
        summary = summary_of(made("small_grid", case), effects)
        assert summary.complete
        factors = [effect.factor for effect in summary.effects]
        assert factors == ["tower_shape", "gate_depth", "expert_count"]
        for effect in summary.effects:
            assert len(effect.estimates) == len(summary.scales)
            for estimates in effect.estimates:
                total = sum(estimate.mean for estimate in estimates)
                assert total == pytest.approx(0, abs=1e-12)


def test_main_effects_find_the_value_that_differs(
    engine: sa.Engine,
) -> None:
    better = {arm.name: 0.01 for arm in small_grid().arms if arm.name.startswith("diamond")}
    missing = [("constant / 1 / 2", 0)]
    store_study(engine, small_grid(), name="better", replicates=2, effects=better, missing=missing)
    summary = summary_of(read(engine, "better"), effects)
    shape, depth, _ = (effect.estimates[-1] for effect in summary.effects)
    assert shape[-1].mean == pytest.approx(0.005, abs=1e-3)
    assert max(abs(estimate.mean) for estimate in depth) < 1e-3
    low, high = effects.y_range(summary, AUC)
    assert low < shape[0].mean < shape[-1].mean < high
    assert shape[-1].n == 1  # only the replicate that all arms share


def test_no_main_effect_lies_beyond_what_its_metric_can_differ_by(made: Made) -> None:
    results = made("small_grid", "one")
    frame = results.measurements.copy()
    far = frame["arm"].str.startswith("diamond") == (frame["replicate"] == 0)
    frame["value"] = np.where(far, 0.95, 0.15)
    summary = summary_of(replace(results, measurements=frame), effects)
    (shape,) = summary.effects[0].estimates
    assert [(e.low, e.high) for e in shape] == [(-1.0, 1.0)] * 2


def test_without_a_replicate_that_all_share_there_are_no_main_effects(
    engine: sa.Engine,
) -> None:
    first, *others = small_grid().arms
    missing = [(arm.name, 1) for arm in others] + [(first.name, 0)]
    store_study(engine, small_grid(), name="unpaired", replicates=2, missing=missing)
    results = read(engine, "unpaired")
    assert effects.summarize(results) is None
    assert scatter.summarize(results) is not None


def test_gains_along_the_knob_are_paired_within_each_data_set(made: Made) -> None:
    for case in ("one", "two", "five"):
        results = made("knob", case)
        summary = summary_of(results, seesaw)
        assert (summary.knob, summary.reference) == ("conflict", "single_task")
        assert summary.settings == ("0", "0.5", "1")
        for each, lines in zip(summary.scales, summary.lines, strict=True):
            assert lines[-1].model == "fs"
            assert [estimate.mean for estimate in lines[-1].estimates] == [
                results.test.differences(f"fs @ {c}", f"single_task @ {c}", each.key).mean()
                for c in summary.settings
            ]
            first, *_, last = lines[-1].estimates
            assert first.mean > 0.002 > -0.002 > last.mean


def test_each_model_has_a_panel_with_all_tasks_in_it_along_the_knob(made: Made) -> None:
    summary = summary_of(made("knob", "five"), seesaw)
    assert [summary.scales[k].key for k in seesaw.tasks_drawn(summary, AUC)] == list(
        names(CASES["five"])
    )
    axes = seesaw.draw(summary, narrow=True).axes
    assert [axis.get_title(loc="left") for axis in axes] == ["mmoe", "fs"]
    assert {axis.get_ylim() for axis in axes} == {seesaw.y_range(summary, AUC)}
    drawn = [np.asarray(line.get_xdata(), float).tolist() for line in axes[0].lines]
    places = {xs[0] for xs in drawn if len(xs) == 2 and xs[0] == xs[1]}
    assert len(places) == 5 * len(summary.settings)  # no two intervals over each other


def test_each_arm_along_the_knob_can_be_hidden_in_figure_and_table(made: Made) -> None:
    results = made("knob", "two")
    summary = summary_of(results, seesaw)
    arms = {arm for arm in results.test.arms if not arm.startswith(summary.reference)}
    svg = to_svg(seesaw.draw(summary))
    assert set(re.findall('data-part="([^"]+)"', svg)) == arms
    tips = len(arms) * len(seesaw.tasks_drawn(summary, AUC))
    assert svg.count("<title>") == tips
    assert {row[0].arm for row in seesaw_table(summary).rows} == arms


def test_each_metric_has_panels_and_a_range_of_its_own_along_the_knob(made: Made) -> None:
    summary = summary_of(made("knob", "mixed"), seesaw)
    titles = [axis.get_title(loc="left") for axis in seesaw.draw(summary).axes]
    assert titles == ["mmoe, AUC", "fs, AUC", "mmoe, log loss", "fs, log loss"]
    for narrow in (False, True):
        axes = seesaw.draw(summary, narrow).axes
        assert [style.is_leftmost(axis) for axis in axes] == [True, False] * 2  # a metric a row
    gain, loss = (seesaw.y_range(summary, metric) for metric in (AUC, LOSS))
    assert gain != loss


@pytest.mark.parametrize("narrow", [False, True])
def test_long_names_of_arms_and_tasks_stay_within_their_panels(narrow: bool) -> None:
    long = [f"{name}{'_of_forty_letters' * 3}"[:40] for name in ("a video", "base", "click")]
    estimate = mean_interval([0.001, 0.003, 0.002])
    rows = tuple(DifferenceRow(name, name, (0.001, 0.003), estimate) for name in long)
    scales = tuple(Scale(target, 0.001) for target in targets(tuple(map(Task, long)))[:3])
    compared = DifferencesSummary(long[1], "base", True, scales, (rows,) * 3, "seeds")
    course = GradientCourse("base", (1, 2), (0.1, 0.2), (0.0, 0.1), (0.2, 0.3))
    pairs = tuple(GradientsPanel(pair, (course,)) for pair in combinations(long, 2))
    pulling = GradientsSummary(("base",), {"base": 0}, pairs, 3)
    for figure in (differences.draw(compared, narrow), gradients.draw(pulling, narrow)):
        with style.styled():
            style.keep_within_panels(figure)
            figure.draw_without_rendering()
        boxes = [
            [text.get_window_extent() for text in (axis.xaxis.label, *titles) if text.get_text()]
            for axis in figure.axes
            for titles in [[child for child in axis.get_children() if isinstance(child, Text)]]
        ]
        wide = figure.bbox.width
        assert all(box.x0 >= 0 and box.x1 <= wide for of_axis in boxes for box in of_axis)
        for some, others in combinations(boxes, 2):
            assert not any(box.overlaps(other) for box in some for other in others)


# Many arms


def test_of_many_arms_those_that_the_answer_and_the_claims_name_stand_out(made: Made) -> None:
    results = made("many", "two")
    stand_out = named_arms(results)
    claimed = {getattr(rule, "arm", "4") for claim in results.study.claims for rule in claim.rules}
    assert stand_out[0] == results.study.reference == "4"
    assert leaderboard_of(results).standings[0].arm in stand_out
    assert claimed <= set(stand_out)
    assert len(stand_out) <= MOST < len(arms_drawn(results))
    looks = looks_of(results)
    assert [looks[arm] for arm in stand_out] == list(range(len(stand_out)))
    few = made("models", "two")
    assert named_arms(few) == few.test.trained
    figure = curves.draw(summary_of(results, curves))
    for axis in figure.axes:
        named = {text.get_text() for text in axis.texts}
        assert named == set(stand_out)
        grey = [line for line in axis.lines if line.get_color() == style.FAINT]
        assert len(grey) == len(arms_drawn(results)) - len(stand_out)


def test_regions_of_many_arms_are_seen_on_demand_and_are_in_no_file(video: StudyResults) -> None:
    summary = summary_of(video, gains)
    more = tuple(gain._replace(arm=f"{gain.arm} {i}") for gain in summary.gains for i in range(4))
    looks = {gain.arm: i for i, gain in enumerate(more)}
    many_arms = summary._replace(gains=more, looks=looks, named=(more[0].arm,), paper={})
    few = summary._replace(gains=summary.gains[:5], paper={})
    for each, count in ((few, 0), (many_arms, len(more))):
        svg = to_svg(gains.draw(each))
        assert svg.count('data-more=""') == svg.count('display="none"') == count
    # A PDF is made of the SVG, in which what is not shown takes no ink.
    assert figure_pdf(svg) == figure_pdf(re.sub(r'<g [^>]*display="none".*?</g>', "", svg))
    assert "when it is asked to" in gains.caption(many_arms)
    names_there = {text.get_text() for text in gains.draw(many_arms).axes[0].texts}
    assert {gain.arm for gain in more} & names_there == {more[0].arm}


# Quality against cost


def standing(arm: str, gain: float, latency: float) -> ArmStanding:
    """Of a board whose reference is `base`; the leader is `best`, 0.004 above it."""
    value = mean_interval([gain - 0.0005, gain, gain + 0.0005])
    behind = mean_interval([gain - 0.0045, gain - 0.004, gain - 0.0035])
    unknown: Any = dict.fromkeys(
        ("behind_in_all", "chance_best", "chance_worse", "chance_far", "seconds")
    )
    return ArmStanding(
        arm=arm,
        means={MEAN: mean_interval([0.7 + gain, 0.7001 + gain])},
        over_reference={} if arm == "base" else {MEAN: value},
        behind_leader={} if arm == "best" else {MEAN: behind},
        parameters=100.0,
        latency=latency,
        is_baseline=False,
        is_leader=arm == "best",
        best_on=(),
        not_worse=arm in ("best", "cheap"),
        is_cheapest=arm == "cheap",
        **unknown,
    )


def board(*standings: ArmStanding) -> Leaderboard:
    return Leaderboard(standings, "base", "the mean", 3)


BOARD = board(
    standing("best", 0.004, 60.0),
    standing("cheap", 0.0035, 2.0),
    standing("dear", 0.003, 70.0),
    standing("base", 0.0, 1.0),
)
MEAN_ALONE = targets(tasks(2))[-1:]


def quality_cost_of(of: Leaderboard) -> quality_cost.QualityCostSummary | None:
    return quality_cost.summary_of(of, MEAN_ALONE, {MEAN: 0.001})


def test_the_front_of_gain_and_cost_has_what_nothing_cheaper_is_as_good_as() -> None:
    summary = quality_cost_of(BOARD)
    assert summary is not None
    assert [p.arm for p in summary.points if p.on_front[0]] == ["best", "cheap", "base"]
    assert [point.cost for point in summary.points] == [60, 2, 70, 1]
    assert quality_cost.is_logarithmic(summary)
    assert "best leads and costs 30 times as much as cheap" in quality_cost.finding(summary)
    assert "best gains +0.00050" in quality_cost.finding(summary)
    for narrow in (False, True):
        (axis,) = quality_cost.draw(summary, narrow).axes
        assert {text.get_text() for text in axis.texts} == {s.arm for s in BOARD.standings}
        labels = [label.get_text() for label in axis.get_xticklabels()]
        assert labels == ["1", "2", "5", "10", "20", "50", "100"]
        assert axis.get_xticks().tolist() == pytest.approx(np.log10([float(x) for x in labels]))
    svg = to_svg(quality_cost.draw(summary))
    assert "dear: 70 ms per 1,000 rows, +0.00300" in svg


def test_an_arm_far_behind_squeezes_no_other_and_is_counted() -> None:
    far = board(*BOARD.standings, standing("constant", -0.2, 0.01))
    summary = quality_cost_of(far)
    assert summary is not None
    low, high = quality_cost.frame(summary, 0)[1]
    assert -0.01 < low < high < 0.01
    assert quality_cost.outside(summary) == 1
    assert "1 arm far behind left out." in quality_cost.caption(summary)
    assert "constant" not in {text.get_text() for text in quality_cost.draw(summary).axes[0].texts}


def test_a_cost_that_is_known_of_all_and_varies_is_shown() -> None:
    alike = [replace(s, latency=2.0, parameters=i + 1.0) for i, s in enumerate(BOARD.standings)]
    some = [replace(s, latency=s.latency if s.arm != "dear" else None) for s in BOARD.standings]
    for standings, field in ((alike, "parameters"), (some, "latency")):
        summary = quality_cost_of(board(*standings))
        assert summary is not None
        assert summary.cost.field == field
        assert ("1 arm without a known cost" in quality_cost.caption(summary)) == (
            field == "latency"
        )
    assert quality_cost_of(board(*(replace(s, latency=2.0) for s in BOARD.standings))) is None
    assert quality_cost_of(board(BOARD.standings[0])) is None


def test_an_arm_far_behind_does_not_squeeze_the_others_and_its_figure_is_told(
    video: StudyResults,
) -> None:
    away, seen = -0.2, dict[str, tuple[float, float]]()
    apart: Any = summary_of(video, differences)
    last = apart.rows[0][-1]
    far_row = last._replace(
        estimate=last.estimate._replace(mean=away, low=away - 0.01, high=away + 0.01),
        values=tuple(away for _ in last.values),
    )
    squeezed = apart._replace(rows=((*apart.rows[0][:-1], far_row), *apart.rows[1:]))
    for name, summary in (("without", apart), ("with", squeezed)):
        axis = differences.draw(summary).axes[0]
        seen[name] = axis.get_xlim()
        told = [text.get_text() for text in axis.texts]
        assert told == ([f"← {words.signed(away, 5)}"] if name == "with" else [])
    assert away < 2 * seen["without"][0] < seen["with"][0] < 0

    gain: Any = summary_of(video, gains)
    gone = gain.gains[0]._replace(means=(away, *gain.gains[0].means[1:]))
    behind = gain._replace(gains=(gone, *gain.gains[1:]), paper={})
    assert [gains.far_behind(behind, each) for each in behind.gains].count(True) == 1
    assert "1 arm far behind left out" in gains.caption(behind)
    assert gains.draw(behind).axes[0].get_xlim()[0] > away

    by_arm: Any = summary_of(video, arms)
    panel = by_arm.panels[0]
    moved = panel.estimates[0]._replace(mean=0.5, low=0.49, high=0.51)
    values_AR = panel.values_AR.copy()
    values_AR[0] = 0.5
    panel = panel._replace(estimates=(moved, *panel.estimates[1:]), values_AR=values_AR)
    axis = arms.draw(by_arm._replace(panels=(panel, *by_arm.panels[1:]))).axes[0]
    assert axis.get_ylim()[0] > 0.51
    assert [text.get_text() for text in axis.texts] == ["0.5000\n↓"]

    course: Any = summary_of(video, curves)
    of_task = course.curves[0]
    flat = of_task[0]._replace(
        means=tuple(0.5 for _ in of_task[0].means),
        chosen=tuple((epoch, 0.5) for epoch, _ in of_task[0].chosen),
    )
    low, _ = curves.y_range((flat, *of_task[1:]), course.scales[0].metric)
    assert low == curves.y_range(of_task[1:], course.scales[0].metric)[0] > 0.5
