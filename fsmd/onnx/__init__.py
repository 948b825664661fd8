"""A trained model as one file of ONNX that takes raw rows, vocabularies inside.

Inputs, one for each feature in the encoder's order and named as it is, one value a row:

========  =========================================================================================
category  text; "" is missing
tags      text, the members with the separator of `Encoder.inputs` (or U+001F) between them; "" is
          missing, a separator alone has no member
number    double; NaN is missing
========  =========================================================================================

Where the text "" is a word of the column, U+0000 is missing. Elsewhere U+0000 stands for the text
"". Outputs are as `fsmd.saved.head.outputs_of` says: float32, one value a row.

The words of a file take about their letters and 7 bytes each: a million ids of 11 letters make
20 MiB, load in half a second and take 260 MiB of memory. A file holds 2 GiB at most, of words and
tables together; what is larger is refused.

Every node is written here by hand: nothing is traced, and equal models give equal bytes.
"""

from fsmd.baselines import Baseline
from fsmd.data.encoder import Encoder
from fsmd.errors import UserError
from fsmd.onnx.baselines import add_baseline
from fsmd.onnx.encoder import add_encoder
from fsmd.onnx.graph import Graph
from fsmd.onnx.network import add_network
from fsmd.onnx.outputs import add_outputs
from fsmd.saved.head import outputs_of
from fsmd.trained import TrainedModel

__all__ = ["model_bytes"]


def model_bytes(encoder: Encoder, trained: TrainedModel, score: str | None) -> bytes:
    """The file of an encoder and the model that was trained on what it encodes.

    score: the formula of the combined score (`fsmd.score`), if there is one. Raises UserError for
    a feature that has the name of an output, and for what is too large for one file.
    """
    schema, config = trained.schema, trained.config
    outputs = [output.name for output in outputs_of(schema.tasks, score)]
    features = [v.name for v in encoder.vocabularies] + [s.name for s in encoder.scales]
    for name in features:
        if name in outputs:
            raise UserError(
                f"no feature may have the name of an output ({', '.join(outputs)}) in ONNX; got "
                f"{name!r}: rename the feature"
            )
    graph = Graph({*features, *outputs})
    rows = add_encoder(graph, encoder)
    if isinstance(config, Baseline):
        logit_BK, chained = add_baseline(graph, rows, schema, trained.tensors), False
    else:
        logit_BK = add_network(graph, rows, config, schema, trained.tensors)
        chained = config.chain
    add_outputs(graph, logit_BK, schema, chained, score)
    content: bytes = graph.model(encoder.name).SerializeToString(deterministic=True)
    return content
