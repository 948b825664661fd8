"""The load that examples/serve.py carries, measured over loopback; the last line is JSON.

    python -m tests.bench_serving [MODEL] [--seconds 3]

MODEL is the folder of an exported model; without one, an untrained logistic regression of the
made-up log. The clients share the machine's processors with the server: on two cores, both have
about one. A client sends its next request when it has the answer to the last one.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SERVE = Path(__file__).parents[1] / "examples" / "serve.py"
CLIENTS = (1, 8, 32)
ROWS = (1, 100)


async def client(port: int, request: bytes, until: float) -> list[float]:
    """Seconds of each request over one connection that is kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    while (start := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        seconds.append(time.perf_counter() - start)
    writer.close()
    return seconds


async def load(port: int, request: bytes, clients: int, seconds: float) -> list[float]:
    until = time.perf_counter() + seconds
    of_each = await asyncio.gather(*(client(port, request, until) for _ in range(clients)))
    return [each for of_one in of_each for each in of_one]


def processor_seconds(pid: int) -> float:
    """That a process has taken, of all its threads; what others of the machine do is not in it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # a system without it
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(
    server: tuple[int, int], row: dict[str, Any], *, clients: int, rows: int, seconds: float
) -> Any:
    """server: its port and process."""
    port, pid = server
    body = json.dumps({"rows": [row] * rows}).encode()
    request = (
        b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    asyncio.run(load(port, request, clients, seconds / 4))  # to warm up
    start, before = time.perf_counter(), processor_seconds(pid)
    taken = asyncio.run(load(port, request, clients, seconds))
    wall, spent = time.perf_counter() - start, processor_seconds(pid) - before
    p50, p99 = np.quantile(taken, (0.5, 0.99)) * 1000
    return {
        "clients": clients,
        "rows_a_request": rows,
        "requests": len(taken),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "rows_per_second": round(len(taken) * rows / wall),
        "server_ms_a_request": round(spent / len(taken) * 1000, 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("model", nargs="?", type=Path)
    p.add_argument("--seconds", type=float, default=3.0, help="for each number of clients")
    options = p.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or made(Path(scratch) / "made_up")
        row = json.loads((folder / "example.json").read_text("utf-8"))["rows"][0]
        command = [sys.executable, str(SERVE), str(folder), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline().rpartition(":")[2])
            print(
                "clients  rows a request    p50 ms    p99 ms  rows per second  server ms a request"
            )
            found = []
            for rows in ROWS:
                for clients in CLIENTS:
                    each = measured(
                        (port, server.pid),
                        row,
                        clients=clients,
                        rows=rows,
                        seconds=options.seconds,
                    )
                    found.append(each)
                    print(
                        f"{clients:>7}{rows:>16}{each['p50_ms']:>10.2f}{each['p99_ms']:>10.2f}"
                        f"{each['rows_per_second']:>17,}{each['server_ms_a_request']:>21.2f}",
                        flush=True,
                    )
            server.terminate()
    facts = {"columns": len(row), "processors": len(os.sched_getaffinity(0)), "loads": found}
    print(json.dumps(facts))


def made(folder: Path) -> Path:
    """Imports what a measurement has no need of."""
    from fsmd.saved.model import save_model
    from tests.made_up.model_folders import untrained

    save_model(untrained("planted:rows=20000"), folder)
    return folder


if __name__ == "__main__":
    main()
