"""A trained model as a folder: weights, encoder and ONNX, what it is, and how to check it."""

from fsmd.saved.head import (
    Example,
    ModelHead,
    ModelOutput,
    check,
    outputs_of,
    read_example,
    read_head,
)

__all__ = [
    "Example",
    "ModelHead",
    "ModelOutput",
    "check",
    "outputs_of",
    "read_example",
    "read_head",
]
