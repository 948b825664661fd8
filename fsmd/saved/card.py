"""README.md of a model's folder: the model card, from what figures.json and config.json hold."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmd.data.description.toml import parse
from fsmd.data.encoder import Encoder
from fsmd.data.inputs import Input
from fsmd.markdown import code, plain
from fsmd.metrics import METRICS
from fsmd.metrics.steps import CERTAIN
from fsmd.saved.facts import ModelFacts, ModelFigure
from fsmd.saved.head import (
    DESCRIPTION,
    ONNX,
    STEP_TOLERANCE,
    TOLERANCE,
    Example,
    ModelHead,
)

if TYPE_CHECKING:
    from fsmd.saved.model import SavedModel

SPLITS = {"valid": "validation", "test": "test"}
CALIBRATION = ("pcoc", "ece")
"""Metrics of how far the probabilities can be taken as such."""


def card(model: "SavedModel", sizes: Mapping[str, int]) -> str:
    """The whole text, with a YAML head as model hubs read it.

    sizes: bytes of the other files by name.
    """
    head, facts = model.head, model.facts
    parts = (
        ("", _summary(head, facts)),
        ("How to score rows", _usage(model.description)),
        ("Inputs", _inputs(model.encoder)),
        ("Outputs", _outputs(head)),
        ("Figures", _figures(head, facts)),
        ("Cost", _cost(facts, sizes)),
        ("Data", _data(head, facts, described=model.description is not None)),
        ("Limits", _limits(head, model.example)),
        ("Provenance", _provenance(head, facts)),
    )
    sections = (
        "\n".join((*((f"## {title}", "") if title else ()), *lines)) for title, lines in parts
    )
    return "\n".join(("---", *_yaml(head, facts), "---", "", "\n\n".join(sections), ""))


def _yaml(head: ModelHead, facts: ModelFacts) -> Iterator[str]:
    """Values are written as JSON, which YAML reads."""
    own = {task.name: task.metric for task in head.tasks}
    results = [
        {
            "task": {"type": "tabular-classification", "name": task.name},
            "dataset": {"type": _slug(facts.data), "name": facts.data, "split": "test"},
            "metrics": [
                {"type": each.metric, "name": METRICS[each.metric].label, "value": each.this}
                for each in facts.figures
                if (each.split, each.task, each.this is None) == ("test", task.name, False)
                and each.metric in (own[task.name], *CALIBRATION)
            ],
        }
        for task in head.tasks
    ]
    values: dict[str, Any] = {
        "license": facts.licence_of_model,
        "library_name": "fsmd",
        "tags": ["recommendation", "ranking", "multi-task", "tabular-classification", head.kind],
        "datasets": [facts.data],
        "metrics": list(dict.fromkeys(own.values())),
        "model-index": [{"name": head.name, "results": results}],
    }
    for key, value in values.items():
        yield f"{key}: {json.dumps(value, ensure_ascii=False)}"


def _summary(head: ModelHead, facts: ModelFacts) -> Iterator[str]:
    tasks = " and ".join(f"*{plain(task.name)}*" for task in head.tasks)
    yield f"# {plain(head.name)}"
    yield ""
    what = "A network" if head.kind == "fsmd" else f"A simple model ({head.kind})"
    yield (
        f"{what} that gives the probability of {tasks} for each row of a log like "
        f"{code(facts.data)}. It is arm *{plain(facts.arm)}* of the {facts.kind} "
        f"{code(facts.study)} ({plain(facts.question)}), picked by {code(facts.pick)}: "
        f"{plain(facts.why)}."
    )
    if facts.half is not None:
        yield ""
        yield (
            f"**Each training of the study saw half of the training rows**, {facts.half:,} of "
            f"{facts.rows['train']:,} (`--resample-train`): "
            + ("so did these weights." if facts.refit is None else "its means are of such ones.")
        )
    if facts.refit is not None:
        yield ""
        yield (
            "**These weights were trained on train and validation together**, for the epochs that "
            "validation chose before. So no held-out figure of these weights exists but those of "
            "test, where they were evaluated once. The vocabularies and scales are those fitted "
            "on train alone."
        )


def _usage(description: bytes | None) -> Iterator[str]:
    joins = parse(description.decode("utf-8-sig"), Path(DESCRIPTION)).joins if description else ()
    sides = "".join(f" --join {shlex.join(join.files.patterns)}" for join in joins)
    yield "```bash"
    yield "# Needs neither torch nor pandas. FSMD is a copy of the repository of fsmd."
    yield "pip install -r requirements.txt && pip install --no-deps FSMD"
    yield f"python -m fsmd.predict THIS_FOLDER rows.parquet{sides} --out scores.parquet"
    yield "```"
    if joins:
        yield ""
        yield "`--join` names side tables, unless the rows have their columns already."
    yield ""
    yield "```python"
    yield "import json"
    yield "from fsmd import Scorer"
    yield 'scorer = Scorer.load("THIS_FOLDER")      # checks every file and scores the example'
    yield 'rows = json.load(open("THIS_FOLDER/example.json"))["rows"]'
    yield "scorer.score(rows)                      # a dict for each row; a DataFrame or Arrow too"
    yield "```"
    yield ""
    yield (
        "`model.onnx` takes the inputs below by itself, vocabularies inside; `config.pbtxt` is "
        "for Triton's ONNX backend (put `model.onnx` into a folder `1` beside it). Nothing here "
        "is a pickle."
    )


def _inputs(encoder: Encoder) -> Iterator[str]:
    yield from _table(
        ("input", "kind", "from a raw row", "what is known of it"),
        zip(
            (plain(each.name) for each in encoder.inputs),
            (each.kind for each in encoder.inputs),
            map(_taken, encoder.inputs),
            (*_known_words(encoder), *_known_numbers(encoder)),
            strict=True,
        ),
    )


def _taken(each: Input) -> str:
    """How it is taken from a raw row."""
    split = f", split at {plain(repr(each.separator))}" if each.separator is not None else ""
    return f"{code(each.expression)}{split}{'; may be left out' if each.optional else ''}"


def _known_words(encoder: Encoder) -> Iterator[str]:
    for vocabulary in encoder.vocabularies:
        root = encoder.root(vocabulary)
        if root.buckets is not None:
            yield f"{root.buckets:,} buckets of a hash"
        else:
            yield f"{len(root.words):,} categories; others are unseen"


def _known_numbers(encoder: Encoder) -> Iterator[str]:
    for scaling in encoder.scales:
        if scaling.fill is None:
            yield "must not be missing"
        else:
            yield f"missing counts as {scaling.fill:g}{', and is told' * scaling.flagged}"


def _outputs(head: ModelHead) -> Iterator[str]:
    yield from _table(
        ("output", "meaning"), ((code(each.name), plain(each.meaning)) for each in head.outputs)
    )
    if head.score is not None:
        yield ""
        yield f"`score` is {code(head.score)}, of the probabilities over all rows."
    if any(each.given for each in head.outputs):
        yield ""
        yield "Along the funnel P(b) = P(b|a) x P(a)" + (
            ", by construction: no step can be likelier than the one before it."
            if head.chained
            else "; the model has no chain, so P(b|a) is computed as a quotient, cut off below 1."
        )


def _figures(head: ModelHead, facts: ModelFacts) -> Iterator[str]:
    own = {task.name: task.metric for task in head.tasks}
    replicates = max((figure.replicates for figure in facts.figures), default=0)
    over = "the one training of this configuration that there is"
    if replicates > 1:
        over = f"{replicates} trainings of this configuration from different seeds"
    yield (
        f"*Mean*: over {over}, with the 95 % interval where there are several. *These weights*: "
        "of the training that made this folder. Test was evaluated once, at the epochs that "
        "validation chose "
        f"({', '.join(f'{plain(t)}: {e}' for t, e in facts.chosen_epochs.items())})."
    )
    yield ""
    yield from _table(
        ("task", "split", "metric", "mean", "95 % interval", "these weights"),
        (_row(each) for each in facts.figures if each.metric == own[each.task]),
    )
    yield ""
    yield (
        "Calibration on test: PCOC is the mean probability over the observed rate (1 is right), "
        "ECE the mean distance of the two over bins of equal size."
    )
    yield ""
    yield from _table(
        ("task", "split", "metric", "mean", "95 % interval", "these weights"),
        (
            _row(each)
            for each in facts.figures
            if each.metric in CALIBRATION and each.metric != own[each.task]
            if each.split == "test"
        ),
    )
    yield ""
    yield "figures.json has these and all others."


def _row(figure: ModelFigure) -> tuple[str, ...]:
    metric = METRICS[figure.metric]

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.{metric.digits}f}"

    interval = "-" if figure.low is None else f"{shown(figure.low)} to {shown(figure.high)}"
    return (
        plain(figure.task),
        SPLITS[figure.split],
        metric.label,
        shown(figure.mean),
        interval,
        shown(figure.this),
    )


def _cost(facts: ModelFacts, sizes: Mapping[str, int]) -> Iterator[str]:
    yield f"- Parameters: {facts.parameters:,}"
    yield f"- Size: {sum(sizes.values()) / 1e6:.1f} MB, {ONNX} {sizes[ONNX] / 1e6:.1f} MB of it"
    if facts.latency is not None:
        yield (
            f"- Scoring 1,000 encoded rows: {facts.latency:.2f} ms on one thread without ONNX, "
            f"as the {facts.kind} measured it"
        )
    if facts.seconds is not None:
        yield f"- One training: {facts.seconds:.1f} s (median of the {facts.kind}'s)"


def _data(head: ModelHead, facts: ModelFacts, described: bool) -> Iterator[str]:
    yield f"{code(facts.asked)}, content hash `{facts.content_hash}`."
    if facts.licence is not None:
        yield f"Its licence: {plain(facts.licence)}."
    yield "The split is as dataset.toml says." if described else "The split is made by code."
    yield ""
    yield from _table(
        ("split", "rows", *(f"rate of {plain(task.name)}" for task in head.tasks)),
        (
            (
                SPLITS.get(split, split),
                f"{rows:,}",
                *(f"{facts.rates[split][task.name]:.4f}" for task in head.tasks),
            )
            for split, rows in facts.rows.items()
        ),
    )
    funnel = [
        f"{plain(task.name)} follows {plain(task.after)}" for task in head.tasks if task.after
    ]
    if funnel:
        yield ""
        yield f"Along the funnel: {', '.join(funnel)}."


def _limits(head: ModelHead, example: Example) -> Iterator[str]:
    yield (
        "- A category that train has not, or has too rarely, counts as *unseen*: all such values "
        "are alike to the model. A missing value is told from it where train misses some."
    )
    yield (
        "- Numbers are cut off ten standard deviations from train's mean. The model was fitted on "
        "the time and the traffic of train; nothing here watches for drift: compare PCOC on new "
        "rows with the one above, and train again when it moves."
    )
    apart = f"- The engines onnx and torch agree to {TOLERANCE:g} on each P(task)"
    if set(head.tolerances.values()) == {TOLERANCE}:
        yield f"{apart}."
    else:
        yield (
            f"{apart}, and to {STEP_TOLERANCE:g} on steps, which are quotients of 32-bit numbers "
            f"here. Without a chain P(b) may exceed P(a): the step is then {1 - CERTAIN:.7f}."
        )
    yield (
        "- Its probabilities are of rows that were shown by the system that wrote the log; what "
        "another system would show may differ. It was tested on the test split alone, offline: "
        "no experiment with users, no check of groups of users, no test against manipulation."
    )
    yield (
        "- encoder.json and model.onnx hold the categories of train as they are, such as ids of "
        f"users. The rows of example.json: {example.origin}. Treat this folder as you treat the "
        "data."
    )


def _provenance(head: ModelHead, facts: ModelFacts) -> Iterator[str]:
    yield f"- Repeat it: {code(facts.command)}"
    yield f"- Training: `{head.training['id']}`, seed {head.training['seed']}"
    yield f"- Code that trains: version `{head.training['code']}`"
    runtime = head.training["runtime"]
    told = [str(value) for name, value in runtime.items() if name != "stack"]
    if runtime.get("stack", 1) > 1:
        told.append(f"a stack of {runtime['stack']}")
    yield f"- Machine: {plain(facts.machine)}; {', '.join(told)}"
    listed = ", ".join(f"{name} {version}" for name, version in head.libraries.items())
    yield f"- Libraries: {listed}"
    if facts.equal is not None:
        yield "- Trained again for this folder: " + (
            "every figure equals the stored one bit for bit."
            if facts.equal
            else f"figures differ from the stored ones by up to {facts.farthest:.2g}."
        )


def _table(heads: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-") or "own"
