"""From a definition to the cells of a study: pure functions, no database."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from itertools import chain
from typing import Any

from fsmd.baselines import BASELINES, Baseline, Config, check_library
from fsmd.config import FSMDConfig, check_fits, digest, fitted
from fsmd.data.schema import DataRef, Dataset
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError, alternatives, listed, meant, shown
from fsmd.metrics import METRICS
from fsmd.runtime import Runtime
from fsmd.tasks import MEAN, check_label, names
from fsmd.training import Training, code_version
from search_spaces import Value
from studies.definition import (
    Definition,
    NotEverywhere,
    Search,
    Study,
    Trades,
    check_count,
    check_looks,
    kind_of,
)
from studies.reading import read
from studies.store.records import DataFacts, Plan, PlannedArm, StudyRecord


@dataclass(frozen=True)
class Cell:
    """One training of a study or a search, and the place that it has there."""

    arm: str
    params: tuple[tuple[str, Value], ...]
    """(axis, value) of what sets the arm apart; the Optuna parameters of its trial."""
    replicate: int
    """Counts from 0."""
    training: Training
    costs: Mapping[str, float] = field(default_factory=dict)
    """Key of an objective -> its value, as far as it is known before the training."""


def study_name(asked: Definition, data: str, default: Definition | None = None) -> str:
    """The name under which it is stored, where the user gives none.

    What is run on other data than the definition's is kept apart. So is a search that seeks
    something else than `default`, the definition as the catalog has it.
    """
    parts = [asked.name]
    if isinstance(asked, Search) and isinstance(default, Search):
        if asked.space != default.space:
            parts.append(asked.space)
        parts += [key for key in asked.objectives if key not in default.objectives]
    return name_on("-".join(parts), data, asked.data)


def name_on(name: str, data: str, default: str) -> str:
    """`name`, with the data set's where it is not the default."""
    return name if data == default else f"{name}-{slug(data)}"


_LONGEST_SLUG = 60


def slug(data: str) -> str:
    """A data set's name as a part of a file's, another one for each where letters are lost.

    >>> slug("planted:conflict=0.5,rows=1000"), slug("Käufe im März"), slug("\u5e7f\u544a")
    ('planted-conflict-0.5-rows-1000', 'Kaufe-im-Marz', '0c45ff')
    """
    letters = [c for c in unicodedata.normalize("NFKD", data) if not unicodedata.combining(c)]
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", "".join(letters)).strip("-.")
    is_whole = not any(c > "\x7f" and c.isalnum() for c in letters)
    if is_whole and 0 < len(plain) <= _LONGEST_SLUG:
        return plain
    return f"{plain[:_LONGEST_SLUG]}-{digest([data])[:6]}".strip("-")


ARTIFACTS = "artifacts"
"""The folder below --out whose files the dashboard serves."""
_TAKEN = (ARTIFACTS, "index.html", "all.pdf")
"""What else lies beside the folders of the reports."""
_DEVICES = (
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789"),
)
"""What some systems take for a device, whatever follows after a dot."""


def check_name(name: str, what: str) -> None:
    """Raise UserError for a name of which no folder can be made; `what` it is the name of.

    The one rule for all names of studies and searches: it holds where letters of either case are
    the same, where a name is given on a command line, and where it is shown.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name) or name.endswith("."):
        raise UserError(
            f"{what} must consist of at most 100 letters, digits, '.', '_' and '-', the first a "
            f"letter, a digit or '_', the last no '.'; got {name[:120]!r}"
        )
    if name.lower() in _TAKEN or name.lower().partition(".")[0] in _DEVICES:
        raise UserError(f"{what} must be another one: {name!r} has a meaning of its own")


def replicate_seed(study_seed: int, replicate: int, stream: int = 0) -> int:
    """A 31-bit seed from (study seed, replicate, stream) alone: the same for every arm."""
    key = [study_seed, replicate, *([stream] if stream else [])]
    return int(digest(key)[:8], 16) >> 1


def check(study: Definition) -> None:
    """Raise UserError for a definition that contradicts itself."""
    try:
        read(Search if isinstance(study, Search) else Study, study)
    except ValueError as error:
        raise UserError(f"in a definition {error}") from error
    check_read(study)


def check_read(study: Definition) -> None:
    """As `check`, of a definition whose values are known to be of their types."""
    check_name(study.name, "the name of a study")
    if isinstance(study, Study):
        _check_study(study)
    for text in _texts([getattr(study, f.name) for f in fields(study) if f.name != "file"]):
        if not text.isprintable():
            raise UserError(
                f"a text of {study.name!r} must be one line without control characters; got "
                f"{shown(text)}"
            )


def _check_study(study: Study) -> None:
    check_count(len(study.arms))
    check_looks(study.looks)
    arms = [arm.name for arm in study.arms]
    count = Counter(arms)
    for arm in study.arms:
        check_label(arm.name, f"the name of an arm of {study.name!r}")
        if count[arm.name] > 1:
            raise UserError(f"arm {arm.name!r} of {study.name!r} is there twice; rename one")
        if arm.baseline and arm.changes:
            raise UserError(
                f"arm {arm.name!r} of {study.name!r} is the baseline {arm.baseline.kind}, and so "
                f"no change of the base; got {shown(dict(arm.changes))}"
            )
        arm.config(study.base)  # raises for a field or a value that no model has
    if study.reference not in arms:
        raise UserError(
            f"the reference of {study.name!r} must be one of its arms ({listed(arms)}); got "
            f"{study.reference!r}{meant(study.reference, arms)}"
        )
    ids = [claim.id for claim in study.claims]
    for claim in study.claims:
        if not claim.rules or ids.count(claim.id) > 1:
            raise UserError(
                f"claim {claim.id!r} of {study.name!r} must have a rule at least, and an id of "
                "its own"
            )
    _check_margins(study)
    targets = (*study.tasks, MEAN)
    for claim, values in ((c, asdict(rule)) for c in study.claims for rule in c.rules):
        for name in (values.get("arm"), values.get("other"), *values.get("among", ())):
            if name not in (None, *arms):
                raise UserError(
                    f"claim {claim.id!r} of {study.name!r} names {name!r}, which is none of its "
                    f"arms ({listed(arms)}){meant(name, arms)}"
                )
        if values.get("target", MEAN) not in targets:
            raise UserError(
                f"claim {claim.id!r} of {study.name!r} must be of one of its `tasks` "
                f"({listed(study.tasks)}) or {MEAN}; got {values['target']!r}"
                f"{meant(values['target'], targets)}: say tasks=(...) with those of the data"
            )


def _check_claimed(study: Study, data: Dataset) -> None:
    """Raise UserError where claims of a user's own file are on tasks, and the data lacks one.

    In the catalog's, which speak of other data than a user's, tasks stand in for each other.
    """
    own = names(data.schema.tasks)
    rules = [rule for claim in study.claims for rule in claim.rules]
    on_tasks = any(
        isinstance(rule, NotEverywhere | Trades) or getattr(rule, "target", MEAN) != MEAN
        for rule in rules
    )
    lacking = sorted({*study.tasks} - {*own})
    if study.file and on_tasks and lacking:
        raise UserError(
            f"the `tasks` of {study.name!r}, which its claims are on, must be of {data.name} "
            f"({listed(own)}); got {listed(lacking)}{meant(lacking[0], own)}: say tasks=(...) "
            "with those of the data"
        )


def _check_margins(study: Study) -> None:
    rules = (asdict(rule) for claim in study.claims for rule in claim.rules)
    margins = [value for _, value in study.margins]
    for margin in (*margins, *(values.get("margin") for values in rules)):
        if margin is not None and margin < 0:
            raise UserError(f"a margin of {study.name!r} must be at least 0; got {margin}")
    for metric, times in Counter(metric for metric, _ in study.margins).items():
        if metric not in METRICS or not METRICS[metric].judges:
            judging = [name for name, each in METRICS.items() if each.judges]
            raise UserError(
                f"a margin must be of a metric that judges ({', '.join(judging)}, ndcg@K); got "
                f"{metric!r}{meant(metric, judging)}"
            )
        if times > 1:
            raise UserError(f"the margin of {metric} is there twice; give it once")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a definition."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _texts(getattr(value, each.name))
    elif isinstance(value, Mapping | tuple | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def plan(
    study: Study,
    sets: Mapping[str, Dataset],
    settings: TrainingSettings,
    seed: int,
    runtime: Runtime,
    *,
    halves: bool = False,
) -> Plan:
    """Each arm as its data set can train it.

    sets: the study's own data set first, then those that arms bring. settings: the first one's,
    with the epochs and the patience that were asked for. halves: as `Plan` has it.

    What an arm leaves open comes from its data set's settings. Where no task follows another the
    chain falls away; an arm that is then the same as an earlier one (FSMD is FS) is left out.

    Raises UserError for a model that the data cannot carry, for claims of tasks that it has not,
    and for sets of different tasks.
    """
    tasks_of = {name: _described(data) for name, data in sets.items()}
    if len(set(tasks_of.values())) > 1:
        listed = "; ".join(f"{name}: {tasks}" for name, tasks in tasks_of.items())
        raise UserError(f"all data sets of a study must have the same tasks; got {listed}")
    main = next(iter(sets.values()))
    _check_claimed(study, main)
    arms: dict[tuple[Config, str, int], PlannedArm] = {}
    same: list[tuple[str, str]] = []
    chain_dropped = False
    for arm in study.arms:
        data = sets[arm.data] if arm.data else main
        tasks, config = data.schema.tasks, arm.config(study.base)
        if isinstance(config, Baseline):
            check_library(config.kind)
        if isinstance(config, FSMDConfig):
            complete = data.settings.applied(config)
            config = fitted(complete, tasks)
            chain_dropped |= config.chain != complete.chain
            check_fits(config, tasks)
        planned = PlannedArm(arm.name, config, data.name, arm.stream)
        earlier = arms.setdefault((config, data.content_hash, arm.stream), planned)
        if earlier is not planned:
            same.append((arm.name, earlier.name))
    return replace(
        search_plan(main, settings, seed, runtime),
        sets=tuple(map(DataFacts.of, sets.values())),
        arms=tuple(arms.values()),
        same=tuple(same),
        halves=halves,
        chain_dropped=chain_dropped,
    )


def search_plan(data: Dataset, settings: TrainingSettings, seed: int, runtime: Runtime) -> Plan:
    """What all trainings share, where the arms are found on the way."""
    return Plan((DataFacts.of(data),), settings, seed, runtime, code_version())


def baseline_arms(search: Search, data: Dataset) -> tuple[PlannedArm, ...]:
    """What a search trains beside its front; UserError for an unknown name."""
    for name in search.baselines:
        if search.baselines.count(name) > 1:
            raise UserError(f"--baselines has {name!r} twice; leave one out")
        if name not in BASELINES:
            raise UserError(f"no baseline {name!r}{alternatives(name, BASELINES)}")
        check_library(BASELINES[name].kind)
    return tuple(PlannedArm(name, BASELINES[name], data.name) for name in search.baselines)


def _described(data: Dataset) -> str:
    return ", ".join(f"{task.name} ({task.metric})" for task in data.schema.tasks)


def cells(record: StudyRecord, refs: Mapping[str, DataRef], replicates: int) -> tuple[Cell, ...]:
    """All cells of a stored study, a whole replicate after the other.

    refs: where each of the plan's data sets lies, by name.
    """
    every = (cells_of(record, refs, replicate) for replicate in range(replicates))
    return tuple(chain.from_iterable(every))


def cells_of(record: StudyRecord, refs: Mapping[str, DataRef], replicate: int) -> tuple[Cell, ...]:
    """Those of one replicate."""
    planned = record.plan
    return tuple(
        Cell(
            arm=arm.name,
            params=record.study.arm(arm.name).params,
            replicate=replicate,
            training=planned.training(
                arm.config,
                refs[arm.data],
                replicate_seed(planned.seed, replicate, arm.stream),
                planned.half(replicate),
            ),
        )
        for arm in planned.arms
    )


def going_on(stored: StudyRecord, asked: StudyRecord) -> StudyRecord:
    """A stored study as it goes on: as asked now, but with the claims as they were first stated.

    Of a search, the way it is run now comes last among the ways it was run, and the baselines
    that it had stay planned.
    """
    arms = {arm.name: arm for arm in (*stored.plan.arms, *asked.plan.arms)}
    plan = replace(asked.plan, arms=tuple(arms.values())) if asked.is_search else asked.plan
    before = [method for method in stored.methods if method not in asked.methods]
    return replace(
        asked,
        plan=plan,
        stated=stored.stated,
        methods=(*before, *asked.methods),
        created_at=stored.created_at,
    )


def differences(stored: StudyRecord, asked: StudyRecord) -> tuple[str, ...]:
    """What differs and may not under one name, each as `name: stored there, asked now`.

    An arm, or a data set, that only one side has is no difference, as a study may grow. Nor are
    claims, which train nothing, nor how a search proposes and stops. A field that differs in the
    same way at several arms is told once.
    """
    pairs = [(dict(_fixed(stored)), dict(_fixed(asked)))]
    arms = {arm.name: _flat_arm(arm) for arm in asked.plan.arms}
    pairs += [(_flat_arm(a), arms[a.name]) for a in stored.plan.arms if a.name in arms]
    unlike = (
        f"{name}: {before[name]!r} there, {after[name]!r} now"
        for before, after in pairs
        for name in before
        if name in after and before[name] != after[name]
    )
    return tuple(dict.fromkeys(unlike))


def margins_of(record: StudyRecord) -> Mapping[str, float]:
    """Metric of a task -> the smallest difference in it that matters; empty of a search."""
    study = record.definition
    if isinstance(study, Search):
        return {}
    return {task.metric: study.margin(task.metric) for task in record.plan.tasks}


def _fixed(record: StudyRecord) -> Iterator[tuple[str, Any]]:
    definition, planned = record.definition, record.plan
    yield "kind", kind_of(definition)
    yield "name", definition.name
    yield "data", planned.data.name
    for facts in planned.sets:
        yield f"content of {facts.name}", facts.content_hash[:16]
    if isinstance(definition, Search):
        for name in Search.SOUGHT:
            yield name.replace("_", "-"), getattr(definition, name)
    yield from asdict(planned.settings).items()
    if isinstance(definition, Study):
        yield "looks", record.looks
        for metric, margin in margins_of(record).items():
            yield f"margin of {metric}", margin
    yield "seed", planned.seed
    yield "resample-train", planned.halves
    yield from planned.runtime.identity.items()
    yield "code", planned.code


def _flat_arm(arm: PlannedArm) -> dict[str, Any]:
    return {**asdict(arm.config), "data": arm.data, "stream": arm.stream}
