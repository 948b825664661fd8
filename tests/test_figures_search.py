"""The figures of a search's report: numbers exactly, ink by what it holds."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import sqlalchemy as sa
from matplotlib.axis import Axis

from reports.page.figure_kind import kinds_in
from reports.page.svg import to_svg
from reports.search import figures
from reports.search.analysis import SearchAnalysis, analyse
from reports.search.figures import axis_importance, front, hypervolume, parallel, ranking
from studies.store.studies import find_study
from tests.made_up import (
    MIXED,
    drawn_points,
    fresh_engine,
    grid_points,
    paper_points,
    store_search,
    tasks,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    engine = fresh_engine(tmp_path_factory.mktemp("db"))
    names = list(paper_points(8))
    store_search(
        engine, paper_points(8), stopped=names[6:7], failed=names[7:], confirmed=names[:4], seeds=4
    )
    store_search(engine, paper_points(8), name="plain")
    store_search(engine, paper_points(3), name="broken", failed=names[:3])
    store_search(engine, grid_points(), name="grid")
    store_search(engine, drawn_points("architecture", 18), name="wide", space="architecture")
    one = paper_points(6, tasks=tasks(1))
    store_search(engine, one, name="one task", tasks=tasks(1), confirmed=list(one)[:3])
    for name, of, objectives in (
        ("loss", MIXED, ("tasks",)),
        ("three", tasks(3), ("tasks",)),
        ("four", tasks(3), ("tasks", "params")),
        ("params", tasks(2), ("mean", "params")),
    ):
        store_search(
            engine,
            paper_points(6, tasks=of),
            name=name,
            tasks=of,
            objectives=objectives,
            confirmed=names[:3],
            seeds=4,
        )
    yield engine
    engine.dispose()


@cache
def analysis(engine: sa.Engine, name: str = "search") -> SearchAnalysis:
    record = find_study(engine, name)
    assert record is not None
    return analyse(engine, record)


def the_front(engine: sa.Engine, name: str = "search") -> front.FrontSummary:
    summary = front.summarize(analysis(engine, name))
    assert summary is not None
    return summary


# ------------------------------------------------------------------------------------------
# The front
# ------------------------------------------------------------------------------------------


def test_the_front_figure_holds_its_points_and_leaves_out_who_is_far(engine: sa.Engine) -> None:
    summary = the_front(engine)
    (plane,) = summary.planes
    far = plane._replace(searched=(*plane.searched, ("far", (0.5, 0.5))))
    assert front.outside(plane) == 0
    assert front.outside(far) == 1
    (left, right), (bottom, top) = front.frame(far)
    for fresh in far.fresh:
        assert left < fresh.at[0] < right
        assert bottom < fresh.at[1] < top
    assert "1 point far behind left out" in front.caption(summary._replace(planes=(far,)))
    for narrow in (False, True):
        assert front.draw(summary._replace(planes=(far,)), narrow).axes


FOUR = list(combinations(("click", "long_view", "like", "params"), 2))


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("search", [("click", "long_view")]),
        ("params", [("mean", "params")]),
        ("three", [("click", "long_view"), ("click", "like"), ("long_view", "like")]),
        ("four", FOUR),
    ],
)
def test_every_pair_of_few_objectives_has_a_plane(
    engine: sa.Engine, name: str, pairs: list[tuple[str, str]]
) -> None:
    found = analysis(engine, name)
    summary = the_front(engine, name)
    keys = [(plane.objectives[0].key, plane.objectives[1].key) for plane in summary.planes]
    assert keys == pairs
    assert summary.front == found.front
    place = {objective.key: m for m, objective in enumerate(found.search.objectives)}
    for plane, (x, y) in zip(summary.planes, pairs, strict=True):
        for attempt, at in plane.searched:
            gains = found.search.attempt(attempt).gains
            assert at == (gains[place[x]], gains[place[y]])
        assert {fresh.name for fresh in plane.fresh} == {p.name for p in found.confirmed}
    drawn = front.draw(summary)
    assert len(drawn.axes) == len(pairs)
    for point in found.confirmed:
        assert f"{point.name} {pairs[0][0]} " in front.alt(summary)


def test_the_same_results_give_the_same_bytes(engine: sa.Engine) -> None:
    record = find_study(engine, "loss")
    assert record is not None
    again = front.summarize(analyse(engine, record))
    assert again is not None
    drawings = (to_svg(front.draw(summary)) for summary in (the_front(engine, "loss"), again))
    assert next(drawings) == next(drawings)


def test_stairs_and_band_are_of_planes_of_all_objectives(engine: sa.Engine) -> None:
    """A projection of a front bounds nothing: there, marks say who is on it."""
    two, three = the_front(engine), the_front(engine, "three")
    assert two.with_stairs
    assert two.band is not None
    assert not three.with_stairs
    assert three.band is None
    assert "stairs" in front.caption(two)
    assert "stairs" not in front.caption(three)


def test_a_cost_has_no_region(engine: sa.Engine) -> None:
    (plane,) = the_front(engine, "params").planes
    assert all(fresh.region is None for fresh in plane.fresh)
    assert all(fresh.means[1].low is None for fresh in plane.fresh)
    (plane,) = the_front(engine).planes
    assert all(fresh.region for fresh in plane.fresh)


def test_a_caption_speaks_of_intervals_where_there_are_some(engine: sa.Engine) -> None:
    summary = the_front(engine)
    assert "95 % intervals" in front.caption(summary)
    (plane,) = summary.planes
    of_one_seed = []
    for fresh in plane.fresh:
        across, up = (mean._replace(low=None, high=None) for mean in fresh.means)
        of_one_seed.append(fresh._replace(means=(across, up)))
    summary = summary._replace(planes=(plane._replace(fresh=tuple(of_one_seed)),))
    assert "intervals" not in front.caption(summary)
    assert "crosses" not in front.caption(summary)


def test_where_less_is_better_up_is_better_and_ticks_are_as_measured(engine: sa.Engine) -> None:
    found, summary = analysis(engine, "loss"), the_front(engine, "loss")
    (plane,) = summary.planes
    means = {point.name: point.fresh for point in found.confirmed}
    for fresh in plane.fresh:
        assert fresh.at == (means[fresh.name][0].mean, -means[fresh.name][1].mean)
        low, high = fresh.means[1][1:3]
        assert low is not None
        assert high is not None
        assert low < fresh.at[1] < high
    figure = front.draw(summary)
    figure.draw_without_rendering()
    pairs = tick_pairs(figure.axes[0].yaxis)
    assert len(pairs) > 1
    assert all(said == pytest.approx(-at, abs=1e-9) for said, at in pairs)
    assert figure.axes[0].get_ylabel() == "validation log loss, long_view (reversed)"


def tick_pairs(axis: Axis) -> list[tuple[float, float]]:
    """(what a label says, where its tick stands)."""
    low, high = axis.get_view_interval()
    ticks = zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
    return [(float(label.get_text()), at) for label, at in ticks if low <= at <= high]


@pytest.mark.parametrize("top", [0.72, 0.7203, 0.72103, 0.7303, 0.81])
def test_a_tick_stands_where_it_says_and_has_room(engine: sa.Engine, top: float) -> None:
    summary = the_front(engine, "plain")
    (plane,) = summary.planes
    spread = np.linspace(0.72, top, len(plane.searched))
    pairs = zip(plane.searched, spread, strict=True)
    wide = plane._replace(searched=tuple((name, (at, at)) for (name, _), at in pairs))
    figure = front.draw(summary._replace(planes=(wide,)))
    figure.draw_without_rendering()
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        ticks = tick_pairs(axis)
        assert len(ticks) > 1
        assert all(said == pytest.approx(at, abs=1e-9) for said, at in ticks)
        box = axis.get_tightbbox()
        assert box is not None
        assert min(box.x0, box.y0) >= 0


# ------------------------------------------------------------------------------------------
# The others
# ------------------------------------------------------------------------------------------


def test_one_objective_is_ranked_on_a_line(engine: sa.Engine) -> None:
    found = analysis(engine, "one task")
    assert front.summarize(found) is None
    summary = ranking.summarize(found)
    assert summary is not None
    means = [point.mean.mean for point in summary.fresh]
    assert means == sorted(means, reverse=True)
    assert dict(summary.searched) == {
        attempt.name: attempt.stands[0] for attempt in found.search.attempts
    }
    assert len(ranking.draw(summary, narrow=True).axes) == 1
    assert ranking.summarize(analysis(engine)) is None


def test_the_hypervolume_ends_at_its_whole(engine: sa.Engine) -> None:
    for name in ("search", "one task", "four", "loss"):
        summary = hypervolume.summarize(analysis(engine, name))
        assert summary is not None
        assert summary.shares[-1] == 1
        assert list(summary.shares) == sorted(summary.shares)
        if name == "search":
            assert len(hypervolume.draw(summary).axes) == 2
    assert hypervolume.summarize(analysis(engine, "broken")) is None


def test_the_hypervolumes_corner_is_as_measured(engine: sa.Engine) -> None:
    summary = hypervolume.summarize(analysis(engine, "loss"))
    assert summary is not None
    click, loss = summary.reference
    worst = max(a.stands[1] for a in analysis(engine, "loss").search.attempts)
    assert click.startswith("click 0.7")
    assert float(loss.removeprefix("long_view ")) > worst


def test_a_line_crosses_each_axis_at_its_value(engine: sa.Engine) -> None:
    summary = parallel.summarize(analysis(engine, "wide"))
    assert summary is not None
    lines = {line.name: line for line in summary.lines}
    names = [scale.name for scale in summary.scales]
    mmoe = dict(zip(names, lines["mmoe"].places, strict=True))
    assert mmoe["sharing"] == pytest.approx(3 / 4)
    assert mmoe["embedding_size"] == 0
    assert mmoe["extraction_levels"] == parallel.ABSENT
    heights = [line.height for line in summary.lines if line.height is not None]
    assert (min(heights), max(heights)) == (0, 1)
    assert parallel.draw(summary).axes


@pytest.mark.parametrize("name", ["search", "plain", "wide"])
def test_the_line_of_each_named_point_can_be_hidden_by_itself(
    engine: sa.Engine, name: str
) -> None:
    """The others go together, by how they ended: a list of every training is of no use."""
    found = analysis(engine, name)
    summary = parallel.summarize(found)
    assert summary is not None
    confirmed = [point.name for point in found.confirmed]
    drawn = set(re.findall('data-part="([^"]+)"', to_svg(parallel.draw(summary))))
    groups = {"trained to the end", "not trained to the end"}
    assert {*confirmed, *found.front, *found.picked_by} == drawn - groups
    assert drawn & groups


@pytest.mark.parametrize(
    ("name", "ranked_by"),
    [("search", "mean"), ("one task", "click"), ("loss", "click"), ("params", "mean")],
)
def test_lines_are_ranked_by_one_target(engine: sa.Engine, name: str, ranked_by: str) -> None:
    """By the only one that is sought, else by the mean, else by the first one."""
    found = analysis(engine, name)
    summary = parallel.summarize(found)
    assert summary is not None
    assert summary.ranked_by.key == ranked_by
    best = max(found.search.all_in("ended"), key=lambda a: summary.ranked_by.value(a.stands))
    (first,) = [line.name for line in summary.lines if line.height == 1]
    assert first == best.name
    assert f"has {first}." in parallel.alt(summary)


def test_bars_are_the_shares(engine: sa.Engine) -> None:
    found = analysis(engine, "grid")
    summary = axis_importance.summarize(found)
    assert summary is not None
    figure = axis_importance.draw(summary)
    assert [axis.get_title() for axis in figure.axes] == list(summary.targets)
    for axis, shares in zip(figure.axes, summary.shares, strict=True):
        widths = [patch.get_width() for patch in axis.patches]  # type: ignore[attr-defined]
        assert widths == pytest.approx([share.share for share in shares])
    assert axis_importance.summarize(analysis(engine)) is None


def test_the_folder_has_each_figure_once(engine: sa.Engine) -> None:
    kinds = kinds_in(figures)
    keys = [kind.key for kind in kinds]
    assert sorted(keys) == [
        *("front", "hypervolume", "importance", "parallel", "quality_cost", "ranking")
    ]
    for name in ("search", "plain", "one task", "three", "grid"):
        for kind in kinds:
            summary = kind.summarize(analysis(engine, name))
            said = "A." if summary is None else kind.finding(summary)
            assert said.endswith(".")
            assert ". " not in said  # one sentence
    broken = analysis(engine, "broken")
    assert all(kind.summarize(broken) is None for kind in kinds)
