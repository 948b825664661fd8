"""A model's folder that scores raw rows: by onnxruntime alone, or by torch.

>>> Scorer.load("model/").score([{"user_id": 7, "tab": "1"}])  # doctest: +SKIP
[{'P(click)': 0.31, 'P(buy)': 0.02, 'P(buy|click)': 0.07, 'score': 0.08}]

The engine "onnx" needs numpy, pyarrow and onnxruntime, and imports nothing else.
Suffix: N rows.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.description.columns import is_number, is_plain
from fsmd.data.description.expression import parse as parse_expression
from fsmd.data.inputs import Input
from fsmd.data.rows import given
from fsmd.data.rows.fields import UntypedRows, Value, value_of
from fsmd.data.rows.part import Where
from fsmd.data.schema import Floats
from fsmd.errors import UserError, shown
from fsmd.saved.feed import Feed
from fsmd.saved.head import (
    ONNX,
    Example,
    ModelHead,
    read_encoder,
    read_example,
    read_head,
    reading,
)

ENGINES = ("auto", "onnx", "torch")
MOST_THREADS = 1024
BATCH = 4096
"""Rows that go through the model at once."""
MOST_TYPES = 1000
"""Sets of columns' types of which it is remembered what is computed from them."""
FEW = 16
"""Rows at most that are taken one by one, as a server gets them."""

Run: TypeAlias = Callable[[pa.RecordBatch, Where], Mapping[str, Floats]]
"""From the features of rows (`Part.fields`) to the outputs."""


class Scorer:
    """Scores raw rows as the training would have read them; see `load`. Threads may share it."""

    def __init__(
        self,
        head: ModelHead,
        engine: str,
        run: Run,
        padded: Mapping[str, str],
        session: Any = None,
        feed: Feed | None = None,
    ) -> None:
        self.head, self.engine, self.batch = head, engine, BATCH
        self._run, self._session, self._feed = run, session, feed
        self.inputs: tuple[Input, ...] = head.inputs
        """One for each feature."""
        self.outputs: tuple[str, ...] = tuple(output.name for output in head.outputs)
        """In the order in which they are given; `head.outputs` says what each means."""
        read = {e.name: parse_expression(e.expression, e.name) for e in head.inputs}
        self._columns_of = {name: expression.columns for name, expression in read.items()}
        self._plain = {
            each.name: column
            for each in head.inputs
            if each.kind != "tags" and (column := read[each.name].column) is not None
        }
        self._padded = padded  # feature -> one of its ids that begin with zeros
        self._padded_columns = {
            column: word for name, word in padded.items() if (column := read[name].column)
        }
        self.columns: tuple[str, ...] = self._needed(head.inputs)
        """Raw columns that are read; others are ignored."""
        must = self._needed([each for each in head.inputs if not each.optional])
        self.optional: frozenset[str] = frozenset(self.columns) - frozenset(must)
        """Those of them that need not be there: all their values are missing then."""
        self._values: dict[Any, dict[str, Value | None]] = {}

    @classmethod
    def load(cls, folder: str | Path, engine: str = "auto", threads: int = 1) -> "Scorer":
        """Read a model's folder, check it, and let it score its example.

        auto: onnx where onnxruntime is installed, else torch. threads: that score one batch.

        Raises UserError for a folder that is not as it was written, for a library that is not
        installed, and for an engine that does not give the example's scores.
        """
        folder = Path(folder)
        if engine not in ENGINES:
            raise UserError(f"`engine` must be one of {', '.join(ENGINES)}; got {shown(engine)}")
        if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
            raise UserError(
                f"`threads` must be a whole number from 1 to {MOST_THREADS}; got {shown(threads)}"
            )
        head = read_head(folder)
        if engine == "auto":
            engine = "onnx" if importlib.util.find_spec("onnxruntime") else "torch"
        with reading(folder):
            scorer = (_by_onnx if engine == "onnx" else _by_torch)(cls, head, folder, threads)
            _check_example(scorer, read_example(folder), folder)
        # pyarrow imports pandas, where it is there, at its first rows: before threads ask at once.
        pa.array([None], from_pandas=True)
        return scorer

    def score(self, rows: Any) -> Any:
        """The outputs of raw rows: a list of dicts gives dicts, pandas pandas, Arrow Arrow.

        Raises UserError that names row and column for a column that is needed and not there, and
        for a value that the data cannot have. Columns that the model does not need are ignored.
        """
        if isinstance(rows, pa.Table | pa.RecordBatch):
            found = self.score_batch(given.of_arrow(rows, self.columns, self.optional))
            kind = pa.RecordBatch if isinstance(rows, pa.RecordBatch) else pa.Table
            return kind.from_arrays(
                [pa.array(found[name]) for name in self.outputs], names=list(self.outputs)
            )
        pandas = sys.modules.get("pandas")
        if pandas is not None and isinstance(rows, pandas.DataFrame):
            frame = given.of_frame(rows, self.columns, self.optional, self._padded_columns)
            found = self.score_batch(frame)
            return pandas.DataFrame(dict(found), index=rows.index)
        if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
            raise UserError(
                "rows must be a list of dicts, a pandas DataFrame, or a Table or RecordBatch of "
                f"Arrow; got {shown(rows)}"
            )
        if not rows:
            return []
        if self._feed is not None and len(rows) <= FEW:
            found = self._few(rows, self._feed)
        else:
            batch = given.of_dicts(rows, self.columns, self.optional, self._padded_columns)
            found = self.score_batch(batch)
        columns = (found[name].tolist() for name in self.outputs)
        return [dict(zip(self.outputs, row, strict=True)) for row in zip(*columns, strict=True)]

    def score_batch(self, rows: pa.RecordBatch, where: Where | None = None) -> dict[str, Floats]:
        """Output -> its value of each of N rows, of raw columns in plain types.

        Columns of files as `fsmd.data.rows.files` reads them are; `fsmd.data.rows.given` makes
        others so. where: named in messages.
        """
        where = where or Where(given.SOURCE, np.arange(rows.num_rows))
        fields = self._features(rows, where, self.inputs)
        starts = range(0, rows.num_rows, self.batch)
        parts = [
            self._run(
                fields.slice(s, self.batch), Where(where.source, where.rows_N[s : s + self.batch])
            )
            for s in starts
        ]
        if len(parts) == 1:
            return {name: parts[0][name] for name in self.outputs}
        none = [np.zeros(0, np.float32)]
        return {name: np.concatenate([*none, *(p[name] for p in parts)]) for name in self.outputs}

    def check_types(
        self,
        types: Mapping[str, pa.DataType],
        source: str = given.SOURCE,
        features: Sequence[Input] | None = None,
    ) -> dict[str, Value | None]:
        """What is computed for each feature (None: of all) from columns of these types.

        Raises UserError for a column that is not there or of a type that the feature cannot have.
        """
        features = self.inputs if features is None else features
        columns = self._needed(features)
        key = (
            *(each.name for each in features),
            *((name, types[name]) for name in columns if name in types),
        )
        values = self._values.get(key)
        if values is None:
            given.check_columns(source, columns, self.optional, list(types))
            values = {
                each.name: value_of(each, types, source, f"feature {each.name!r}")
                for each in features
            }
            if len(self._values) >= MOST_TYPES:
                self._values.clear()
            self._values[key] = values
        return values

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, Floats]:
        """The outputs of model.onnx for exactly its inputs, all of one length.

        Texts are arrays of objects; see `fsmd.data.inputs` for what stands for a missing one.
        Raises UserError with the engine torch, for inputs that the file does not have, and for
        what is no text in UTF-8.
        """
        if self._session is None:
            raise UserError("inputs of ONNX need the engine onnx; this model runs by torch")
        names = {each.name for each in self.inputs}
        if names != set(inputs) or len({value.shape for value in inputs.values()}) != 1:
            raise UserError(
                f"inputs must be {', '.join(sorted(names))}, all of one length; got "
                f"{', '.join(f'{name} {value.shape}' for name, value in inputs.items())}"
            )
        for name, padded in self._padded.items():
            if not all(issubclass(kind, str) for kind in set(map(type, inputs[name]))):
                row = next(i for i, v in enumerate(inputs[name]) if not isinstance(v, str))
                place, value = f"the inputs, row {row} (from 0)", inputs[name][row]
                raise given.no_number(place, f"input {name!r}", value, padded)
        try:
            return _ran(self._session, self.outputs, inputs)
        except UnicodeEncodeError as error:  # half a pair, which JSON can hold
            raise UserError(f"a text must be UTF-8; got {shown(error.object)}") from error

    def _needed(self, features: Sequence[Input]) -> tuple[str, ...]:
        """The raw columns of features, each once."""
        return tuple(dict.fromkeys(n for each in features for n in self._columns_of[each.name]))

    def _features(
        self, rows: pa.RecordBatch, where: Where, features: Sequence[Input]
    ) -> pa.RecordBatch:
        types = {field.name: field.type for field in rows.schema}
        try:
            values = self.check_types(types, where.source, features)
        except UserError:
            self._check_each(rows, where, features)
            raise
        raw = UntypedRows(rows, where, {})
        found = pa.RecordBatch.from_arrays(
            [raw.feature(each, values[each.name]) for each in features],
            names=[each.name for each in features],
        )
        for each in features:
            if each.name in self._padded and (value := values[each.name]) is not None:
                self._check_padded(rows, where, each, value, found.column(each.name))
        return found

    def _check_padded(
        self, rows: pa.RecordBatch, where: Where, feature: Input, value: Value, found: pa.Array
    ) -> None:
        """Raise UserError for numbers in the place of ids that begin with zeros."""
        if value.expression.column is None:
            is_of_numbers = value.want == "number"
        else:
            kind = rows.schema.field(value.expression.column).type
            is_of_numbers = is_number(kind.value_type if pa.types.is_list(kind) else kind)
        if not is_of_numbers:
            return
        is_tags = feature.kind == "tags"
        there = pc.greater(pc.list_value_length(found), 0) if is_tags else found.is_valid()
        if (row := pc.index(there, True).as_py()) >= 0:
            name, padded = value.expression.columns[0], self._padded[feature.name]
            got = rows.column(name)[row].as_py()
            raise given.no_number(where.row(row), f"column {name!r}", got, padded)

    def _check_each(self, rows: pa.RecordBatch, where: Where, features: Sequence[Input]) -> None:
        """Raise UserError that names a row, where a feature cannot be of such columns."""
        types = {field.name: field.type for field in rows.schema}
        for each in features:
            columns = [name for name in self._columns_of[each.name] if name in types]
            odd = [name for name in columns if not is_plain(types[name])] or columns
            there = (pc.index(rows.column(name).is_valid(), True).as_py() for name in odd)
            first = min((row for row in there if row >= 0), default=None)
            source = where.source if first is None else where.row(first)
            value_of(each, types, source, f"feature {each.name!r}")

    def _few(self, rows: Sequence[Mapping[str, Any]], feed: Feed) -> dict[str, Floats]:
        """The outputs of a few rows; Arrow takes what is not simple."""
        inputs: dict[str, NDArray[Any]] = {}
        for name, column in self._plain.items():
            try:
                array = feed.quick(name, [row[column] for row in rows])
            except (KeyError, TypeError, IndexError):
                continue  # it is refused, or missing, as everywhere
            if array is not None:
                inputs[name] = array
        rest = [each for each in self.inputs if each.name not in inputs]
        if rest:
            batch = given.of_dicts(rows, self._needed(rest), self.optional, self._padded_columns)
            where = Where(given.SOURCE, np.arange(len(rows)))
            inputs |= feed.of(self._features(batch, where, rest), where)
        return _ran(self._session, self.outputs, inputs)


def _by_onnx(of: type[Scorer], head: ModelHead, folder: Path, threads: int) -> Scorer:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"the engine onnx needs onnxruntime, which cannot be loaded ({error}); pip install "
            "onnxruntime, or use the engine torch"
        ) from error
    options = onnxruntime.SessionOptions()
    # Else it takes all cores of the machine, whatever part of them this process has.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with reading(folder / ONNX):
        session = onnxruntime.InferenceSession(
            str(folder / ONNX), options, providers=["CPUExecutionProvider"]
        )
    encoder = read_encoder(folder, head)
    feed = Feed(encoder)
    outputs = [output.name for output in head.outputs]

    def run(fields: pa.RecordBatch, where: Where) -> Mapping[str, Floats]:
        return _ran(session, outputs, feed.of(fields, where))

    return of(head, "onnx", run, encoder.padded, session, feed)


def _ran(
    session: Any, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]
) -> dict[str, Floats]:
    return dict(zip(outputs, session.run(list(outputs), dict(inputs)), strict=True))


def _by_torch(of: type[Scorer], head: ModelHead, folder: Path, threads: int) -> Scorer:
    try:
        import torch

        from fsmd.saved.model import load_model
        from fsmd.saved.outputs import output_values
    except ImportError as error:
        raise UserError(
            f"the engine torch needs all of fsmd, of which a part cannot be loaded ({error}); "
            "pip install fsmd, or use the engine onnx"
        ) from error
    model = load_model(folder)

    def run(fields: pa.RecordBatch, where: Where) -> Mapping[str, Floats]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            ids_NC, dense_ND = model.encoder.transform(fields, where)
            return output_values(model.trained, head.score, ids_NC, dense_ND)
        finally:
            torch.set_num_threads(before)

    return of(head, "torch", run, model.encoder.padded)


def _check_example(scorer: Scorer, example: Example, folder: Path) -> None:
    """Raise UserError unless the example has the scores that the folder says."""
    found, tolerances = scorer.score(list(example.rows)), scorer.head.tolerances
    if not found or {*scorer.outputs} != set.intersection(*map(set, example.expected)):
        raise UserError(f"{folder}: its example must have rows, and each output of every row")
    for row, (got, expected) in enumerate(zip(found, example.expected, strict=True)):
        for name, value in expected.items():
            if not abs(got[name] - value) <= tolerances[name] * max(1.0, abs(value)):
                raise UserError(
                    f"{folder}: {scorer.engine} gives {name} = {got[name]:.8g} of row {row} (from "
                    f"0) of the example, and the folder says {value:.8g}; use another version of "
                    "the library, or export the model again"
                )
