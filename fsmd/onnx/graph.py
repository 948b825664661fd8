"""A graph of ONNX that grows node by node; values are known by their names."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from fsmd.errors import UserError

OPSET = 20
"""The first that splits texts."""
ML_OPSET = 4
IR_VERSION = 9
"""Of that opset, so that older runtimes read it too."""
LARGEST = 2**31 - 2**24
"""Bytes of what the nodes hold: with all else a file stays below 2 GiB, as protobuf wants."""

_ML, _MICROSOFT = "ai.onnx.ml", "com.microsoft"
_SMALL = 4096  # bytes of a constant that is written once, however often it is needed
_BYTES_OF_WORD = 7  # beside its letters: lengths and the id
_BYTES_OF_NODE = 48


class _Value(NamedTuple):
    name: str
    kind: int
    shape: tuple[str | int, ...]


class Graph:
    """Nodes in order, constants, inputs and outputs; names of the latter two are kept as given."""

    def __init__(self, reserved: Collection[str]) -> None:
        self._used = Counter(reserved)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._inputs: list[_Value] = []
        self._outputs: list[_Value] = []
        self._bytes = 0

    def input(self, name: str, kind: int) -> str:
        """One value a row; `kind` is an `onnx.TensorProto` type."""
        self._inputs.append(_Value(name, kind, ("rows",)))
        return name

    def output(self, name: str, value: str) -> None:
        """Give a float32 value, one a row, by that name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_Value(name, onnx.TensorProto.FLOAT, ("rows",)))

    def constant(self, value: ArrayLike, kind: Any, name: str = "constant") -> str:
        """An array of a numpy type; UserError where a file cannot hold it beside the others."""
        array = np.ascontiguousarray(value, kind).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes() if array.nbytes <= _SMALL else b"")
        if key[2] and key in self._known:
            return self._known[key]
        self._weigh(array.nbytes, f"the array {name!r} of shape {array.shape}")
        made = self._known[key] = self._unique(name)
        self._constants.append(numpy_helper.from_array(array, made))
        return made

    def text(self, value: str) -> str:
        """A constant text."""
        made = self._unique("text")
        # `make_tensor` would cut U+0000 off.
        raw = [value.encode()]
        kind = onnx.TensorProto.STRING
        tensor = onnx.TensorProto(name=made, data_type=kind, dims=[1], string_data=raw)
        self._constants.append(tensor)
        return made

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The one output of a node."""
        return self._add(op, inputs, 1, "", attributes)[0]

    def several(self, op: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """All outputs of a node."""
        return self._add(op, inputs, count, "", attributes)

    def numbers_of_words(self, text: str, words: dict[str, int], other: int, name: str) -> str:
        """The number of each text, int64; UserError where there are too many words."""
        letters = sum(len(word.encode()) for word in words)
        self._weigh(letters + _BYTES_OF_WORD * len(words), f"the {len(words):,} words of {name!r}")
        attributes = {
            "keys_strings": list(words),
            "values_int64s": list(words.values()),
            "default_int64": other,
        }
        return self._add("LabelEncoder", (text,), 1, _ML, attributes)[0]

    def hashes(self, text: str) -> str:
        """MurmurHash3 of the UTF-8 of each text, int64."""
        (hash_,) = self._add("MurmurHash3", (text,), 1, _MICROSOFT, {"seed": 0, "positive": 1})
        return self.cast(hash_, onnx.TensorProto.INT64)

    def trees(self, number_BF: str, attributes: Mapping[str, Any], nodes: int) -> str:
        """Sums of the leaves of trees, B x targets float32; see `fsmd.onnx.trees`."""
        self._weigh(_BYTES_OF_NODE * nodes, f"trees of {nodes:,} nodes")
        return self._add("TreeEnsembleRegressor", (number_BF,), 1, _ML, attributes)[0]

    def cast(self, value: str, kind: int) -> str:
        """The value as another type."""
        return self.add("Cast", value, to=kind)

    def concat(self, values: Sequence[str], axis: int) -> str:
        """Several side by side; of one, itself."""
        return values[0] if len(values) == 1 else self.add("Concat", *values, axis=axis)

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """In a fixed shape but for one -1."""
        return self.add("Reshape", value, self.constant(shape, np.int64))

    def model(self, name: str) -> onnx.ModelProto:
        """The whole, which depends on the calls above alone."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(*each) for each in self._inputs],
            [helper.make_tensor_value_info(*each) for each in self._outputs],
            self._constants,
        )
        versions = (("", OPSET), (_ML, ML_OPSET), (_MICROSOFT, 1))
        used = {node.domain for node in self._nodes}
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(d, v) for d, v in versions if d in {"", *used}],
            ir_version=IR_VERSION,
            producer_name="fsmd",
        )

    def _add(
        self,
        op: str,
        inputs: Sequence[str],
        count: int,
        domain: str,
        attributes: Mapping[str, Any],
    ) -> list[str]:
        made = [self._unique(op) for _ in range(count)]
        self._nodes.append(helper.make_node(op, inputs, made, domain=domain, **attributes))
        return made

    def _unique(self, stem: str) -> str:
        """A name that nothing else has."""
        name = stem
        while name in self._used:
            self._used[stem] += 1
            name = f"{stem}_{self._used[stem]}"
        self._used[name] += 1
        return name

    def _weigh(self, size: int, what: str) -> None:
        self._bytes += size
        if self._bytes > LARGEST:
            raise UserError(
                f"an ONNX file must stay below 2 GiB; with {what} it would have "
                f"{self._bytes / 2**30:.1f} GiB or more; score with the weights in "
                "model.safetensors instead, which may be of any size"
            )
