"""Rows to score, as a program and as requests bring them."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fsmd.saved.head import read_example
from fsmd.saved.model import save_model
from fsmd.scorer import Scorer
from tests.fuzz.changes import EDITS, LEAF_EDITS, VALUES, Edit
from tests.fuzz.folders import changed
from tests.fuzz.rule import asked
from tests.fuzz.target import DATA, Check, Target
from tests.made_up.model_folders import untrained


@contextmanager
def _rows(place: Path) -> Iterator[Check]:
    save_model(untrained(DATA, score="click * long_view"), place / "model")
    scorer = Scorer.load(place / "model")
    names = (*scorer.columns, "unknown", "")

    def check(case: list[list[tuple[int, Any]]]) -> str:
        rows = [{names[i % len(names)]: value for i, value in row} for row in case]
        whole = dict(read_example(place / "model").rows[0])
        rows = [{**whole, **row} if i % 2 else row for i, row in enumerate(rows, 1)]
        return asked(lambda: scorer.score(rows))

    yield check


def _served(folder: Path, threads: ThreadPoolExecutor) -> Any:
    """The example's application, which a server would call."""
    path = Path(__file__).parents[2] / "examples" / "serve.py"
    spec = importlib.util.spec_from_file_location("serve_example", path)
    assert spec
    assert spec.loader
    serve = sys.modules["serve_example"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    return serve.application(serve.Service("made_up", Scorer.load(folder), threads, 50, 20_000))


PATHS = (
    "/score",
    "/v2/models/made_up/infer",
    "/v2/models/other/infer",
    "/v2",
    "/score/",
    "//",
    "/",
)


@contextmanager
def _request(place: Path) -> Iterator[Check]:
    save_model(untrained(DATA), place / "model")
    example = dict(read_example(place / "model").rows[0])
    scorer = Scorer.load(place / "model")
    tensors = [
        {
            "name": each.name,
            "shape": [1],
            "datatype": "FP64" if each.kind == "number" else "BYTES",
            "data": [example.get(each.name, 1.0)],
        }
        for each in scorer.inputs
    ]
    bodies = {PATHS[0]: {"rows": [example, example]}, PATHS[1]: {"id": "1", "inputs": tensors}}
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as threads:
        app = _served(place / "model", threads)

        def check(case: tuple[str, str, list[Edit], list[Any], bool, bool]) -> str:
            path, method, edits, leaves, as_json, lying = case
            body = json.dumps(bodies.get(path, bodies["/score"])).encode()
            body = changed(body, edits, leaves, as_json)
            length = b"7" if lying else str(len(body)).encode()
            status, answer = loop.run_until_complete(_answered(app, path, method, body, length))
            told = json.loads(answer)
            assert status < 500, (status, told)
            if status != 200:
                assert told.keys() == {"error"}
                assert "\n" not in told["error"]
            return "done" if status == 200 else "refused"

        yield check
    loop.close()


async def _answered(
    app: Any, path: str, method: str, body: bytes, length: bytes
) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "http"},
        **{"headers": [(b"content-length", length)]},
        **{"server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2)},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


ROW = st.lists(st.tuples(st.integers(0, 50), VALUES), max_size=6)

ROW = st.lists(st.tuples(st.integers(0, 50), VALUES), max_size=6)
REQUESTS = st.tuples(
    st.sampled_from(PATHS[:2] * 3 + PATHS),
    st.sampled_from(("POST",) * 5 + ("GET", "PUT")),
    EDITS,
    LEAF_EDITS,
    st.booleans(),
    st.sampled_from((False,) * 9 + (True,)),
)
TARGETS: Mapping[str, Target] = {
    "rows": Target(st.lists(ROW, max_size=3), _rows, 60, 15_000),
    "requests": Target(REQUESTS, _request, 60, 15_000),
}
