"""A study is judged at stated looks alone, and its seeds go where something is open."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fsmd.stats.estimates import ALPHA
from fsmd.stats.looks import level
from reports import standing
from reports.build import look_at, outline_of
from reports.page.model import Outline, Table
from reports.results import StudyResults, load_results, stored_record
from reports.study.analysis import StudyAnalysis, analyse_study
from reports.study.looks import looks_of
from reports.study.looks import tested as as_tested
from reports.study.looks_told import in_words, stands_at
from studies.definition import Arm, Claim, NotWorse
from studies.planner.looks import LookByLook, cells_at, next_look, seeds_of
from studies.planner.planner import Tally
from studies.run import main
from studies.store.database import open_engine
from studies.store.looks import SaidOfClaim, StoredLook, insert_look, read_looks
from studies.store.records import StudyRecord
from tests import curves, made_up
from tests.lab import small_data, without_training
from tests.made_up.databases import PLANNED_AT

ARMS = ("constant", "increasing", "decreasing", "diamond")
EFFECTS = {"diamond": 0.01, "constant": 0.01}
"""Two arms are clearly worse than diamond, the reference; constant is as good."""
LOOKS = (3, 6)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    made = made_up.fresh_engine(tmp_path)
    yield made
    made.dispose()


def store(engine: sa.Engine, replicates: int, **more: Any) -> StudyResults:
    record = made_up.store_study(
        engine, "tower_shape", replicates=replicates, **{"looks": LOOKS, "effects": EFFECTS} | more
    )
    return load_results(engine, record, record.plan.arms)


def uneven(engine: sa.Engine, **more: Any) -> StudyResults:
    """As `--replicates auto` leaves it: what was decided at the first look has no more seeds."""
    missing = [(arm, r) for arm in ("increasing", "decreasing") for r in (3, 4, 5)]
    return store(engine, 6, missing=missing, **more)


def of(*seeds: int) -> dict[str, int]:
    return dict(zip(ARMS, seeds, strict=True))


def analysed(results: StudyResults) -> StudyAnalysis:
    return analyse_study(results)


def outline(engine: sa.Engine, results: StudyResults) -> Outline:
    return outline_of(engine, results.record)


def table_of(made: Outline) -> Table:
    (found,) = (table for table in made.report.tables if table.key == "looks")
    return found


# What a look says


def test_a_look_decides_what_is_clear_and_asks_for_seeds_of_what_is_open(
    engine: sa.Engine,
) -> None:
    results = store(engine, 3)
    (look,) = looks_of(results)
    assert (look.seeds, look.alpha) == (3, level(3, 0, LOOKS))
    said = {(s.other, s.target): s.word for s in look.comparisons}
    assert {word for (other, _), word in said.items() if other.endswith("creasing")} == {"better"}
    assert said["constant", "click"] == "undecided"
    assert look.asked == ("constant", "diamond")
    assert next_look(results.record, [look]) == 6
    assert seeds_of(results.record, [look], 6) == of(6, 3, 3, 6)


def test_what_a_look_decided_stays_decided_and_the_rest_is_judged_with_its_new_seeds(
    engine: sa.Engine,
) -> None:
    results = uneven(engine)
    first, second = looks_of(results)
    assert (second.seeds, second.alpha) == (6, level(6, 3, LOOKS))
    at = {(s.other, s.target): (s.differs.seeds, s.differs.alpha) for s in second.comparisons}
    assert at["increasing", "click"] == (3, first.alpha)
    assert at["constant", "click"] == (6, second.alpha)
    found = {(s.other, s.target): s.word for s in second.comparisons}
    assert found["increasing", "click"] == "better"
    assert found == {(c.other, c.target.key): c.word for c in analysed(results).comparisons}


def test_an_arm_without_the_seeds_of_a_look_cannot_be_decided_there(engine: sa.Engine) -> None:
    """Else what was left open at a small level would be tested again, with the same seeds."""
    missing = [("constant", r) for r in (3, 4, 5)]
    results = store(engine, 6, missing=missing)
    first = looks_of(results)[0]
    judged = look_at(engine, results.record, 6)
    before = {s.other: s for s in first.comparisons if s.target == "click"}
    after = {s.other: s for s in judged.comparisons if s.target == "click"}
    assert after["constant"].differs.seeds in (3, 6)
    assert after["constant"].word == before["constant"].word == "undecided"


def test_seeds_that_an_arm_has_between_looks_judge_nothing(engine: sa.Engine) -> None:
    claims = []
    for name, missing in (("at three", (3, 4, 5)), ("at five", (5,))):
        gaps = [("constant", r) for r in missing]
        results = store(engine, 6, missing=gaps, name=name)
        look = look_at(engine, results.record, 6)
        said = {
            s.other: (s.differs, s.replicates) for s in look.comparisons if s.target == "click"
        }
        claims.append((said, [_said_of(claim) for claim in look.claims]))
    assert claims[0] == claims[1]


def _said_of(claim: SaidOfClaim) -> tuple[str, float, float]:
    return claim.verdict, claim.p_holds, claim.p_fails


def test_between_looks_nothing_is_judged_however_much_is_trained(engine: sa.Engine) -> None:
    for name, replicates in (("three", 3), ("five", 5)):
        results = store(engine, replicates, name=name)
        assert [look.seeds for look in looks_of(results)] == [3]
    three, five = (
        analysed(load_results(engine, record, record.plan.arms))
        for record in (stored_record(engine, name) for name in ("three", "five"))
    )
    assert [c.word for c in three.comparisons] == [c.word for c in five.comparisons]
    assert [j.verdict for j in three.judged] == [j.verdict for j in five.judged]
    assert {c.difference.n for c in five.comparisons} == {5}
    assert "is judged at the next look" in stands_at(five)


def test_before_the_first_look_nothing_is_decided(engine: sa.Engine) -> None:
    results = store(engine, 3, looks=(5, 10))
    assert looks_of(results) == ()
    made = outline(engine, results)
    assert {c["verdict"] for c in made.summary["comparisons"]} == {"undecided"}
    assert not {"holds", "fails"} & {c["verdict"] for c in made.summary["claims"]}
    assert any("Nothing is judged yet" in notice for notice in made.report.notices)
    assert made.summary["looks"] == []


def test_a_look_that_is_stored_is_read_as_it_said(engine: sa.Engine) -> None:
    results = store(engine, 3)
    (look,) = looks_of(results)
    insert_look(engine, results.record.name, look)
    curves.change(engine, lambda m: 0.7 if m.split == "test" else m.value)
    again = load_results(engine, results.record, results.planned)
    assert looks_of(again) == read_looks(engine, results.record.name) == (look,)
    kept = {(s.other, s.target): s.word for s in look.comparisons}
    assert {(c.other, c.target.key): c.word for c in analysed(again).comparisons} == kept


def test_a_claim_whose_rules_changed_has_no_verdict_until_the_next_look(
    engine: sa.Engine,
) -> None:
    results = store(engine, 4, looks=(4, 8), effects={"diamond": 0.02})
    (look,) = looks_of(results)
    insert_look(engine, results.record.name, look)
    (duration, click), study = results.study.claims, results.record.study
    assert {said.id: said.verdict for said in look.claims}[duration.id] == "holds"

    def verdict_of(claim: Claim, arms: tuple[Arm, ...] = study.arms) -> str:
        changed = replace(study, claims=(claim, click), arms=arms)
        record = replace(results.record, definition=changed)
        made = analysed(load_results(engine, record, results.planned))
        return made.judged[0].verdict

    assert verdict_of(replace(duration, text="In other words.")) == "holds"
    other = replace(duration, rules=(NotWorse("mean", "increasing"),))
    assert verdict_of(other) == "leans against"  # however clear: no look has judged it
    more = (*study.arms, replace(study.arms[0], name="one more"))
    assert verdict_of(duration, more) == "leans towards"  # of all arms, which are others now


def test_the_same_looks_come_out_whenever_they_are_made(engine: sa.Engine) -> None:
    results = uneven(engine)
    made = looks_of(results)
    for look in made:
        insert_look(engine, results.record.name, look)
        now = load_results(engine, results.record, results.planned)
        assert [_said(each) for each in looks_of(now)] == [_said(each) for each in made]


def _said(look: StoredLook) -> dict[str, Any]:
    return {name: value for name, value in vars(look).items() if name != "made_at"}


def told_of_any_two(made: Outline) -> set[str]:
    assert made.report.pairs is not None
    return {cell.word for row in made.report.pairs.cells for cell in row or ()}


def test_nothing_on_the_page_is_told_as_shown_but_what_a_look_shows(engine: sa.Engine) -> None:
    clear = {"diamond": 0.02}
    early = outline(engine, store(engine, 3, name="early", looks=(4, 8), effects=clear))
    assert told_of_any_two(early) == {"undecided"}
    assert not any(s["best_on"] for s in early.summary["answer"]["standings"])
    assert "shown to be the best" not in " ".join(early.report.answer.sentences)
    at_look = outline(engine, store(engine, 4, name="at look", looks=(4, 8), effects=clear))
    assert told_of_any_two(at_look) > {"undecided"}
    best = {s["level"]: s["best_on"] for s in at_look.summary["answer"]["standings"]}
    assert best.pop("diamond")
    assert not any(best.values())


def test_an_arm_that_a_look_showed_to_be_the_best_stays_so(engine: sa.Engine) -> None:
    """Though the next look, with less to spend, shows it no more."""
    results = store(engine, 4, looks=(4, 8), effects={"diamond": 0.02})
    shown = standing.Tested(results.test)
    for before, best in ((tuple, False), (lambda: (shown,), True)):
        now = standing.Tested(results.test, 1e-12, before=before)
        results.computed.clear()
        board = standing.leaderboard(
            results, {"click": 0.001, "long_view": 0.001}, "diamond", tested=now
        )
        leads = board.of("diamond")
        assert leads is not None
        assert bool(leads.best_on) == best


def best_on(results: StudyResults, at: standing.Tested, worse: str) -> dict[str, str]:
    """Target -> the arm that is shown to be the best on it, where `worse` was stopped as worse."""
    results.computed.clear()
    margins = {"click": 0.001, "long_view": 0.001}
    board = standing.leaderboard(results, margins, "diamond", {worse: True}, at)
    assert worse in board.left_out
    pairs = [(key, s.arm) for s in board.standings for key in s.best_on]
    assert len(dict(pairs)) == len(pairs), "one arm at most on a target"
    return dict(pairs)


def test_an_arm_that_was_left_behind_is_still_the_best_where_it_did_not_lose(
    engine: sa.Engine,
) -> None:
    effects = {
        "increasing": {"click": 0.06, "long_view": -0.03},
        "constant": {"click": 0.03, "long_view": 0.03},
    }
    results = store(engine, 4, looks=(2, 4), effects=effects)
    lost = {("increasing", "long_view"), ("increasing", "mean")}
    every = {"click": "constant", "long_view": "constant", "mean": "constant"}
    first = standing.Tested(results.test, lost=frozenset(lost))
    others = {"long_view": "constant", "mean": "constant"}
    assert best_on(results, first, "increasing") == others
    lost.add(("increasing", "click"))
    beaten = first._replace(lost=frozenset(lost))
    assert best_on(results, beaten, "increasing") == every
    # An earlier look, when it was not lost on click yet, showed no other arm there.
    at_last = standing.Tested(results.test, 1e-12, lost=frozenset(lost), before=lambda: (first,))
    assert best_on(results, at_last, "increasing") == others


def test_where_an_arm_had_lost_is_told_as_of_each_look(engine: sa.Engine) -> None:
    """The reference is the first of each comparison, so that its gains are the others' losses."""
    results = uneven(engine)
    now = as_tested(results)
    for at, look in zip((*now.before(), now), looks_of(results), strict=True):
        lost = {(s.other, s.target) for s in look.comparisons if s.word == "better"}
        lost |= {(s.arm, s.target) for s in look.comparisons if s.word == "worse"}
        assert at.lost == lost
        assert len(lost) > 1


def test_two_looks_show_one_arm_at_most_to_be_the_best_on_a_target(engine: sa.Engine) -> None:
    results = store(engine, 4, looks=(2, 4), effects={"constant": 0.03, "increasing": -0.2})
    test = results.test
    values_ART = test.values_ART.copy()
    first, second = test.place["constant"], test.place["decreasing"]
    values_ART[[first, second]] = values_ART[[second, first]]
    turned = standing.Tested(replace(test, values_ART=values_ART))
    now = standing.Tested(test, before=lambda: (turned,))
    assert set(best_on(results, now, "increasing").values()) == {"decreasing"}


# What reports say


def test_the_report_says_which_look_this_is_and_what_the_next_costs(engine: sa.Engine) -> None:
    made = outline(engine, store(engine, 3))
    text = " ".join([*made.report.notices, *(" ".join(s.sentences) for s in made.report.sections)])
    assert "Verdicts are of look 1 of 2 (at 3 and 6 seeds), at 3 seeds" in text
    assert "has a chance of at most 0.035 at this look, and of 0.05 over all looks" in text
    assert "The next look, at 6 seeds, takes 6 more trainings of the 2 arms that go on" in text
    assert "about 4.2 min of one worker" in text
    rows = [[cell.text for cell in row] for row in table_of(made).rows]
    assert [row[:2] for row in rows] == [["3 seeds", "0.0354"], ["6 seeds", "0.0146"]]
    assert made.summary["looks"][0]["open"] == ["constant", "diamond"]


def test_arms_that_were_worse_are_ranked_no_longer_and_the_answer_says_how_many(
    engine: sa.Engine,
) -> None:
    results = uneven(engine)
    for look in looks_of(results):
        insert_look(engine, results.record.name, look)
    made = outline(engine, results)
    assert "of 2 arms (2 more were worse at an earlier look)" in made.report.answer.use
    commands = " ".join(fact.value for fact in made.report.commands)
    assert "--replicates auto" in commands
    assert "--looks 3,6" in commands


def test_how_looks_are_read_says_what_is_left_for_them(engine: sa.Engine) -> None:
    assert "at 6 seeds, which has all of the 0.05" in in_words((6,), ())
    took = in_words((6,), [fake(3, ARMS, ())])
    assert "which has what 3 seeds, which were not stated, left of the 0.05" in took
    results = store(engine, 5, looks=(2, 4))
    told = stands_at(analysed(results))
    assert "is in the estimates, and no look is left to judge it." in told


def test_what_to_run_next_is_a_stated_look_of_all_that_is_planned_and_none_behind_the_last(
    engine: sa.Engine,
) -> None:
    far = [("increasing", r) for r in range(1, 4)]  # planned, and not ranked
    close = {"diamond": 0.0, "increasing": -0.02}
    results = store(engine, 4, looks=(4, 9), effects=close, missing=far)
    told = analysed(results).answer.next
    assert told.startswith("To be surer, run 9 replicates: 23 more trainings")
    results = store(engine, 4, name="last", looks=(2, 4), effects=close)
    made = outline(engine, results)
    assert made.report.answer.next.startswith(
        "No look is left at which more replicates could tell"
    )
    assert not made.report.answer.command
    assert "4 replicates are few; no look is left." in made.report.notices


# Where seeds go


def fake(seeds: int, arms: tuple[str, ...], asked: tuple[str, ...]) -> StoredLook:
    return StoredLook(seeds, 0.01, PLANNED_AT, (), (), (), arms, asked, ())


def test_seeds_go_to_what_is_open_the_reference_and_what_is_new(engine: sa.Engine) -> None:
    record = store(engine, 0).record
    first = fake(3, ARMS[1:], ("increasing",))
    assert seeds_of(record, [], 3) == dict.fromkeys(ARMS, 3)
    assert seeds_of(record, [first], 6) == of(6, 6, 3, 6)
    assert seeds_of(record, [first]) == of(0, 3, 3, 3)
    done = fake(3, ARMS, ())
    assert next_look(record, [done]) == "decided"
    assert next_look(record, [fake(6, ARMS, ARMS)]) == "last"
    assert next_look(record, []) == 3
    cells = cells_at(record, {record.plan.data.name: small_data().ref}, [first], 6)
    assert len({(cell.arm, cell.replicate) for cell in cells}) == len(cells) == 21


def test_arms_that_all_failed_wait_for_no_seeds_and_are_not_called_limited(
    engine: sa.Engine,
) -> None:
    failures = {("constant", r): made_up.FAILURE for r in range(3)}
    results = store(engine, 3, failures=failures)
    (look,) = looks_of(results)
    assert "constant" not in {*look.asked, *look.limited}
    assert look.lacks_figures
    assert next_look(results.record, [replace(look, asked=(), limited=())]) == "failed"


def test_arms_that_were_taken_out_of_the_study_get_no_seeds_and_are_not_counted(
    engine: sa.Engine,
) -> None:
    results = store(engine, 3)
    kept = tuple(arm for arm in results.planned if arm.name != "constant")
    (look,) = looks_of(replace(results, planned=kept))
    assert {s.other for s in look.comparisons} == {"constant", "increasing", "decreasing"}
    assert {s.other for s in look.planned} == {"increasing", "decreasing"}
    assert look.decided == len(look.planned)
    assert look.asked == look.limited == ()


def test_no_look_is_made_of_which_trainings_are_lost_or_cut_off(engine: sa.Engine) -> None:
    record, refs = store(engine, 0).record, {"planted": small_data().ref}
    looks: list[int] = []

    def judge(seeds: int) -> StoredLook:
        looks.append(seeds)
        return fake(seeds, ARMS, ARMS)

    for bad in (Tally(0, 3, 0, 1), Tally(0, 3, 0, 0, cut=1)):
        going = LookByLook(record, refs, lambda _, bad=bad: bad, judge)  # type: ignore[misc]
        assert going.run([]).why == "cut"
        assert going.at(6, []).why == "cut"
    assert looks == []
    going = LookByLook(record, refs, lambda cells: Tally(0, len(cells), 0, 0), judge)
    assert going.run([]).why == "last"
    assert looks == [3, 6]


# The command line

DATA = "planted:rows=500"
RUN = ("tower_shape", "--data", DATA, "--workers", "1")


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    without_training(monkeypatch, DATA, tmp_path)
    return tmp_path


def stored_looks(folder: Path) -> tuple[StudyRecord, tuple[StoredLook, ...]]:
    engine = open_engine(f"sqlite:///{folder}/studies.db")
    name = "tower_shape-planted-rows-500"
    try:
        return stored_record(engine, name), read_looks(engine, name)
    finally:
        engine.dispose()


def test_every_run_makes_the_looks_that_are_due_and_others_are_counted(no_torch: Path) -> None:
    assert main([*RUN, "--replicates", "2"]) == 0
    assert main([*RUN]) == 0  # of the first look
    assert main([*RUN, "--replicates", "3"]) == 0
    record, looks = stored_looks(no_torch)
    assert record.looks == (5, 10, 20, 40)
    assert [look.seeds for look in looks] == [2, 5]
    assert [look.alpha for look in looks] == [level(2, 0, record.looks), level(5, 2, record.looks)]


def test_behind_the_last_look_no_error_is_left(no_torch: Path) -> None:
    assert main([*RUN, "--looks", "2,3", "--replicates", "4"]) == 0
    _, looks = stored_looks(no_torch)
    assert [look.seeds for look in looks] == [2, 3, 4]
    assert sum(look.alpha for look in looks[:2]) == pytest.approx(ALPHA)
    assert looks[2].alpha == 0
    assert [s.word for s in looks[2].comparisons] == [s.word for s in looks[1].comparisons]
    engine = open_engine(f"sqlite:///{no_torch}/studies.db")
    record = stored_looks(no_torch)[0]
    told = stands_at(analysed(load_results(engine, record, record.plan.arms)))
    engine.dispose()
    assert "behind the last one no error is left" in told


def test_no_look_is_chosen_among_seeds_that_were_seen(no_torch: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:  # trained, and stopped before any look
        patch.setattr("studies.planner.looks.due", lambda *_: ())
        assert main([*RUN, "--looks", "2,6", "--replicates", "4"]) == 0
    assert stored_looks(no_torch)[1] == ()
    assert main([*RUN, "--replicates", "3"]) == 0
    assert [look.seeds for look in stored_looks(no_torch)[1]] == [2]
    assert main([*RUN, "--replicates", "4"]) == 0
    assert [look.seeds for look in stored_looks(no_torch)[1]] == [2, 4]


def test_looks_that_were_stated_are_not_changed_by_what_was_seen(
    no_torch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--looks", "2,3"]) == 0
    assert main([*RUN, "--looks", "2,3,4"]) == 2
    told = capsys.readouterr().err
    assert "looks: (2, 3) there, (2, 3, 4) now" in told
    assert "leave --looks out (they are fixed once a study has begun) to go on with it" in told
    assert main([*RUN, "--replicates", "3"]) == 0
    assert stored_looks(no_torch)[0].looks == (2, 3)


def test_auto_trains_look_by_look_to_the_last_and_says_why_it_ends(
    no_torch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--looks", "2,3", "--replicates", "auto", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "4 arms, looks at 2, 3 seeds: 8 to 12 trainings." in told
    assert "left to train: 8 to 12" in told
    assert "Time to the look at 2 seeds: at most" in told
    assert main([*RUN, "--looks", "2,3", "--replicates", "auto"]) == 0
    said = capsys.readouterr()
    assert "look 1 of 2, at 2 seeds: " in said.err
    assert "Trained 12, found 0 already there; that was the last look" in said.out
    assert main([*RUN, "--replicates", "auto"]) == 0
    assert "Trained 0, found 12 already there; that was the last look" in capsys.readouterr().out
    assert main([*RUN, "--replicates", "auto", "--dry-run"]) == 0
    assert "Nothing is left to train: that was the last look." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--looks", "5,3"), "looks must be numbers of seeds from 2 to 1,000, each above"),
        (("--looks", "5,x"), "numbers of seeds with commas between them"),
        (("--replicates", "many"), "a number of seeds, or auto; got 'many'"),
        (("--budget", "1h"), "goes with --replicates auto"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_a_line(
    no_torch: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    try:
        code: object = main([*RUN, *options])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert told in capsys.readouterr().err
    assert list(no_torch.glob("*.db")) == []


def test_the_budget_ends_what_the_next_run_goes_on_with(
    no_torch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        hours = count()  # one more each time that the clock is read
        patch.setattr("studies.planner.planner.time.monotonic", lambda: 3600.0 * next(hours))
        assert main([*RUN, "--looks", "2,3", "--replicates", "auto", "--budget", "1h"]) == 0
    assert "nothing new was judged" in capsys.readouterr().out
    assert stored_looks(no_torch)[1] == ()
    assert main([*RUN, "--replicates", "auto"]) == 0
    assert [look.seeds for look in stored_looks(no_torch)[1]] == [2, 3]
