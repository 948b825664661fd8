"""The example scorer as its clients meet it: a real process, spoken to over HTTP."""

import asyncio
import http.client
import importlib.util
import json
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fsmd.saved.model import save_model
from fsmd.scorer import Scorer
from tests.made_up.model_folders import untrained

SERVE = Path(__file__).parents[1] / "examples" / "serve.py"
MODEL = "/v2/models/made_up"
MOST_ROWS, MOST_BYTES = 300, 200_000


@dataclass(frozen=True)
class Server:
    """A running one."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    def ask(
        self, method: str, path: str, body: Any = None, headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[int, Any]:
        """Status and JSON of the answer; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, dict(headers))
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    def refused(self, path: str, body: Any, **headers: str) -> tuple[int, str]:
        """Status and the error's line."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        status, told = self.ask("POST", path, body, named)
        assert told.keys() == {"error"}
        assert "\n" not in told["error"]
        return status, told["error"]


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, str(SERVE), str(folder), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # it comes when requests are answered
        found = re.fullmatch(r"made_up is served at http://127\.0\.0\.1:(\d+)\n", line)
        assert found, (line, process.communicate())
        yield Server(process, int(found[1]), folder)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "made_up"
    save_model(untrained("planted:rows=2000", score="click * long_view ** 0.5"), folder)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    limits = ("--max-rows", str(MOST_ROWS), "--max-bytes", str(MOST_BYTES))
    with served(folder, *limits) as server:
        yield server


@pytest.fixture(scope="module")
def row(folder: Path) -> dict[str, Any]:
    """A raw one, that the model's folder has."""
    row: dict[str, Any] = json.loads((folder / "example.json").read_text())["rows"][0]
    return row


def tensors(server: Server, count: int, **changed: Any) -> list[dict[str, Any]]:
    """As many rows as inputs of the protocol, all alike."""
    told = server.ask("GET", MODEL)[1]["inputs"]
    value = {"BYTES": "1", "FP64": 1.5}
    return [
        {
            "name": each["name"],
            "shape": [count],
            "datatype": each["datatype"],
            "data": [value[each["datatype"]]] * count,
            **changed,
        }
        for each in told
    ]


def test_raw_rows_get_the_scores_that_the_folder_says(
    server: Server, folder: Path, row: dict[str, Any]
) -> None:
    """Also with values missing, unseen, or columns that nobody asked for."""
    rows = [row, {**row, "user_id": None, "more": [1]}, {**row, "video_id": "unseen"}]
    status, told = server.ask("POST", "/score", {"rows": rows})
    assert (status, told) == (200, {"rows": Scorer.load(folder).score(rows)})
    expected = json.loads((folder / "example.json").read_text())["expected"][0]
    assert told["rows"][0] == pytest.approx(expected, abs=1e-6)
    assert server.ask("POST", "/score", {"rows": []}) == (200, {"rows": []})


def test_a_client_of_the_protocol_learns_what_to_send_and_gets_what_onnx_gives(
    server: Server, folder: Path
) -> None:
    assert server.ask("GET", "/v2")[1].keys() == {"name", "version", "extensions"}
    assert server.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert server.ask("GET", "/v2/health/ready") == (200, {"ready": True})
    assert server.ask("GET", f"{MODEL}/ready") == (200, {"name": "made_up", "ready": True})
    about = server.ask("GET", f"{MODEL}/versions/1")[1]
    scorer = Scorer.load(folder)
    assert [each["name"] for each in about["outputs"]] == list(scorer.outputs)
    for count in (0, 1, 3):
        body = {"id": "7", "inputs": tensors(server, count)}
        status, told = server.ask("POST", f"{MODEL}/infer", body)
        assert (status, told["model_name"], told["id"]) == (200, "made_up", "7")
        assert [each["shape"] for each in told["outputs"]] == [[count]] * len(scorer.outputs)
    raw = {each["name"]: each["data"][0] for each in tensors(server, 1)}
    expected = scorer.score([raw] * 3)
    for output in told["outputs"]:
        values = [each[output["name"]] for each in expected]
        assert output["data"] == pytest.approx(values, abs=1e-6)
        assert output["datatype"] == "FP32"
    one = {"inputs": tensors(server, 1), "outputs": [{"name": "score"}]}
    told = server.ask("POST", f"{MODEL}/infer", one)[1]
    assert [each["name"] for each in told["outputs"]] == ["score"]


NOT_JSON = "the body is no JSON"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", NOT_JSON),
        (b'{"rows": [', NOT_JSON),
        (b"\xff\xfe\x00", NOT_JSON),
        (b'{"rows": [{"duration": NaN}]}', "NaN is no number of JSON; null stands for"),
        (b'{"rows": [], "rows": []}', "'rows' is there twice"),
        (b"[" * 50_000, NOT_JSON),
        ([], "the body must be a JSON object; got list"),
        ({}, "the body must have `rows`"),
        ({"rows": {}}, "the body must have `rows`"),
        ({"rows": [1]}, "the body must have `rows`"),
        ({"rows": [], "row": []}, "the body has no 'row'; it has rows"),
        ({"rows": [], "\ud800": []}, "the body has no '\\ud800'; it has rows"),
        ({"a" * 5000: []}, f"the body has no '{'a' * 400}"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_one_line(
    server: Server, body: Any, told: str
) -> None:
    status, error = server.refused("/score", body)
    assert status == 400
    assert told in error
    assert len(error) < 600


def test_a_name_that_is_twice_among_many_is_found_at_once(server: Server) -> None:
    names = [f'"{n}":0' for n in range(18_000)]
    body = ",".join([*names, names[-1]])
    began = time.perf_counter()
    status, error = server.refused("/score", f'{{"rows": [{{{body}}}]}}'.encode())
    assert (status, "'17999' is there twice" in error) == (400, True)
    assert time.perf_counter() - began < 1  # took many seconds where each was counted


def test_a_mistake_in_a_row_is_told_with_row_and_column(
    server: Server, row: dict[str, Any]
) -> None:
    for column, value in (("duration", "long"), ("user_id", {"a": 1})):
        status, error = server.refused("/score", {"rows": [row, {**row, column: value}]})
        assert status == 400
        assert column in error
        assert "row 1" in error
    without = {name: value for name, value in row.items() if name != "user_id"}
    status, error = server.refused("/score", {"rows": [without]})
    assert (status, "user_id" in error) == (400, True)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"datatype": "FP16"}, "the datatype of input 'user_id' must be BYTES; got 'FP16'"),
        ({"shape": [1, 1]}, "the shape of input 'user_id' must be [1], as its data is"),
        ({"shape": None}, "the shape of input 'user_id' must be [1]"),
        ({"shape": "\ud800"}, "the shape of input 'user_id' must be [1]"),
        ({"data": "a"}, "the data of input 'user_id' must be a list"),
        ({"data": [None]}, "row 0, input 'user_id': a text is needed; got None"),
        ({"data": ["\ud800"]}, "a text must be UTF-8; got '\\ud800'"),
        ({"name": "user"}, "input 'user' is none of the model's; the model's are user_id"),
        ({"name": "age_range"}, "input 'age_range' is there twice"),
        ({"values": []}, "input 'user_id' has no 'values'"),
        ({"name": []}, "is none of the model's"),
        ({"shape": [2], "data": ["1", "2"]}, "all inputs must have as many rows; got user_id 2"),
    ],
)
def test_a_mistake_in_an_input_of_the_protocol_is_told_with_its_name(
    server: Server, changed: dict[str, Any], told: str
) -> None:
    inputs = tensors(server, 1)
    inputs[0] = {**inputs[0], **changed}
    status, error = server.refused(f"{MODEL}/infer", {"inputs": inputs})
    assert status == 400
    assert told in error


def test_what_is_not_there_is_404_and_another_method_405(server: Server) -> None:
    for path in ("/v2/models/other", f"{MODEL}/versions/2", f"{MODEL}/versions/2/ready"):
        status, told = server.ask("GET", path)
        assert (status, "there is 'made_up', version 1" in told["error"]) == (404, True)
    status, error = server.refused("/v2/models/other/infer", {"inputs": []})
    assert (status, "no model 'other'" in error) == (404, True)
    assert server.ask("GET", "/none") == (404, {"error": "Not Found"})
    assert server.ask("GET", "/score") == (405, {"error": "Method Not Allowed"})
    status, error = server.refused(f"{MODEL}/infer", {"inputs": []})
    assert (status, "'user_id', 'age_range'" in error) == (400, True)
    body = {"inputs": tensors(server, 1), "outputs": [{"name": "P(like)"}]}
    assert "no output 'P(like)'; there are P(click)" in server.refused(f"{MODEL}/infer", body)[1]
    body["outputs"] = [{"name": "score"}] * 2
    assert "'score' is there twice" in server.refused(f"{MODEL}/infer", body)[1]
    assert "`id` must be a text" in server.refused(f"{MODEL}/infer", {"id": []})[1]
    assert server.refused("/score/", {"rows": []}) == (404, "Not Found")
    assert server.ask("FOO", "/score") == (405, {"error": "Method Not Allowed"})
    binary = server.refused(f"{MODEL}/infer", b"{}", inference_header_content_length="2")
    assert (binary[0], "binary tensors" in binary[1]) == (400, True)


def test_too_many_rows_or_bytes_are_413_however_they_come(
    server: Server, row: dict[str, Any]
) -> None:
    status, error = server.refused("/score", {"rows": [{}] * (MOST_ROWS + 1)})
    assert (status, error) == (413, "a request has 300 rows at most; got 301")
    for body in (tensors(server, MOST_ROWS + 1), tensors(server, MOST_ROWS + 1, shape=[1])):
        assert server.refused(f"{MODEL}/infer", {"inputs": body})[0] == 413
    long = b'{"rows": [' + b" " * MOST_BYTES + b"]}"
    assert server.refused("/score", long)[0] == 413
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"POST /score HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = b""
        for _ in range(MOST_BYTES // 2000 + 2):  # more than may be, of a length that is not told
            client.sendall(b"7d0\r\n" + b" " * 2000 + b"\r\n")
        while b"at most" not in answer:
            piece = client.recv(65536)
            assert piece, answer
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert server.ask("POST", "/score", {"rows": [row]})[0] == 200


def test_health_is_answered_while_all_threads_score(server: Server, row: dict[str, Any]) -> None:
    ended = threading.Event()
    statuses: list[int] = []

    def score() -> None:
        while not ended.is_set():
            statuses.append(server.ask("POST", "/score", {"rows": [row] * MOST_ROWS})[0])

    clients = [threading.Thread(target=score) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        answers = [server.ask("GET", "/v2/health/live")[0] for _ in range(20)]
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert answers == [200] * 20
    assert set(statuses) == {200}


def test_the_first_requests_may_come_at_once_and_health_does_not_wait_for_them(
    folder: Path, row: dict[str, Any]
) -> None:
    with served(folder) as server:
        body = json.dumps({"rows": [row] * 4000})
        address = "127.0.0.1", server.port
        clients = [http.client.HTTPConnection(*address, timeout=30) for _ in range(3)]
        for client in clients:
            client.request("POST", "/score", body)
        answers = [server.ask("GET", "/v2/health/live")[0] for _ in range(3)]
        came, _, _ = select.select([client.sock for client in clients], [], [], 0)
        assert answers == [200] * 3
        assert len(came) < 3
        assert [client.getresponse().status for client in clients] == [200] * 3
        for client in clients:
            client.close()


def example() -> Any:
    """The module."""
    spec = importlib.util.spec_from_file_location("serve", SERVE)
    assert spec is not None
    assert spec.loader is not None
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    return serve


@pytest.mark.parametrize(("held", "status"), [(0, 408), (16 * MOST_BYTES, 503)])
def test_a_body_that_does_not_come_in_time_or_finds_no_place_is_refused(
    held: int, status: int
) -> None:
    serve = example()
    service = serve.Service("made_up", None, None, MOST_ROWS, MOST_BYTES, 0.01)
    service.held["bytes"] = held
    pieces = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Any:
        return pieces.pop() if pieces else await asyncio.sleep(60)

    scope = {"type": "http", "path_params": {}, "headers": []}
    with pytest.raises(serve.HTTPException) as caught:
        asyncio.run(service.answer(serve.Request(scope, receive), service.score))
    assert caught.value.status_code == status
    assert service.held["bytes"] == held


def test_a_score_that_is_no_number_is_null() -> None:
    serve = example()
    scorer = SimpleNamespace(
        score=lambda rows: [{"P(click)": 0.5, "score": float("inf")} for _ in rows],
        run=lambda _: {"score": np.array([np.nan, 1.0])},
        inputs=(),
        outputs=("score",),
    )
    service = serve.Service("made_up", scorer, None, MOST_ROWS, MOST_BYTES)
    assert service.score({"rows": [{}]}) == {"rows": [{"P(click)": 0.5, "score": None}]}
    assert service.infer({"inputs": []})["outputs"][0]["data"] == [None, 1.0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_what_is_under_way_is_answered_first(
    folder: Path, row: dict[str, Any], number: signal.Signals
) -> None:
    with served(folder) as server:
        body = json.dumps({"rows": [row] * 2000}).encode()
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        client.putrequest("POST", "/score")
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body[:-1])
        # The server has begun with it when it answers another that came later.
        assert server.ask("GET", "/v2/health/live")[0] == 200
        server.process.send_signal(number)
        client.send(body[-1:])
        answer = client.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["rows"]) == 2000
        client.close()
        assert server.process.wait(20) == 0
        out, err = server.process.communicate()
        assert (out, err) == ("", "")


def test_what_cannot_be_served_is_one_line(folder: Path, tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        run = subprocess.run(
            [sys.executable, str(SERVE), *arguments], capture_output=True, text=True, check=False
        )
        assert run.returncode == 2
        return run.stderr

    assert "is no model" in told(str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in told(str(folder), "--port", str(taken.getsockname()[1]))
    assert "--threads" in told(str(folder), "--threads", "0")
