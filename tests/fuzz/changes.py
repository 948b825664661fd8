"""Bytes, texts and values that are nearly right: what is right, changed in a few places."""

from collections.abc import Mapping, Sized
from typing import Any, NamedTuple

from hypothesis import strategies as st

TOKENS: tuple[bytes, ...] = (
    *(b"", b" ", b"\x00", b"\xff", b"\x1b[2J", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xae"),
    *(b'"', b"'", b'"""', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\n\n", b"\\", b"#"),
    *(b"{", b"}", b"[", b"]", b"[[", b"(", b")", b"=", b":", b".", b"..", b"/", b"*", b"%"),
    *(b"0", b"-1", b"-0", b"1e400", b"1e308", b"nan", b"inf", b"9" * 40, b"0x7f", b"1_0"),
    *(b"null", b"true", b"None", b"<script>", b"PAR1", b"\x1f\x8b\x08\x00", b"PK\x03\x04"),
    *(b"x" * 300, b"\xd9\xa3"),
)  # fmt: skip
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 2**63, 2**70, -(2**70), 1e308, -0.0, 1e-320),
    *(float("nan"), float("inf"), "", " ", "odd", "\x00", "a\nb", "\u202e", "1", "-1", "nan"),
    *("x" * 2000, "\ud83d", "=1+1", "../..", [], [1], ["a", None], {}, {"a": 1}, [[]], [{}]),
)  # fmt: skip


class Edit(NamedTuple):
    """One change of bytes."""

    at: float
    """Place, as a share of the length."""
    how: str
    token: bytes
    length: int

    def of(self, content: bytes) -> bytes:
        at = int(self.at * len(content))
        start, end = content[:at], content[at:]
        match self.how:
            case "insert":
                return start + self.token + end
            case "replace":
                return start + self.token + end[max(1, len(self.token)) :]
            case "remove":
                return start + end[self.length :]
            case "repeat":
                return start + end[: self.length] * 2 + end[self.length :]
            case "flip":
                return start + bytes([end[0] ^ (1 << self.length % 8)]) + end[1:] if end else start
            case _:
                return start


HOW = ("insert", "replace", "remove", "repeat", "flip", "flip", "cut")
EDITS = st.lists(
    st.builds(
        Edit,
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(HOW),
        st.sampled_from(TOKENS),
        st.integers(1, 60),
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits: list[Edit]) -> bytes:
    for edit in edits:
        content = edit.of(content)
    return content


def mutated(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """One of the seeds, changed."""
    return st.builds(lambda i, edits: edited(seeds[i], edits), index_of(seeds), EDITS)


def index_of(seeds: Sized) -> st.SearchStrategy[int]:
    """Of one of the seeds, which hypothesis would show whole in all that it says."""
    return st.integers(0, len(seeds) - 1)


def mostly(
    usual: st.SearchStrategy[Any], strange: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Seven of eight are usual; `one_of` draws a strategy as often however often it is named."""
    return st.integers(0, 7).flatmap(lambda i: usual if i else strange)


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(ODD), st.text(max_size=12), st.integers(), st.floats(), st.booleans()
)


class LeafEdit(NamedTuple):
    """One change of a value as JSON or TOML has them."""

    at: float
    how: str
    new: Any

    def of(self, value: Any) -> Any:
        paths = list(_paths(value))
        return _changed(value, paths[int(self.at * len(paths))], self)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    if isinstance(value, Mapping | list):
        for key in value if isinstance(value, Mapping) else range(len(value)):
            yield from _paths(value[key], (*path, key))


def _changed(value: Any, path: tuple[Any, ...], edit: LeafEdit) -> Any:
    if not path:
        return edit.new
    key, *rest = path
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    if rest or edit.how == "set":
        copy[key] = _changed(copy[key], tuple(rest), edit)
    elif edit.how == "remove":
        del copy[key]
    elif isinstance(copy, dict):
        copy[str(edit.new)[:50]] = copy[key]
    else:
        copy.append(edit.new)
    return copy


LEAF_EDITS = st.lists(
    st.builds(
        LeafEdit,
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(("set", "set", "remove", "add")),
        VALUES,
    ),
    min_size=1,
    max_size=3,
)


def altered(value: Any, edits: list[LeafEdit]) -> Any:
    for edit in edits:
        value = edit.of(value)
    return value
