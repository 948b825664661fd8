"""The head of a model's folder: what goes in and what comes out, without the weights.

Its files are JSON: reading it loads neither torch nor safetensors, so that whoever scores by the
ONNX file alone needs neither.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsmd.data.encoded import fault_of, seal
from fsmd.data.encoder import Encoder
from fsmd.data.inputs import Input
from fsmd.data.schema import Schema
from fsmd.errors import UserError, shown
from fsmd.tasks import Task

FORMAT = 1
TOLERANCE = 1e-6
"""How far engines may be apart in an output: absolute, of larger ones relative."""
STEP_TOLERANCE = 1e-5
"""The same of a step that is a quotient, in which errors of 32 bits weigh up to eight times."""
SCORE = "score"
"""The output that a formula gives."""
CARD, WEIGHTS, ONNX, CONFIG = "README.md", "model.safetensors", "model.onnx", "config.json"
ENCODER, DESCRIPTION, FIGURES = "encoder.json", "dataset.toml", "figures.json"
EXAMPLE, REQUIREMENTS, TRITON = "example.json", "requirements.txt", "config.pbtxt"
CHECKSUMS = "checksums.json"
"""The SHA-256 of each other file."""
FILES = (
    *(CARD, WEIGHTS, ONNX, CONFIG, ENCODER, DESCRIPTION, FIGURES),
    *(EXAMPLE, REQUIREMENTS, TRITON, CHECKSUMS),
)
"""All that a model's folder may hold."""


@dataclass(frozen=True)
class ModelOutput:
    """One number of each row: a probability of a task, or the combined score."""

    name: str
    """Of the output of the ONNX file, of the column of `predict`: `P(buy)`, `P(buy|click)`."""
    task: str | None
    """None for the score."""
    given: str | None = None
    """The task whose rows of 1 alone are meant; None: all rows."""

    @property
    def meaning(self) -> str:
        """In words."""
        if self.task is None:
            return "the combined score, to rank by; no probability"
        if self.given is None:
            return f"probability of {self.task}, among all rows"
        return f"probability of {self.task}, among the rows that have {self.given}"


def outputs_of(tasks: Sequence[Task], score: str | None = None) -> tuple[ModelOutput, ...]:
    """All outputs in order: of each task over all rows, then of its step, then the score.

    >>> [o.name for o in outputs_of((Task("click"), Task("buy", after="click")), "click * buy")]
    ['P(click)', 'P(buy)', 'P(buy|click)', 'score']
    """
    return (*_of_tasks(tasks), *([ModelOutput(SCORE, None)] if score is not None else []))


def _of_tasks(tasks: Sequence[Task]) -> Iterator[ModelOutput]:
    for task in tasks:
        yield ModelOutput(f"P({task.name})", task.name)
        if task.after is not None:
            yield ModelOutput(f"P({task.name}|{task.after})", task.name, task.after)


@dataclass(frozen=True)
class ModelHead:
    """What config.json holds."""

    name: str
    """Of the model: the data set's and the arm's."""
    kind: str
    """`fsmd`, or the kind of a baseline."""
    config: Mapping[str, Any]
    """Of the model, as `dataclasses.asdict` gives it."""
    schema: Schema
    inputs: tuple[Input, ...]
    """One for each feature, and for each input of the ONNX file, in order."""
    score: str | None
    """The formula of the combined score."""
    training: Mapping[str, Any]
    """The identity of its training, and `id`, the digest of that."""
    libraries: Mapping[str, str]
    format: int = FORMAT

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted."""
        return self.schema.tasks

    @property
    def chained(self) -> bool:
        """Whether the model gives the step of a task that follows another; else a quotient is."""
        return bool(self.config.get("chain", False))

    @property
    def tolerances(self) -> Mapping[str, float]:
        """Output -> how far engines may be apart in it."""
        return {
            output.name: TOLERANCE if output.given is None or self.chained else STEP_TOLERANCE
            for output in self.outputs
        }

    @property
    def outputs(self) -> tuple[ModelOutput, ...]:
        """One for each output of the ONNX file, in order."""
        return outputs_of(self.tasks, self.score)

    def to_json(self) -> str:
        """Inverse of `from_json`, for people too; the outputs are told for them alone."""
        outputs = [{**asdict(output), "meaning": output.meaning} for output in self.outputs]
        return json.dumps({**asdict(self), "outputs": outputs}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelHead":
        """ValueError, KeyError or TypeError for what `to_json` never wrote."""
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise UserError(
                f"the format must be {FORMAT}, which this version of fsmd reads; got "
                f"{shown(values['format'])}: a newer version wrote it"
            )
        values.pop("outputs")
        values["schema"] = Schema.from_dict(values["schema"])
        values["inputs"] = tuple(Input(**each) for each in values["inputs"])
        return cls(**values)


@dataclass(frozen=True)
class Example:
    """What example.json holds: rows as they come, and what the model must say of them."""

    rows: tuple[Mapping[str, Any], ...]
    """Raw column -> value (text, number, list of them, true, false or null)."""
    expected: tuple[Mapping[str, float], ...]
    """Output -> its value, of each row."""
    origin: str
    """In words: from the data, or made up."""

    def to_json(self) -> str:
        """Inverse of `from_json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Example":
        """ValueError, KeyError or TypeError for what `to_json` never wrote."""
        values = json.loads(text)
        return cls(tuple(values["rows"]), tuple(values["expected"]), values["origin"])


def check(folder: Path) -> None:
    """Raise UserError unless a model's folder is as it was written; it may hold more files."""
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} is no model: it has no {CONFIG}; `python -m studies.export` writes one"
        )
    fault = fault_of(folder, CHECKSUMS)
    if fault is not None:
        raise UserError(f"the model {folder} is not as it was written: {fault}; export it again")


def read_head(folder: Path) -> ModelHead:
    """What goes in and out; UserError for a folder that is not as it was written."""
    check(folder)
    head: ModelHead = _read(folder / CONFIG, ModelHead)
    return head


def read_example(folder: Path) -> Example:
    """Rows and what the model must say of them; of a folder that was checked."""
    example: Example = _read(folder / EXAMPLE, Example)
    return example


def read_encoder(folder: Path, head: ModelHead) -> Encoder:
    """What encodes rows; UserError for one that is of another model than the head."""
    encoder: Encoder = _read(folder / ENCODER, Encoder)
    for name in ("inputs", "tasks", "score"):
        if getattr(encoder, name) != getattr(head, name):
            raise UserError(
                f"{folder}: {CONFIG} and {ENCODER} must say the same of {name}; export it again"
            )
    return encoder


def _read(path: Path, kind: Any) -> Any:
    with reading(path):
        try:
            return kind.from_json(path.read_text("utf-8"))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a model, or a file of it, is read is told as a UserError.

    The checksums say only that all is as it was sealed, and each library has errors of its own.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        cause = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {cause}); export the model again"
        ) from error


def seal_model(folder: Path) -> None:
    """Write the checksums of a folder that has all other files."""
    seal(folder, {}, CHECKSUMS)
