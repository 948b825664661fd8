"""What is written is whole, what is read is checked: files, caches and downloads."""

import io
import logging
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsmd.data import open_encoded
from fsmd.data.encode import encoded
from fsmd.data.encoded import DamagedDataError, fault_of
from fsmd.data.files import Origin, cache_root, check_cache, find
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.schema import Dataset
from fsmd.data.source import Categorical, Dense, Recipe
from fsmd.errors import UserError, one_line
from fsmd.notices import say
from fsmd.tasks import Task
from fsmd.writing import replacing, sweep, write
from studies.failure import failure_of

RECIPE = Recipe(
    "toy",
    categorical=(Categorical("colour"), Categorical("user")),
    dense=(Dense("price"),),
    tasks=(Task("click"),),
    user="user",
)


def toy(seed: int, rows: int = 40) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "colour": draw.choice(["red", "green"], rows),
            "user": draw.integers(0, 9, rows),
            "price": draw.normal(size=rows),
            "click": np.arange(rows) % 2,
        }
    )


SOURCE = of_tables(RECIPE, {"content": "a"}, lambda: Tables(toy(0), toy(1), toy(2)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def content(data: Dataset) -> tuple[Any, ...]:
    """All that can be another number."""
    arrays: list[Any] = [data.test_unseen, data.test.users]
    for split in (data.train, data.valid, data.test):
        arrays += [split.ids, split.dense, split.labels]
    plain = [(a.shape, str(a.dtype), a.tobytes()) for a in arrays if a is not None]
    return data.schema, data.settings, data.content_hash, data.reachable, plain


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


# Encoded data


def flip(at: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        text = bytearray(path.read_bytes())
        text[int(at * len(text))] ^= 1 << int(at * 1000) % 8
        path.write_bytes(text)

    return damage


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_array(values: Any) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, values)

    return damage


def to_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    **{f"a bit at {at:.3f}": flip(at) for at in np.random.default_rng(0).random(8)},
    "a folder": to_folder,
    "a pipe": to_pipe,
    "another dtype": to_array(np.zeros((40, 2), "float64")),
    "another shape": to_array(np.zeros((1, 7), "int32")),
    "other numbers of its kind": to_array(np.zeros((40, 2), "int32")),
    "other JSON": lambda path: path.write_text("{}"),
    "a broken link": to_broken_link,
}


def damaged(path: Path, damage: str) -> None:
    DAMAGES[damage](path)
    if os.path.lexists(path):  # noticed whatever the clock's ticks
        os.utime(path, ns=(1, 1), follow_symlinks=False)


def test_any_damage_of_any_file_of_an_encoded_data_set_is_found(cache: Path) -> None:
    folder = encoded(SOURCE).path
    files = files_in(folder)
    assert len(files) == 15
    for name, whole in files.items():
        for damage in DAMAGES:
            damaged(folder / name, damage)
            fault = fault_of(folder)
            assert fault is not None, (name, damage)
            assert fault.startswith(name), (name, damage)
            with pytest.raises(DamagedDataError, match=r"no whole .*encodes it anew") as refusal:
                open_encoded(folder)
            assert failure_of(refusal.value).passing  # a training is tried again
            if (folder / name).is_dir():
                (folder / name).rmdir()
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(whole)
            assert fault_of(folder) is None


def test_a_damaged_data_set_is_encoded_anew_with_the_same_numbers_and_one_line(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(SOURCE)
    expected, files = content(data), files_in(data.path)
    for damage, name in zip(DAMAGES, cycle(files), strict=False):
        caplog.clear()
        damaged(data.path / name, damage)
        assert content(encoded(SOURCE)) == expected, (damage, name)
        (line,) = caplog.messages
        assert "\n" not in line
        assert f"{data.path} is not as it was written ({name} " in line
        assert files_in(data.path) == files
    assert {path.suffix for path in data.path.parent.iterdir()} == {"", ".lock"}


@pytest.mark.parametrize("there", ["a file", "an empty folder", "a link to nowhere"])
def test_what_lies_in_an_encoded_data_sets_place_is_replaced(
    cache: Path, there: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(SOURCE)
    expected = content(data)
    shutil.rmtree(data.path)
    if there == "a file":
        data.path.write_text("x")
    elif there == "an empty folder":
        data.path.mkdir()
    else:
        data.path.symlink_to("nowhere")
    assert content(encoded(SOURCE)) == expected
    assert len(caplog.messages) == 1


def test_further_files_in_an_encoded_data_set_change_nothing(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables = Tables(toy(0), toy(1), toy(2))
    source = of_tables(replace(RECIPE, user=None), {}, lambda: tables)
    data = encoded(source)
    for name in ("test_users.npy", "train_weights.npy", "notes.txt"):
        shutil.copy(data.path / "test_unseen.npy", data.path / name)
    again = encoded(source)
    assert content(again) == content(data)
    assert (again.test.users, again.train.weights, caplog.messages) == (None, None, [])


def test_an_encoded_data_set_is_read_once_a_process(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(SOURCE)

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("fsmd.data.encoded.sha256", never)
    assert content(open_encoded(data.path)) == content(data)


def test_an_encoded_data_set_in_a_cache_that_cannot_be_written_is_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(SOURCE)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("written")

    monkeypatch.setattr("fsmd.data.encode.FileLock", refused)
    assert content(encoded(SOURCE)) == content(data)


# Writing


EVERY_STEP = """
import errno, os, signal, sys
from itertools import count
from pathlib import Path
from fsmd.writing import replacing, sweep, write

root, step, left, how = Path(sys.argv[1]), 0, 0, ""
STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir")

def hook(event, values):
    global left
    changes = event in ("os.mkdir", "os.rename") or event == "open" and values[2] & os.O_CREAT
    if how == "kill" and event in STEPS or how == "fail" and changes:
        left -= 1
        if left == 0:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, "No space left on device")

sys.addaudithook(hook)
os.fsync = lambda descriptor: None  # slow, and no power is cut here

def make(path, folder, text):
    if not folder:
        return write(path, text.encode())
    with replacing(path) as fresh:
        fresh.mkdir()
        for name in "abc":
            (fresh / name).write_text(text)

def made(path):
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return [file.read_text() for file in files]

for way in ("kill", "fail"):
    for folder in (False, True):
        path, whole = root / f"{way}-{folder}" / "x", 3 if folder else 1
        for n in count(1):
            make(path, folder, "old")
            pid = os.fork()
            if pid == 0:
                left, how, code = n, way, 0
                try:
                    make(path, folder, "new")
                    code = 0 if left > 0 else 255  # 255: the error was no hindrance
                except OSError as error:
                    code = error.errno
                os._exit(code)
            status = os.waitpid(pid, 0)[1]
            if way == "kill":
                assert made(path) or folder, n
                sweep(path.parent)
            now = made(path)
            assert now in (["old"] * whole, ["new"] * whole), (way, folder, n, now)
            if way == "fail" and os.WEXITSTATUS(status) == errno.ENOSPC:
                assert now == ["old"] * whole
            assert list(path.parent.iterdir()) == [path], (way, folder, n)
            if status == 0:
                break
        print(way, n - 1)
"""


def test_a_kill_or_an_error_at_any_step_of_writing_leaves_the_old_or_the_new(
    tmp_path: Path,
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", EVERY_STEP, str(tmp_path)], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    tried = [int(line.split()[1]) for line in run.stdout.splitlines()]
    assert min(tried) >= 3
    assert sum(tried) >= 40


def test_many_writers_of_one_folder_harm_each_other_not(tmp_path: Path) -> None:
    def rewrite(n: int) -> None:
        for _ in range(10):
            write(tmp_path / f"{n % 2}.txt", b"x" * 1000)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(rewrite, range(6)))
    assert files_in(tmp_path) == {f"{n}.txt": b"x" * 1000 for n in (0, 1)}


def test_a_file_takes_no_folders_place_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x" / "mine").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write(tmp_path / "x", b"y")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of that many bytes; skips where none can be had."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [4096 * n for n in (1, 4, 8, 12)])
def test_a_disk_that_gets_full_while_data_are_encoded_is_one_line_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        monkeypatch.setenv("FSMD_CACHE", str(disk / "c"))
        for refused in (lambda: encoded(SOURCE), check_cache):
            with pytest.raises(UserError, match=r"cannot be written \(No space left on device"):
                refused()
        assert files_in(disk) == {}
        assert not list(disk.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=4M", str(disk)], check=True)
        check_cache()
        assert len(encoded(SOURCE).train) == 40
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert len(encoded(SOURCE).train) == 40
        with pytest.raises(UserError, match=r"cannot be written \(Read-only file system"):
            check_cache()


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit of a file's size here")
def test_files_that_must_not_grow_are_one_line_and_keep_nothing(cache: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    try:
        for limit in (1, 200, 400):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(UserError, match=r"cannot be written \(File too large"):
                encoded(SOURCE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert files_in(cache) == {}
    assert not list(cache.rglob("*.tmp"))


AT_ONCE = """
import os, signal
from tests.test_files import SOURCE, encoded
from fsmd.data import encode
children = []
for dies in (True, False, False, True, False):
    children.append(os.fork())
    if not children[-1]:
        if dies:
            encode.seal = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        os.write(1, f"{encoded(SOURCE).content_hash}\\n".encode())
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
"""


def test_processes_that_encode_at_once_and_some_that_die_leave_one_whole_folder(
    cache: Path,
) -> None:
    command = [sys.executable, "-c", AT_ONCE]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    data = encoded(SOURCE)
    assert {*told.stdout.split()} == {data.content_hash}
    assert told.stdout.count("\n") >= 3
    sweep(data.path.parent)
    assert sorted(path.suffix for path in data.path.parent.iterdir()) == ["", ".lock"]


# Caches


def test_a_folder_may_be_named_from_home_or_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for text, meant in (("~/x", "home/x"), ("~", "home"), ("x", "x"), (".", "."), ("a/~", "a/~")):
        monkeypatch.setenv("FSMD_CACHE", text)
        assert cache_root() == tmp_path / meant
    monkeypatch.setenv("FSMD_CACHE", "")
    assert cache_root().is_absolute()
    assert cache_root().name == "fsmd"
    monkeypatch.setenv("FSMD_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(UserError, match="FSMD_CACHE is ~nobody-of-this-name/x"):
        check_cache()


def test_data_may_be_named_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FSMD_DATA", "~/data")
    write(tmp_path / "data/tiny/log_1.csv", b"a\n1")
    write(tmp_path / "data/tiny/users.csv", b"a\n1")
    assert [path.name for path in find(TINY)] == ["log_1.csv", "users.csv"]


@settings(max_examples=12, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1)
    .map(lambda text: text.encode()[:80].decode(errors="ignore"))
    .filter(lambda text: text not in ("", ".", "..") and not text.startswith("~"))
)
@pytest.mark.parametrize("recipe", [False, True], ids=["cache", "recipe"])
def test_any_name_of_a_cache_or_a_recipe_stays_in_the_cache(
    tmp_path_factory: pytest.TempPathFactory, recipe: bool, name: str
) -> None:
    root = tmp_path_factory.mktemp("odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSMD_CACHE", str(root / ("cache" if recipe else name)))
        check_cache()
        shown = f"../{name}/{name}" if recipe else "toy"
        data = encoded(replace(SOURCE, recipe=replace(RECIPE, name=shown)))
        assert data.path.parent == cache_root() / "encoded"
        (data.path / "train_ids.npy").write_bytes(b"")
        with pytest.raises(UserError) as refusal:
            open_encoded(data.path)
    assert len(str(refusal.value).splitlines()) == 1
    assert len(list(root.iterdir())) == 1


@pytest.mark.parametrize("place", ["", "encoded", "encoded/FOLDER.lock"])
def test_what_is_in_the_caches_way_is_named_in_one_line(cache: Path, place: str) -> None:
    name = encoded(SOURCE).path.name
    shutil.rmtree(cache)
    blocked = cache / place.replace("FOLDER", name)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.mkdir() if place.endswith(".lock") else blocked.touch()
    with pytest.raises(UserError, match=r"cannot be written \(.*; set FSMD_CACHE to") as refusal:
        encoded(SOURCE)
    assert str(blocked) in str(refusal.value)


def test_what_is_said_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    say("the folder a\nb\x1b[31m is made anew")
    assert caplog.record_tuples == [
        ("fsmd", logging.WARNING, "the folder a\\nb\\x1b[31m is made anew")
    ]
    assert str(UserError("a\r\nb\u2028c\udcff")) == r"a\r\nb\u2028c\udcff"
    assert one_line("Größe ≥ 3") == "Größe ≥ 3"


# Files of a data set

TINY = Origin("tiny", "http://127.0.0.1:9/tiny.zip", ("log_*.csv", "users.csv"))
WHOLE = {"log_1.csv": b"a,b\n1,2\n", "users.csv": b"a,c\n1,3\n"}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """The folder of FSMD_DATA, with the files of TINY in it."""
    monkeypatch.setenv("FSMD_DATA", str(tmp_path / "data"))
    for name, text in WHOLE.items():
        write(tmp_path / "data" / name, text)
    return tmp_path / "data"


def test_a_place_of_data_that_is_none_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "nothing"):
        monkeypatch.setenv("FSMD_DATA", str(place))
        with pytest.raises(UserError, match=f"FSMD_DATA is {place}, which is no folder: put log_"):
            find(TINY)


# Downloads


def archive_of(files: dict[str, bytes], kind: str = "zip") -> bytes:
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    else:
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
    return content.getvalue()


GOOD = {kind: archive_of(WHOLE, kind) for kind in ("zip", "tar.gz")}


@pytest.fixture
def answers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[Any]]]:
    """An address, and what it answers in turn: (code, content, length told)."""
    monkeypatch.delenv("FSMD_DATA", raising=False)
    queue: list[Any] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, text, length = queue.pop(0)
            self.send_response(code)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", queue
        server.shutdown()
        thread.join()


def bit_flipped(text: bytes) -> bytes:
    return text[:45] + bytes([text[45] ^ 1]) + text[46:]


PAGE = b"<html>Please log in</html>"
BAD_ANSWERS: dict[str, tuple[str, int, bytes, int]] = {
    "an error": ("zip", 503, PAGE, 0),
    "not found": ("tar.gz", 404, PAGE, 0),
    "a page": ("zip", 200, PAGE, 0),
    "a page for a .tar.gz": ("tar.gz", 200, PAGE, 0),
    "nothing": ("zip", 200, b"", 0),
    "nothing for a .tar.gz": ("tar.gz", 200, b"", 0),
    "a cut .zip": ("zip", 200, GOOD["zip"][:-30], 0),
    "a cut .tar.gz": ("tar.gz", 200, GOOD["tar.gz"][:-30], 0),
    "less than told": ("zip", 200, GOOD["zip"][:-30], 30),
    "a flipped bit": ("zip", 200, bit_flipped(GOOD["zip"]), 0),
    "other files": ("zip", 200, archive_of({"log_1.csv": b"", "others.csv": b""}), 0),
    "another content": ("zip", 200, archive_of({**WHOLE, "users.csv": b"x"}), 0),
    "a cut file": ("zip", 200, archive_of({"log_1.csv": b"x", "users.csv.gz": b""}), 0),
    "a way out": ("tar.gz", 200, archive_of({**WHOLE, "../../../out": b""}, "tar.gz"), 0),
    "a root": ("tar.gz", 200, archive_of({**WHOLE, "/tmp/../../out": b""}, "tar.gz"), 0),
    "a bad archive within": ("zip", 200, archive_of({**WHOLE, "in.zip": PAGE}), 0),
}
KNOWN = {"users.csv": "47de5c3e4c7d82b84d06b34a45740b9ec496f7b70f77e8c6cc4ce277555f9776"}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_a_faulty_download_is_named_removed_and_fetched_again(
    answers: tuple[str, list[Any]], cache: Path, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind, code, text, more = BAD_ANSWERS[bad]
    origin = replace(TINY, url=f"{answers[0]}/tiny.{kind}", text_hashes=KNOWN)
    answer = (code, text, len(text) + more)
    answers[1].extend([answer, answer])
    with pytest.raises(UserError, match=r"tiny is not here and cannot be downloaded") as refusal:
        find(origin)
    assert origin.url in str(refusal.value)
    assert answers[1] == []
    assert files_in(cache) == {}
    assert not list(cache.rglob("*.tmp"))
    assert not list(cache.parent.rglob("out"))
    answers[1].extend([answer, (200, GOOD[kind], len(GOOD[kind]))])
    assert {path.name: path.read_bytes() for path in find(origin)} == WHOLE
    assert [line.count("\n") for line in caplog.messages] == [0, 0]
    assert all(line.startswith(f"{origin.url} is faulty (") for line in caplog.messages)
    assert find(origin) == find(origin)  # without asking again


def test_members_of_a_zip_that_lead_out_are_not_written(
    answers: tuple[str, list[Any]], cache: Path
) -> None:
    text = archive_of({**WHOLE, "../../../../out": b"", "/out": b""})
    answers[1].append((200, text, len(text)))
    assert len(find(replace(TINY, url=f"{answers[0]}/tiny.zip"))) == 2
    assert not list(cache.parent.rglob("out"))


def test_without_network_the_files_are_asked_for_in_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("FSMD_DATA", raising=False)
    for url in (TINY.url, "http://no-such-host.invalid/tiny.zip"):
        with pytest.raises(
            UserError, match=r"downloaded \(ConnectionError\); put log_\*"
        ) as refusal:
            find(replace(TINY, url=url))
        assert len(str(refusal.value).splitlines()) == 1
    assert caplog.messages == []


def test_a_disk_that_gets_full_in_a_download_is_one_line_and_keeps_nothing(
    answers: tuple[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = archive_of({**WHOLE, "more.bin": bytes(200_000)})
    with small_disk(tmp_path / "disk", 400_000) as disk:
        monkeypatch.setenv("FSMD_CACHE", str(disk))
        origin = replace(TINY, url=f"{answers[0]}/tiny.zip")
        for room in (400_000, 280_000, 100_000):  # none for the copy, or for the download
            subprocess.run(["mount", "-o", f"remount,size={room}", str(disk)], check=True)
            answers[1].append((200, text, len(text)))
            with pytest.raises(UserError, match=r"cannot be written \(No space left on device"):
                find(origin)
            assert files_in(disk) == {}


def test_processes_that_download_at_once_fetch_once(
    answers: tuple[str, list[Any]], cache: Path
) -> None:
    answers[1].append((200, GOOD["zip"], len(GOOD["zip"])))
    origin = replace(TINY, url=f"{answers[0]}/tiny.zip")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find, [origin] * 4))
    assert len({*found}) == 1
    assert len(found[0]) == 2


def test_half_of_a_download_under_way_is_not_taken_for_the_files(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FSMD_DATA", raising=False)
    with replacing(cache / "raw" / "tiny" / "downloaded") as fresh:
        for name, text in WHOLE.items():
            write(fresh / name, text)
        with pytest.raises(UserError, match="cannot be downloaded"):
            find(TINY)
    assert len(find(TINY)) == 2
