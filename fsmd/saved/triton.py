"""config.pbtxt: what Triton's ONNX backend must know to serve a model's folder as it is."""

import re

from fsmd.saved.head import ModelHead


def triton_config(head: ModelHead) -> str:
    """Strings and 64-bit numbers in, 32-bit numbers out, any number of rows at once."""
    inputs = (
        (each.name, "TYPE_FP64" if each.kind == "number" else "TYPE_STRING")
        for each in head.inputs
    )
    outputs = ((each.name, "TYPE_FP32") for each in head.outputs)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", head.name).strip("-.") or "model"
    return "\n".join(
        (
            f'name: "{name}"',
            'backend: "onnxruntime"',
            'default_model_filename: "model.onnx"',
            "max_batch_size: 0",
            *(_tensor("input", *each) for each in inputs),
            *(_tensor("output", *each) for each in outputs),
            "",
        )
    )


def _tensor(what: str, name: str, kind: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{what} [ {{ name: "{quoted}" data_type: {kind} dims: [ -1 ] }} ]'
