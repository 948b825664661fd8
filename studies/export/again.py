"""Training the chosen configuration again: its data, its progress, and whether figures repeat."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from fsmd.data import description_of, load
from fsmd.data.encoded import ENCODER
from fsmd.data.encoder import Encoder
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.refit import with_validation
from fsmd.terminal import bar_of, open_console
from fsmd.training import DivergedError, Training, TrainingProgress, TrainingResult, train
from studies.export.chosen import ChosenArm
from studies.planner.design import replicate_seed
from studies.session import runtime_for

EVERY_SECONDS = 30.0
"""Between two lines, where the output is no terminal."""


class LoadedData(NamedTuple):
    """The data set that an arm was trained on."""

    data: Dataset
    asked: str
    """What loads it."""
    description: bytes | None
    """As it is in its file; None for data that is made by code."""
    licence: str | None

    def encoder(self, score: str | None) -> Encoder:
        """What encodes its rows; `score`: the formula, where it is not the description's."""
        encoder = Encoder.from_json((self.data.path / ENCODER).read_text("utf-8"))
        return encoder if score is None else replace(encoder, score=score)


def data_of(chosen: ChosenArm, memory: int | None = None) -> LoadedData:
    """UserError for data that is not here, or is another now."""
    facts = chosen.record.plan.facts(chosen.arm.data)
    asked = facts.asked or facts.name
    data = load(asked, memory)
    if data.content_hash != facts.content_hash:
        raise UserError(
            f"the data set {facts.name} is not what {chosen.record.name!r} was run on: its "
            f"content is {data.content_hash[:16]} now, {facts.content_hash[:16]} is stored; bring "
            "back the files and the description as they were, or run the study again"
        )
    path = description_of(asked)
    if path is None:
        return LoadedData(data, asked, None, None)
    from fsmd.data.description.toml import read

    origin = read(path).origin
    return LoadedData(data, asked, path.read_bytes(), origin.licence if origin else None)


def training_of(chosen: ChosenArm, data: Dataset, device: str) -> Training:
    """The training that is stored, but for the code and the device of today."""
    plan, arm = chosen.record.plan, chosen.arm
    runtime = runtime_for(device, "auto", plan.runtime)
    seed = replicate_seed(plan.seed, chosen.replicate, arm.stream)
    half = plan.half(chosen.replicate)
    return replace(plan.training(arm.config, data.ref, seed, half), runtime=runtime)


def trained(
    training: Training, what: str, fixed_epochs: Mapping[str, int] | None = None
) -> TrainingResult:
    """With the model; `what` is told while it goes on. UserError for one that diverged."""
    epochs = max(fixed_epochs.values()) if fixed_epochs else training.epochs
    try:
        with _progress(what, epochs) as tell:
            return train(training, on_progress=tell, keep_model=True, fixed_epochs=fixed_epochs)
    except DivergedError as error:
        raise UserError(f"the training diverged: {error}; pick another arm") from error


def refitted(
    training: Training, data: Dataset, before: TrainingResult, arm: str
) -> TrainingResult:
    """Trained on all of train and validation, with nothing left to choose."""
    both = replace(with_validation(data).ref, shuffle=training.data.shuffle)
    what = f"training {arm} on train and validation"
    return trained(replace(training, data=both, half=None), what, dict(before.chosen_epochs))


@contextmanager
def _progress(what: str, epochs: int) -> Iterator[Callable[[TrainingProgress], None]]:
    """A bar in a terminal, lines now and then elsewhere."""
    with bar_of(open_console()) as bar:
        line, next_line = bar.add_task(what, total=epochs), time.monotonic() + EVERY_SECONDS

        def tell(progress: TrainingProgress) -> None:
            nonlocal next_line
            bar.update(line, completed=progress.done)
            if bar.disable and time.monotonic() >= next_line:
                next_line = time.monotonic() + EVERY_SECONDS
                print(f"{what}: {progress.done:.1f} of at most {epochs} epochs", file=sys.stderr)

        yield tell


class Repeat(NamedTuple):
    """How the figures of a training that was done again compare with the stored ones."""

    equal: bool
    farthest: float
    told: str


def compared(training: Training, result: TrainingResult, chosen: ChosenArm) -> Repeat:
    """All of validation and test at the chosen epochs."""
    now = at_chosen(result)
    gaps = [abs(now.get(key, float("inf")) - value) for key, value in chosen.stored.items()]
    farthest = max(gaps, default=0.0)
    if farthest == 0:
        return Repeat(True, 0.0, "its figures equal the stored ones bit for bit")
    is_same = training.id == chosen.run_id
    why = "the machine or its libraries are" if is_same else "the code or the device is"
    return Repeat(
        False,
        farthest,
        f"its figures differ from the stored ones by up to {farthest:.2g}, as {why} not the "
        "study's",
    )


def at_chosen(result: TrainingResult) -> dict[tuple[str, str, str], float]:
    """(split, task, metric) -> the figure at the task's chosen epoch."""
    return {
        (m.split, m.task, m.metric): m.value
        for m in result.measurements
        if result.chosen_epochs.get(m.task) == m.epoch
    }
