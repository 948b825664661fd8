"""How long the trainings of a run will take, from what is stored or from a short measurement."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import sqlalchemy as sa

from fsmd.baselines import Baseline
from fsmd.data.schema import DataRef
from fsmd.training import Training
from studies.planner.design import cells
from studies.planner.lengths import NOTHING, Stored, config_hash, read_stored
from studies.planner.looks import WHY, cells_at, next_look
from studies.request import Request
from studies.search.attempt import cell_of, space_of, tried_attempts
from studies.search.confirmation import CONFIRM_WITH_NEAR, baseline_cells
from studies.store.looks import read_looks
from studies.store.records import StudyRecord
from studies.store.runs import known_runs
from studies.store.studies import find_study
from studies.timing import EpochTime, counted, spoken

MOST_SECONDS = 5.0
"""To measure an epoch, or a part of it, where nothing stored tells how long one takes."""


def guessed(
    left: Sequence[Training],
    stored: Stored,
    workers: int,
    measure: Callable[[Training], EpochTime],
) -> str:
    """How long trainings take on some workers, and where that is known from.

    Each by its model's stored trainings, or by others of its kind (a network, or a baseline by
    its name), or by a measurement of one of its kind, which `measure` makes.
    """
    kinds = {config_hash(t): _kind(t) for t in left}
    measured: dict[str, EpochTime] = {}
    sources, seconds = dict[str, None](), list[float]()
    for training in left:
        config, kind = config_hash(training), _kind(training)
        alike = [c for c in stored.whole if kinds.get(c) == kind]
        if config in stored.whole or alike:
            source = "what the same study trained"
            each = stored.whole.get(config) or median(stored.whole[c] for c in alike)
        elif config in stored.of_epoch:
            source = "stored trainings of the same models"
            each = training.epochs * stored.of_epoch[config]
        else:
            source = "a short measurement of one model of each kind, made now"
            if kind not in measured:
                measured[kind] = measure(training)
            each = measured[kind].of(training.epochs)
        sources[source] = None
        seconds.append(each)
    clock = max(sum(seconds) / workers, *seconds)
    bound = "about" if [*sources] == ["what the same study trained"] else "at most"
    return f"{bound} {spoken(clock)} on {counted(workers)}, by {' and '.join(sources)}"


def _kind(training: Training) -> str:
    return training.config.kind if isinstance(training.config, Baseline) else ""


def rehearsed(
    engine: sa.Engine | None,
    record: StudyRecord,
    refs: Mapping[str, DataRef],
    request: Request,
    measure: Callable[[Training], EpochTime],
    slots: int,
) -> tuple[str, ...]:
    """What a run would train, what is there already, and how long the rest will take, in lines.

    engine: None where there is no database yet. refs: the data sets by their names. slots:
    trainings, or stacks of them, at once.
    """
    if not record.is_search and request.replicates == "auto":
        return _rehearsed_looks(engine, record, refs, request, measure, slots)
    told, known, likely = (
        _of_search(engine, record, next(iter(refs.values())))
        if record.is_search
        else _of_study(record, refs, request.seeds(record.looks))
    )
    left = _left(engine, known, request)
    there = len(known) - len(left)
    left += likely
    return (
        f"{record.name} on {record.plan.data.name}: {told}.",
        f"In the database: {there} of {len(known)}; left to train: {len(left)}"
        f"{', about' if likely else ''}.",
        f"Time: {_time(engine, record, refs, request, measure, slots)(known, left)}.",
        *_last_lines(record, request),
    )


def _last_lines(record: StudyRecord, request: Request) -> tuple[str, ...]:
    page = request.out / record.name / "report.html"
    return f"Report: {page}", "Nothing was trained or stored."


def _left(engine: sa.Engine | None, known: Sequence[Training], request: Request) -> list[Training]:
    """Those that a run would train."""
    statuses = known_runs(engine, [t.id for t in known]) if engine else {}
    final = ("done",) if request.retry_failed else ("done", "failed")
    return [t for t in known if statuses.get(t.id) not in final]


def _time(
    engine: sa.Engine | None,
    record: StudyRecord,
    refs: Mapping[str, DataRef],
    request: Request,
    measure: Callable[[Training], EpochTime],
    slots: int,
) -> Callable[[Sequence[Training], Sequence[Training]], str]:
    """(all that is planned, what is left of it) -> how long that will take, in words."""

    def time(known: Sequence[Training], left: Sequence[Training]) -> str:
        if not left:
            return "nothing is left to train"
        hashes = [ref.content_hash for ref in refs.values()]
        stored = read_stored(engine, hashes, known) if engine else NOTHING
        return guessed(left, stored, min(slots, len(left)), measure)

    return time


def _rehearsed_looks(
    engine: sa.Engine | None,
    record: StudyRecord,
    refs: Mapping[str, DataRef],
    request: Request,
    measure: Callable[[Training], EpochTime],
    slots: int,
) -> tuple[str, ...]:
    """Of a study that goes look by look: the least that it will train, and the most."""
    stored = engine is not None and find_study(engine, record.name) is not None
    made = read_looks(engine, record.name) if engine is not None and stored else ()
    arms, to_come = len(record.plan.arms), next_look(record, made)
    looks = ", ".join(map(str, record.looks))
    begins = f"{record.name} on {record.plan.data.name}: {arms} arms, looks at {looks} seeds"
    if isinstance(to_come, str):
        return (
            f"{begins}.",
            f"Nothing is left to train: {WHY[to_come]}.",
            *_last_lines(record, request),
        )
    measured: dict[str, EpochTime] = {}

    def once(training: Training) -> EpochTime:
        kind = _kind(training)
        if kind not in measured:
            measured[kind] = measure(training)
        return measured[kind]

    time = _time(engine, record, refs, request, once, slots)
    least, most = (
        [c.training for c in cells_at(record, refs, made, n)] for n in (to_come, record.looks[-1])
    )
    left, left_most = _left(engine, least, request), _left(engine, most, request)
    there = len(least) - len(left)
    return (
        f"{begins}: {len(least)} to {len(most)} trainings.",
        f"In the database: {there} of {len(least)}; left to train: {len(left)} to "
        f"{len(left_most)}.",
        f"Time to the look at {to_come} seeds: {time(least, left)}.",
        f"Time if all stays open to the last look: {time(most, left_most)}.",
        *_last_lines(record, request),
    )


_Ahead = tuple[str, list[Training], list[Training]]
"""(what is planned, in words; trainings that are known; others like those to come)."""


def _of_study(record: StudyRecord, refs: Mapping[str, DataRef], count: int) -> _Ahead:
    trainings = [cell.training for cell in cells(record, refs, count)]
    arms = len(record.plan.arms)
    told = f"{arms} arms, {count} replicate{'s' if count > 1 else ''}: {len(trainings)} trainings"
    return told, trainings, []


def _of_search(engine: sa.Engine | None, record: StudyRecord, ref: DataRef) -> _Ahead:
    """Of what the pruner stops nothing is known: the most counts."""
    search, plan = record.search, record.plan
    stored = engine is not None and find_study(engine, record.name) is not None
    tried = tried_attempts(engine, record) if engine is not None and stored else ()
    points = min(search.auto.points if search.auto else CONFIRM_WITH_NEAR, search.trials)
    begun = [cell_of(attempt, record, ref) for attempt in tried]
    trials, fresh = max(0, search.trials - len(tried)), points * search.confirm
    model = plan.training(space_of(record).base, ref, plan.seed)
    told = (
        f"{search.trials} configurations, of which about {points} are trained on {search.confirm} "
        f"fresh seeds too, beside {len(search.baselines)} baselines"
    )
    known = [cell.training for cell in (*begun, *baseline_cells(record, ref))]
    return told, known, [model] * (trials + fresh)
