"""An automatic search as it is asked for: with a time, with the plan of a file, or once more."""

import time
from dataclasses import replace

import sqlalchemy as sa

from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.training import code_version
from studies.auto.file import PlanFile, read_plan
from studies.auto.plan import NO_DEADLINES, Deadlines, deadlines
from studies.definition import Definition, Search, Study
from studies.request import Request
from studies.store.records import StudyRecord
from studies.store.runs import seconds_since


def is_automatic(definition: Definition) -> bool:
    """Whether it makes, or has, a plan."""
    return isinstance(definition, Search) and definition.auto is not None


def of_plan(request: Request) -> tuple[Request, PlanFile | None]:
    """What is asked for by the plan of a file, where there is one.

    Raises UserError for a time or a plan of what is no automatic search, and for what is no plan.
    """
    if not is_automatic(request.definition):
        is_study = isinstance(request.definition, Study)  # which checks its own
        if (request.budget is not None and not is_study) or request.plan is not None:
            raise UserError(
                "--budget and --plan go with an automatic search, such as auto; "
                f"{request.definition.name!r} is none"
            )
        return request, None
    if request.plan is None:
        return request, None
    file = read_plan(request.plan)
    planned = replace(
        request,
        definition=file.search,
        data=request.data or file.data,
        epochs=file.epochs,
        patience=file.patience,
        seed=file.seed,
        precision=file.precision if request.precision == "auto" else request.precision,
    )
    return planned, file


def with_plan(
    request: Request, file: PlanFile | None, data: Dataset, stored: StudyRecord | None
) -> Request | None:
    """The request by the plan that is there, stored or in a file; None if one is to be made.

    Raises UserError where both are there and differ, for a file of other data, and without either
    and without a time.
    """
    search = request.definition
    assert isinstance(search, Search), "an automatic search is one"
    if file is not None:
        file.check(data)
        if file.code != code_version():
            print("The plan is of another version of the code: numbers may differ.")
    if stored is None or not stored.is_search or stored.search.auto is None:
        if file is None and request.budget is None:
            raise UserError(
                f"{search.name} must be given a time, such as --budget 30m, or the --plan of a run"
            )
        return request if file else None
    method = {name: getattr(stored.search, name) for name in (*Search.METHOD, "auto")}
    again = replace(search, **method)
    if file is not None and again != search:
        raise UserError(
            f"study {stored.name!r} has another plan than {request.plan}; keep this one apart "
            "with --name or another --storage"
        )
    print("Goes on by the plan that is stored.")
    settings = stored.plan.settings
    return replace(
        request,
        definition=again,
        epochs=request.epochs or settings.epochs,
        patience=request.patience or settings.patience,
    )


def deadlines_of(
    engine: sa.Engine, record: StudyRecord, request: Request, began: float
) -> Deadlines:
    """When a run that `began`, on the monotonic clock, has to end.

    What earlier runs took counts too, on as many workers as the plan was made for: how many a
    cluster has now says nothing of them. Without a budget a plan of a file is run to its end.
    """
    auto = record.search.auto if record.is_search else None
    budget = request.budget or (auto.budget if auto and request.plan is None else None)
    if auto is None or budget is None:
        return NO_DEADLINES
    before = seconds_since(engine, record.name, record.created_at) / auto.workers
    if before and request.plan is None:
        before += auto.spent
    now = time.monotonic()
    return deadlines(auto, budget - before - (now - began), now)
