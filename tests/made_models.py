"""A made-up log with every kind of feature, and models of it as folders."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import fsmd
from fsmd.baselines import BASELINES
from fsmd.config import MODELS, fitted
from fsmd.data.encoder import Encoder
from fsmd.data.schema import Dataset, Floats
from fsmd.module import FSMDModule
from fsmd.saved.head import Example
from fsmd.saved.model import save_model
from fsmd.saved.outputs import output_values
from fsmd.trained import TrainedModel
from tests.made_up.model_folders import saved

DESCRIPTION = """
[data]
files = ["*.csv"]
missing = ["", "UNKNOWN"]

[[join]]
files = ["side/items.csv"]
on = "item"

[fields]
user = { kind = "category", min_count = 2 }
item = "category"
page = { kind = "category", from = "lower(tab)" }
hour = { kind = "category", from = "hour(seconds(when))" }
city = { kind = "category", hash = 7, optional = true }
brand = "category"
tags = { kind = "tags", separator = "|", strip = "[]", max_length = 3 }
recent = { kind = "sequence", separator = " ", max_length = 4, share = "item" }
price = { kind = "number", scale = "log" }
age = { kind = "number", scale = "quantile" }
ratio = { kind = "number", from = "price / (age + 1)" }
"watch time" = { kind = "number", optional = true, missing = 3.5 }

[tasks]
click = "is_click"
buy = { label = "is_buy", after = "click" }
"long view" = "is_long"

[split]
by = "files"
train = ["train.csv"]
valid = ["valid.csv"]
test = ["test.csv"]

[score]
formula = "click ** 1.0 * (0.1 + buy) ** 0.5 - column('long view') / 4"
"""
NUMBERS = ("age", "watch time", "price")
EXAMPLES = 4
ALL = (*MODELS, *(name for name in BASELINES if name != "catboost" or find_spec(name)))


@dataclass(frozen=True, eq=False)
class MadeLog:
    """A data set, and its test rows as they stand in the file, joined."""

    folder: Path
    data: Dataset
    encoder: Encoder
    rows: list[dict[str, Any]]
    """Texts; None where a value is missing."""


def log_of(folder: Path) -> MadeLog:
    """Write and load it; its test rows have values that train has not."""
    (folder / "side").mkdir(parents=True)
    (folder / "dataset.toml").write_text(DESCRIPTION, "utf-8")
    draw = np.random.default_rng(0)
    for name, rows, spread in (("train", 700, 1.0), ("valid", 200, 1.2), ("test", 300, 1.5)):
        _write(folder / f"{name}.csv", [_row(draw, spread) for _ in range(rows)])
    items = [
        {"item": f"i{k}", "brand": f"b{k % 5}" if k % 6 else "", "price": f"{k * 1.7:.2f}"}
        for k in range(30)
    ]
    _write(folder / "side/items.csv", items)
    data = fsmd.load(str(folder / "dataset.toml"))
    encoder = Encoder.from_json((data.path / "encoder.json").read_text("utf-8"))
    side = {row["item"]: row for row in items}
    nothing = {"brand": "", "price": ""}
    with (folder / "test.csv").open(encoding="utf-8", newline="") as file:
        found = [
            {**row, **{name: side.get(row["item"], nothing)[name] for name in nothing}}
            for row in csv.DictReader(file)
        ]
    missing = ("", "UNKNOWN")
    return MadeLog(
        folder,
        data,
        encoder,
        [{name: None if v in missing else v for name, v in row.items()} for row in found],
    )


def _row(draw: np.random.Generator, spread: float) -> dict[str, Any]:
    """A row of texts."""
    click = int(draw.random() < 0.4)
    items = draw.integers(0, int(35 * spread), 8)
    day, hour = draw.integers(1, 28, 2)
    row = {
        "user": draw.integers(0, int(60 * spread)),
        "item": f"i{items[0]}",
        "tab": str(draw.choice(["Home", "feed", "ÜBER", "a, b", 'say "hi"'])),
        "when": f"2024-05-{day:02d}T{hour % 24:02d}:30:00Z",
        "city": str(draw.choice(["x", "ÿ", "😀"])),
        "tags": f"[{'|'.join(draw.choice(list('abcd'), draw.integers(0, 5)))}]",
        "recent": " ".join(f"i{k}" for k in items[1 : draw.integers(1, 8)]),
        "age": draw.integers(10, int(60 * spread)),
        "watch time": f"{draw.normal(5, 2 * spread):.3f}",
    }
    gone = draw.random(len(row)) < 0.08
    row = {
        name: "UNKNOWN" if g else value for (name, value), g in zip(row.items(), gone, strict=True)
    }
    labels = {"is_click": click, "is_buy": click * int(draw.random() < 0.4)}
    return {**row, **labels, "is_long": int(draw.random() < 0.3)}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def typed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with numbers where the texts are numbers."""
    return [
        {
            name: value
            if value is None or name not in ("user", *NUMBERS)
            else (float(value) if "." in value else int(value))
            for name, value in row.items()
        }
        for row in rows
    ]


@cache
def trained_model(log: MadeLog, name: str) -> TrainedModel:
    """A network with random weights, a baseline as it is trained."""
    data = log.data
    if name in BASELINES:
        training = fsmd.Training.on(data, BASELINES[name], seed=0)
        epochs = dict.fromkeys(fsmd.tasks.names(data.schema.tasks), 2)
        model = fsmd.train(training, keep_model=True, fixed_epochs=epochs).model
        assert model is not None
        return model
    config = fitted(MODELS[name], data.schema.tasks)
    module = FSMDModule.create(config, data.schema, seed=0)
    draw = np.random.default_rng(1)
    tensors = {}
    for key, tensor in module.model.state_dict().items():
        array = tensor.numpy()
        noise = draw.normal(0, 0.1, array.shape).astype(np.float32)
        is_free = array.dtype == np.float32 and "running_var" not in key
        tensors[key] = array + noise if is_free else array
    return TrainedModel(config, data.schema, tensors)


def expected(log: MadeLog, trained: TrainedModel) -> dict[str, Floats]:
    """The outputs of the test rows as the data set has encoded them."""
    test = log.data.test
    return output_values(trained, log.encoder.score, test.ids, test.dense)


def save(log: MadeLog, trained: TrainedModel, folder: Path) -> Path:
    """Write the model's folder, with an example of the first test rows."""
    outputs = expected(log, trained)
    scores = [
        {name: float(value_N[row]) for name, value_N in outputs.items()} for row in range(EXAMPLES)
    ]
    columns = [name for name in log.rows[0] if not name.startswith("is_")]
    rows = [{name: row[name] for name in columns} for row in log.rows[:EXAMPLES]]
    example = Example(tuple(rows), tuple(scores), "made up")
    description = (log.folder / "dataset.toml").read_bytes()
    save_model(saved(log.encoder, trained, example, description), folder)
    return folder
