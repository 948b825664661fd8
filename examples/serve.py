"""A small HTTP scorer of an exported model: python examples/serve.py model/

It speaks the Open Inference Protocol, version 2 (GET /v2, /v2/health/live, /v2/health/ready,
/v2/models/NAME, /v2/models/NAME/ready; POST /v2/models/NAME/infer), whose inputs are those of
model.onnx, and takes raw rows: POST /score {"rows": [{"user_id": 7, ...}]}. A mistake is answered
by {"error": "..."} in one line, which names the row (from 0) and the column.

It needs fsmd without its dependencies, the model's requirements.txt, starlette and uvicorn; copy
this file and change it as you like.
"""

import argparse
import asyncio
import json
import math
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fsmd import Scorer, UserError

VERSION = "1"
"""Of the one model that is served; a new one is another folder and a new process."""
NUMBERS = ("FP64", "FP32", "INT64", "INT32")
"""Data types that an input of numbers may come in."""
BODIES = 16
"""Of the greatest length, that are held in memory at once."""
UNREAD = (408, 413, 503)
"""Statuses after which the rest of the body is not read: the connection ends."""
ERROR_LENGTH = 500
"""Characters of an error's line, which may tell what a client sent."""

Array = NDArray[Any]


class _Answer(JSONResponse):
    """In ASCII: half a surrogate pair that a client sent has no other form."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


@dataclass(frozen=True)
class Service:
    """A model, the threads that score by it, and how much one request may ask for."""

    name: str
    scorer: Scorer
    threads: ThreadPoolExecutor
    max_rows: int
    max_bytes: int
    patience: float = 30.0
    """Seconds that a body may take to come."""
    held: Counter[str] = field(default_factory=Counter)
    """`bytes` of the bodies that come, wait, or are worked on."""

    def score(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /score: raw rows in, a row of outputs for each."""
        _known(body, ("rows",), "the body")
        rows = body.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            _refuse("the body must have `rows`, a list of objects, each a column's name -> value")
        self._check_rows(len(rows))
        return {
            "rows": [
                dict(zip(row, _finite(list(row.values())), strict=True))
                for row in self.scorer.score(rows)
            ]
        }

    def infer(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v2/models/NAME/infer: the inputs of model.onnx in, its outputs out."""
        _known(body, ("id", "parameters", "inputs", "outputs"), "the body")
        if not isinstance(body.get("id", ""), str):
            _refuse("`id` must be a text")
        names = _output_names(body.get("outputs"), self.scorer)
        found = self.scorer.run(self._inputs(body.get("inputs")))
        answer: dict[str, Any] = {"model_name": self.name, "model_version": VERSION}
        if "id" in body:
            answer["id"] = body["id"]
        answer["outputs"] = [
            {
                "name": name,
                "datatype": "FP32",
                "shape": [len(found[name])],
                "data": _finite(found[name].tolist()),
            }
            for name in names
        ]
        return answer

    async def model(self, request: Request) -> _Answer:
        """GET /v2/models/NAME: what goes in and what comes out."""
        self._check_model(request)
        inputs = [
            {"name": each.name, "datatype": _datatype(each.kind), "shape": [-1]}
            for each in self.scorer.inputs
        ]
        outputs = [
            {"name": name, "datatype": "FP32", "shape": [-1]} for name in self.scorer.outputs
        ]
        return _Answer(
            {
                "name": self.name,
                "versions": [VERSION],
                "platform": "onnxruntime_onnx",
                "inputs": inputs,
                "outputs": outputs,
            }
        )

    async def model_ready(self, request: Request) -> _Answer:
        """GET /v2/models/NAME/ready."""
        self._check_model(request)
        return _Answer({"name": self.name, "ready": True})

    def _check_model(self, request: Request) -> None:
        name, version = request.path_params["name"], request.path_params.get("version", VERSION)
        if (name, version) != (self.name, VERSION):
            _refuse(
                f"no model {name!r}, version {version}; there is {self.name!r}, version {VERSION}",
                404,
            )

    def _check_rows(self, rows: int) -> None:
        if rows > self.max_rows:
            _refuse(f"a request has {self.max_rows:,} rows at most; got {rows:,}", 413)

    async def answer(
        self, request: Request, work: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Response:
        """Read, score and write in a thread, so that whoever asks for health does not wait."""
        if request.path_params:
            self._check_model(request)
        if "inference-header-content-length" in request.headers:
            _refuse("binary tensors are not read here; send `data` as JSON")
        content = bytearray()

        def answered() -> Response:
            return _Answer(work(_parsed(content)))

        try:
            async with asyncio.timeout(self.patience):
                await self._read(request, content)
            return await asyncio.get_running_loop().run_in_executor(self.threads, answered)
        except UserError as error:
            _refuse(str(error))
        except TimeoutError:
            _refuse(f"the body must come within {self.patience} seconds", 408)
        except ClientDisconnect:
            _refuse("the client is gone before its body came")
        finally:
            self.held["bytes"] -= len(content)

    async def _read(self, request: Request, content: bytearray) -> None:
        """Read the body, and no more of it, or of all bodies at once, than may be."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.max_bytes:
            _refuse(f"a body has {self.max_bytes:,} bytes at most; got {int(declared):,}", 413)
        async for piece in request.stream():
            content += piece
            self.held["bytes"] += len(piece)
            if len(content) > self.max_bytes:
                _refuse(f"a body has {self.max_bytes:,} bytes at most; got more", 413)
            if self.held["bytes"] > BODIES * self.max_bytes:
                _refuse("too many long bodies are here at once; send it again later", 503)

    def _inputs(self, tensors: Any) -> dict[str, Array]:
        """The tensors of a request by name, all there are and each of one length."""
        if not isinstance(tensors, list) or not all(isinstance(each, dict) for each in tensors):
            _refuse("`inputs` must be a list of objects with name, shape, datatype and data")
        kinds = {each.name: each.kind for each in self.scorer.inputs}
        given: dict[str, Array] = {}
        for tensor in tensors:
            name = str(tensor.get("name"))
            if name not in kinds or name in given:
                problem = "is there twice" if name in given else "is none of the model's"
                _refuse(f"input {name!r} {problem}; the model's are {', '.join(kinds)}")
            _known(tensor, ("name", "shape", "datatype", "data", "parameters"), f"input {name!r}")
            given[name] = _tensor(tensor, name, kinds[name], self._check_rows)
        missing = [name for name in kinds if name not in given]
        if missing:
            _refuse(f"input {', '.join(map(repr, missing))} is missing")
        lengths = {name: len(array) for name, array in given.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            _refuse(f"all inputs must have as many rows; got {told}")
        return given


def _refuse(text: str, status: int = 400) -> NoReturn:
    raise HTTPException(status, text)


def _parsed(content: bytes | bytearray) -> dict[str, Any]:
    """The JSON object that a body is."""
    try:
        body = json.loads(content, parse_constant=_no_number, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        _refuse(f"the body is no JSON: {error}")
    if not isinstance(body, dict):
        _refuse(f"the body must be a JSON object; got {type(body).__name__}")
    return body


def _finite(values: list[float]) -> list[float | None]:
    """As JSON has them: a score that is no number, as of a quotient by 0, is null."""
    return [value if math.isfinite(value) else None for value in values]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON; null stands for a missing value")


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice!r} is there twice")
    return named


def _known(values: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    unknown = [name for name in values if name not in names]
    if unknown:
        _refuse(f"{what} has no {unknown[0]!r}; it has {', '.join(names)}")


def _datatype(kind: str) -> str:
    return "FP64" if kind == "number" else "BYTES"


def _output_names(asked: Any, scorer: Scorer) -> list[str]:
    known = list(scorer.outputs)
    if asked is None or asked == []:
        return known
    if not isinstance(asked, list) or not all(isinstance(each, dict) for each in asked):
        _refuse("`outputs` must be a list of objects with a name")
    names = [each.get("name") for each in asked]
    for at, name in enumerate(names):
        if name not in known:
            _refuse(f"no output {name!r}; there are {', '.join(known)}")
        if name in names[:at]:
            _refuse(f"output {name!r} is there twice")
    return names


def _tensor(
    tensor: Mapping[str, Any], name: str, kind: str, check_rows: Callable[[int], None]
) -> Array:
    """The values of one input: texts of a category or of tags, else numbers, null: missing."""
    data, shape, datatype = tensor.get("data"), tensor.get("shape"), tensor.get("datatype")
    known = NUMBERS if kind == "number" else ("BYTES",)
    if datatype not in known:
        _refuse(f"the datatype of input {name!r} must be {' or '.join(known)}; got {datatype!r}")
    if not isinstance(data, list):
        _refuse(f"the data of input {name!r} must be a list")
    check_rows(len(data))
    if shape != [len(data)]:
        _refuse(f"the shape of input {name!r} must be [{len(data)}], as its data is; got {shape}")
    number = kind == "number"
    for row, value in enumerate(data):
        fits = _is_number(value) if number else isinstance(value, str)
        if not fits:
            wanted = "a number or null" if number else "a text"
            _refuse(f"row {row}, input {name!r}: {wanted} is needed; got {value!r:.60}")
    if number:
        return np.array([np.nan if value is None else value for value in data], np.float64)
    texts = np.empty(len(data), object)
    texts[:] = data
    return texts


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _error(_: Request, error: Exception) -> _Answer:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = error.detail if isinstance(error, HTTPException) else "the server failed; see its log"
    if len(text) > ERROR_LENGTH:  # by what a client sent
        text = f"{text[:ERROR_LENGTH]}..."
    headers = {"connection": "close"} if status in UNREAD else {}
    if isinstance(error, HTTPException):
        headers |= dict(error.headers or {})
    return _Answer({"error": text}, status, headers=headers)


def application(service: Service, on_start: Callable[[], None] = lambda: None) -> Starlette:
    """All that is answered."""

    async def server(_: Request) -> _Answer:
        return _Answer({"name": "fsmd", "version": VERSION, "extensions": []})

    async def health(_: Request, what: str) -> _Answer:
        return _Answer({what: True})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        on_start()
        yield

    model = "/v2/models/{name}"
    routes = [
        Route("/score", partial(service.answer, work=service.score), methods=["POST"]),
        Route("/v2", server),
        Route("/v2/health/live", partial(health, what="live")),
        Route("/v2/health/ready", partial(health, what="ready")),
        *(
            Route(f"{start}{end}", handler, methods=[method])
            for start in (model, f"{model}/versions/{{version}}")
            for end, handler, method in (
                ("", service.model, "GET"),
                ("/ready", service.model_ready, "GET"),
                ("/infer", partial(service.answer, work=service.infer), "POST"),
            )
        ),
    ]
    handlers = {HTTPException: _error, Exception: _error}
    served = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    served.router.redirect_slashes = False
    return served


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; what is under way is answered first."""
    options = _options(arguments)
    try:
        scorer = Scorer.load(options.model)
        listener = socket.create_server((options.host, options.port), backlog=1024)
        # Connections take it over; without it an answer waits 40 ms for the client's word.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    host, port = listener.getsockname()[:2]
    name = options.name or options.model.resolve().name
    threads = ThreadPoolExecutor(options.threads, "score")
    limits = options.max_rows, options.max_bytes, options.patience
    service = Service(name, scorer, threads, *limits)
    where = f"http://{host}:{port}"
    application_ = application(
        service, on_start=lambda: print(f"{name} is served at {where}", flush=True)
    )
    config = uvicorn.Config(
        application_,
        http="h11",  # bounds the headers, and hands on any method
        log_level="warning",
        timeout_graceful_shutdown=options.patience,
    )
    # Else the thread that answers waits up to 5 ms each time for one that scores.
    sys.setswitchinterval(0.0005)
    # The second Ctrl-C ends it at once; uvicorn raises the signal again when it has ended.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        threads.shutdown(cancel_futures=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Serve an exported model over HTTP.")
    p.add_argument("model", type=Path, help="the folder of an exported model")
    p.add_argument("--name", help="of the model in URLs (default: the folder's)")
    p.add_argument("--host", default="127.0.0.1", help="default: %(default)s, this machine alone")
    p.add_argument("--port", type=int, default=8000, help="0: a free one (default: %(default)s)")
    p.add_argument(
        "--threads",
        type=_positive,
        default=2,
        help="requests scored at once, on one processor each (default: %(default)s)",
    )
    p.add_argument(
        "--max-rows",
        type=_positive,
        default=10_000,
        help="of one request (default: %(default)s)",
    )
    p.add_argument(
        "--max-bytes",
        type=_positive,
        default=16 * 2**20,
        help="of one request's body (default: %(default)s)",
    )
    p.add_argument(
        "--patience",
        type=_positive,
        default=30,
        help="seconds that a body may take to come, and that requests under way have when it is "
        "to end (default: %(default)s)",
    )
    return p.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0; got {text!r}")
    return number


if __name__ == "__main__":
    sys.exit(main())
