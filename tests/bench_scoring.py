"""Rows per CPU-second of `predict`, beside onnxruntime's own on prepared inputs and a torch loop.

`nox -s bench_scoring` runs it: MMoE with 8 experts of (256, 128) on KuaiRand (planted data without
it), raw rows as one Parquet file, one thread, by turns in one process, so that only the ratios
count. Single rows through `Scorer.score` by the clock. The last line is JSON.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import fsmd
from fsmd.config import MODELS, fitted
from fsmd.data import description_of, source_of
from fsmd.data.description.toml import read
from fsmd.data.encoder import Encoder
from fsmd.data.rows.fields import UntypedRows
from fsmd.data.rows.log import Log
from fsmd.data.rows.part import Where
from fsmd.errors import UserError
from fsmd.module import FSMDModule
from fsmd.predict import predict
from fsmd.saved.feed import Feed
from fsmd.saved.model import save_model
from fsmd.scorer import BATCH, Scorer
from fsmd.trained import TrainedModel
from studies.export.example import example_of
from tests.made_up.model_folders import saved

ROWS = 100_000
TURNS = 3
SINGLE = 400
MEMORY = 2**30


class Given(NamedTuple):
    """A model as a folder and as a module, and rows to score."""

    folder: Path
    module: FSMDModule
    encoder: Encoder
    rows: Path
    table: pa.Table


def raw_rows(name: str) -> Iterator[pa.RecordBatch]:
    """Rows as files and side tables have them; of made-up data the columns of the features."""
    path = description_of(name)
    if path is None:
        for part in source_of(name).parts():
            yield part.fields
        return
    yield from Log.of(read(path), MEMORY).raw("train")


def given(folder: Path) -> Given:
    """An untrained model, as speed depends on no weight."""
    try:
        name = "kuairand"
        data = fsmd.load(name)
    except UserError:
        name = f"planted:rows={ROWS}"
        data = fsmd.load(name)
    encoder = Encoder.from_json((data.path / "encoder.json").read_text("utf-8"))
    config = fitted(MODELS["mmoe"], data.schema.tasks)
    module = FSMDModule.create(config, data.schema, seed=0)
    tensors = {key: value.numpy() for key, value in module.model.state_dict().items()}
    batches = [decoded(batch) for batch in raw_rows(name)]
    table = pa.Table.from_batches(batches)[:ROWS].combine_chunks()
    pq.write_table(table, folder / "rows.parquet")
    trained = TrainedModel(config, data.schema, tensors)
    example = example_of(name, encoder, trained, real=False)
    save_model(saved(encoder, trained, example), folder / "model")
    return Given(folder / "model", module.eval(), encoder, folder / "rows.parquet", table)


def decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Texts as a file has them."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def contenders(of: Given, out: Path) -> dict[str, Callable[[], object]]:
    """What scores all rows once."""
    scorer = Scorer.load(of.folder, "onnx")
    fields = of.table.to_batches()[0]
    values = scorer.check_types({field.name: field.type for field in fields.schema})
    where = Where("rows", np.arange(len(fields)))
    raw = UntypedRows(fields, where, {})
    features = pa.RecordBatch.from_arrays(
        [raw.feature(each, values[each.name]) for each in scorer.inputs],
        names=[each.name for each in scorer.inputs],
    )
    feed = Feed(of.encoder)
    starts = range(0, len(fields), BATCH)
    prepared = [
        feed.of(features.slice(s, BATCH), Where("rows", where.rows_N[s : s + BATCH]))
        for s in starts
    ]
    ids_NC, dense_ND = map(torch.from_numpy, of.encoder.transform(features, where))

    def by_onnxruntime() -> None:
        for inputs in prepared:
            scorer.run(inputs)

    @torch.no_grad()
    def by_torch() -> None:
        for s in starts:
            torch.sigmoid(of.module.model(ids_NC[s : s + BATCH], dense_ND[s : s + BATCH]))

    return {
        "predict": lambda: predict(scorer, of.folder, [str(of.rows)], out),
        "score_arrow": lambda: scorer.score(of.table),
        "onnxruntime": by_onnxruntime,
        "torch": by_torch,
    }


def latencies(scorer: Scorer, table: pa.Table) -> list[float]:
    """Milliseconds of single rows, numbers as numbers."""
    numbers = {each.expression for each in scorer.inputs if each.kind == "number"}
    rows = [
        {k: float(v) if k in numbers and v is not None else v for k, v in row.items()}
        for row in table[:SINGLE].to_pylist()
    ]
    found = []
    for row in rows:
        start = time.perf_counter()
        scorer.score([row])
        found.append(1000 * (time.perf_counter() - start))
    return found


def main() -> None:
    """Measure by turns; print a table and a line of JSON."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        of = given(Path(folder))
        out = Path(folder) / "scores.parquet"
        run = contenders(of, out)
        seconds: dict[str, list[float]] = {name: [] for name in run}
        for _ in range(TURNS):
            for name, contender in run.items():
                start = time.process_time()
                contender()
                seconds[name].append(time.process_time() - start)
        scorer = Scorer.load(of.folder, "onnx")
        single = latencies(scorer, of.table)
    rows = len(of.table)
    rates = {name: rows / median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:<12}{rate:>12,.0f} rows per CPU-second")
    p50, p99 = np.percentile(single, [50, 99])
    print(f"single rows through Scorer: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(
        json.dumps(
            {
                "rows": rows,
                "inputs": len(scorer.inputs),
                "of_onnxruntime": round(rates["predict"] / rates["onnxruntime"], 3),
                "of_torch_alone": round(rates["predict"] / rates["torch"], 3),
                "p50_ms": round(float(p50), 3),
                "p99_ms": round(float(p99), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
