"""A dataset.toml: what each key gives, and the one line that each mistake gives."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.data.description import catalog
from fsmd.data.description.toml import LARGEST, parse, read
from fsmd.data.description.values import (
    ByFiles,
    ByRules,
    ByShare,
    ByTime,
    ByUserTime,
    Description,
    FieldSource,
    FileSet,
    Join,
    LabelSource,
    PublicSource,
    Published,
    Roles,
)
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import Categorical, Dense, Tags
from fsmd.errors import UserError
from fsmd.tasks import Task

PATH = Path("/logs/shop/dataset.toml")
LEAST = """
[data]
files = "log.csv"
[fields]
tab = "category"
[tasks]
click = "is_click == 1"
[split]
by = "fraction"
seed = 0
"""
WHOLE = """
[data]
name = "kuai"
files = ["log_1.csv", "log_2.csv"]
missing = ["", "UNKNOWN"]
separator = "|"
strip = true
multiline = true
comment = "#"
encoding = "latin-1"
distinct = true

[[join]]
files = "videos.tsv"
header = false
columns = ["video_id", "tag"]
on = "video_id"

[[join]]
files = ["users.parquet"]
on = ["user_id", "date"]

[roles]
user = "user_id"
item = "video_id"
request = ["user_id", "date"]
time = "time_ms"
time_unit = "ms"
weight = "sample_weight"

[fields]
user_id = { kind = "category", min_count = 2 }
video_id = { kind = "category", min_count = 5 }
tab = "category"
"watch-time so far" = "number"
tag = { kind = "tags", separator = ",", strip = "[]", max_length = 3 }
recent = { kind = "sequence", from = "history", separator = "|", share = "video_id" }
duration = { kind = "number", from = "log(duration_ms)", scale = "quantile", known_before = true }
fans = { kind = "number", scale = "log", missing = 0, optional = true }
device = { kind = "category", hash = 1_000 }

[tasks]
click = "is_click == 1"
long_view = { label = "play >= 18 or play >= duration_ms", after = "click", metric = "log_loss" }
like = { label = "is_like", where = "tab in ['0', '1']", weight = 0.5, label_missing = "zero" }

[split]
by = "time"
valid_from = 2022-05-02
test_from = "2022-05-05"
until = 2022-05-07T12:00:00Z

[training]
batch_size = 512
learning_rate = 1

[origin]
folder = "kuai"
source = "https://example.org/kuai"
licence = "CC BY 4.0"
archive = "https://example.org/kuai.zip"
[origin.sha256]
"log_1.csv" = "00000000000000000000000000000000000000000000000000000000000000ff"

[[published]]
source = "a paper"
metric = "auc"
figures = { mmoe = { click = 0.7, like = 1 } }
"""


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def refused(text: str) -> str:
    with pytest.raises(UserError) as error:
        parse(text, PATH)
    message = str(error.value)
    assert message.startswith(f"{PATH}: ")
    assert message.isprintable()
    return message.removeprefix(f"{PATH}: ")


def test_every_key_has_its_place() -> None:
    found = parse(WHOLE, PATH)
    assert found == Description(
        path=PATH,
        recipe=found.recipe,
        data=FileSet(
            ("log_1.csv", "log_2.csv"),
            separator="|",
            missing=("", "UNKNOWN"),
            strip=True,
            multiline=True,
            comment="#",
            encoding="latin-1",
        ),
        distinct=True,
        joins=(
            Join(
                FileSet(("videos.tsv",), header=False, columns=("video_id", "tag")), ("video_id",)
            ),
            Join(FileSet(("users.parquet",)), ("user_id", "date")),
        ),
        fields={
            "user_id": FieldSource("user_id"),
            "video_id": FieldSource("video_id"),
            "tab": FieldSource("tab"),
            "watch-time so far": FieldSource("column('watch-time so far')"),
            "tag": FieldSource("tag", separator=",", strip="[]"),
            "recent": FieldSource("history", separator="|"),
            "duration": FieldSource("log(duration_ms)", known_before=True),
            "fans": FieldSource("fans", optional=True),
            "device": FieldSource("device"),
        },
        labels={
            "click": LabelSource("is_click == 1"),
            "long_view": LabelSource("play >= 18 or play >= duration_ms"),
            "like": LabelSource("is_like", "tab in ['0', '1']", "zero"),
        },
        roles=Roles(
            ("user_id",), ("video_id",), ("user_id", "date"), "time_ms", "ms", "sample_weight"
        ),
        split=ByTime("2022-05-02", "2022-05-05", "2022-05-07T12:00:00+00:00"),
        origin=PublicSource(
            "kuai",
            "https://example.org/kuai",
            "CC BY 4.0",
            "https://example.org/kuai.zip",
            {"log_1.csv": "0" * 62 + "ff"},
        ),
        published=(Published("a paper", "auc", {"mmoe": {"click": 0.7, "like": 1.0}}),),
    )
    recipe = found.recipe
    assert (recipe.name, recipe.user, recipe.request) == ("kuai", "user_id", "user_id, date")
    assert recipe.weight == "sample_weight"
    assert recipe.settings == TrainingSettings(batch_size=512, learning_rate=1.0)
    assert recipe.categorical == (
        Categorical("user_id", 2),
        Categorical("video_id", 5),
        Categorical("tab"),
        Tags("tag", max_length=3),
        Tags("recent", share="video_id", max_length=20, keep="end"),
        Categorical("device", buckets=1000),
    )
    assert recipe.dense == (
        Dense("watch-time so far"),
        Dense("duration", "quantile"),
        Dense("fans", "log", 0.0),
    )
    assert recipe.tasks == (
        Task("click"),
        Task("long_view", "log_loss", after="click"),
        Task("like", weight=0.5),
    )


def test_the_least_description_has_the_name_of_its_folder_and_defaults() -> None:
    found = parse(LEAST, PATH)
    assert found.recipe.name == "shop"
    assert found.data == FileSet(("log.csv",))
    assert found.split == ByShare(0)
    assert (found.joins, found.roles, found.origin, found.published) == ((), Roles(), None, ())
    assert (found.recipe.user, found.recipe.request, found.recipe.weight) == (None, None, None)


def test_requests_of_users_with_a_time_are_their_days() -> None:
    found = parse(LEAST + '[roles]\nuser = "u"\ntime = "t"\n', PATH)
    assert found.recipe.request == "u, day"


@pytest.mark.parametrize(
    ("split", "wanted"),
    [
        ('by = "time"\nvalid_from = 1\ntest_from = 2.5', ByTime(1, 2.5)),
        (
            'by = "time"\nshares = [0.8, 0.1, 0.1]\ncolumn = "day(t)"',
            ByTime(shares=(0.8, 0.1, 0.1), time="day(t)"),
        ),
        ('by = "user_time"', ByUserTime()),
        ('by = "fraction"\nseed = 3\nof = "user"', ByShare(3, of="user")),
        ('by = "files"\ntrain = "a"\ntest = ["b", "c"]', ByFiles(("a",), ("b", "c"))),
        (
            'by = "files"\ntrain = "a"\nvalid = "d"\ntest = "b"',
            ByFiles(("a",), ("b",), ("d",)),
        ),
        (
            'by = "column"\ncolumn = "part"\ntrain = ["a", "it\'s"]\nvalid = "v"\ntest = "t"',
            ByRules("(part) in ['a', \"it's\"]", "(part) in ['v']", "(part) in ['t']"),
        ),
        (
            'by = "column"\ncolumn = "fold"\ntrain = [0, 1.5]\nvalid = -2\ntest = true',
            ByRules("(fold) in [0, 1.5]", "(fold) in [-2]", "(fold) in [True]"),
        ),
        (
            'by = "rules"\ntrain = "d < 5"\nvalid = "d == 5"\ntest = "d > 5"',
            ByRules("d < 5", "d == 5", "d > 5"),
        ),
    ],
)
def test_each_form_of_a_split_is_read(split: str, wanted: Any) -> None:
    text = changed(LEAST, 'by = "fraction"\nseed = 0', split)
    assert parse(text + '[roles]\nuser = "u"\ntime = "t"\n', PATH).split == wanted


# Every key of every section with a value that is none


def places() -> list[tuple[str, str, str]]:
    """(section, key, its line) of each line of WHOLE and of a split of another form."""
    found, section = [], ""
    for line in WHOLE.splitlines():
        if line.startswith("["):
            section = line
        elif line:
            found.append((section, line.partition(" = ")[0], line))
    return found


NONE_OF_IT = (
    "3",
    "-1",
    "0.5",
    "nan",
    "inf",
    "''",
    "'\\u0000'",
    "[]",
    "[1]",
    "{}",
    "true",
    "07:32:00",
)
WRONG = [
    (section, key, line, value)
    for section, key, line in places()
    for value in NONE_OF_IT
    if (key, value) not in {
        ("missing", "''"), ("missing", "[]"), ("comment", "''"), ("comment", "'\\u0000'"),
        ("strip", "true"), ("multiline", "true"), ("distinct", "true"), ("header", "true"),
        ("learning_rate", "3"), ("learning_rate", "0.5"), ("batch_size", "3"),
        ("until", "-1"), ("until", "3"), ("until", "0.5"), ("figures", "{}"),
        ("separator", "'\\u0000'"),
        ("valid_from", "3"), ("valid_from", "-1"), ("valid_from", "0.5"), ("test_from", "3"),
        ("test_from", "-1"), ("test_from", "0.5"),
    }
    and not (value == "'\\u0000'" and key not in ("user", "item", "time", "weight", "click"))
]  # fmt: skip


def test_a_value_that_is_none_names_section_and_key() -> None:
    for section, key, line, value in WRONG:
        wrong = value.replace("'", '"')  # which knows escapes
        message = refused(changed(WHOLE, f"\n{line}\n", f"\n{key} = {wrong}\n"))
        name = section.replace("[[join]]", "[[join]] ").replace("[origin.sha256]", "[origin] sha")
        assert message.startswith(name.strip()), message
        assert key.strip('"') in message, message


@pytest.mark.parametrize("section", ["data", "join", "roles", "tasks", "fields", "split",
    "training", "origin", "published"])  # fmt: skip
def test_a_key_that_is_none_is_named_with_the_one_that_was_meant(section: str) -> None:
    near = {
        "data": ("filse", "files"),
        "join": ("onn", "on"),
        "roles": ("usr", "user"),
        "split": ("sede", "seed"),
        "training": ("batchsize", "batch_size"),
        "origin": ("license", "licence"),
        "published": ("figure", "figures"),
        "tasks": ('q = { lable = "x" }', "label"),
        "fields": ('q = { kind = "category", mincount = 1 }', "min_count"),
    }
    key, meant = near[section]
    start = f"[[{section}]]" if section in ("join", "published") else f"[{section}]"
    text = LEAST if start in LEAST else f"{LEAST}{start}\n"
    message = refused(changed(text, start, f"{start}\n{key if '=' in key else f'{key} = 1'}"))
    assert message.startswith(f"{start} q." if "=" in key else start)
    assert f"did you mean {meant!r}? There are " in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # sections
        ("[data]", "[date]", "date: there is no such key; got 'date'; did you mean 'data'?"),
        ("[data]", "name = 3\n[data]", "name: there is no such key"),
        ("[data]", "[[data]]", "data: this must be a table, as [data] begins one; got [{"),
        ("[data]", '[join]\non = "a"\n[data]', "join: this must be tables, as [[join]] begins"),
        ('[split]\nby = "fraction"\nseed = 0', "", "split: this must be there; there are data"),
        ('tab = "category"', "", "[fields]: there must be at least one field"),
        ('click = "is_click == 1"', "", "at least one task; got none"),
        # data
        ('files = "log.csv"', "", "[data] files: this must be there; there are no keys"),
        ('files = "log.csv"', 'files = ["a", "a"]', "[data] files: this must be a list of diff"),
        ("[data]", "[data]\nheader = false", "[data] columns: files without a header must have"),
        ("[data]", '[data]\ncolumns = ["a"]', "[data] columns: write header = true too"),
        ("[data]", '[data]\nname = "a:b"', "[data] name: a name must have none of : , / \\; got"),
        ("[data]", '[data]\nname = "a "', "[data] name: the name of a data set must have 1 to"),
        *(
            ("[data]", f'[data]\nencoding = "{name}"', "encoding: this must be an encoding of")
            for name in ("base64", "idna", "punycode", "undefined", "")
        ),
        # fields
        ('"category"', '"categry"', "[fields] tab.kind: this must be one of category, number, "
         "tags, sequence; got 'categry'; did you mean 'category'?"),
        ('"category"', "1", "[fields] tab: a field must be a kind (category, number"),
        ('"category"', "{ min_count = 2 }", "[fields] tab.kind: this must be one of"),
        ('"category"', '{ kind = "number", hash = 5 }', "[fields] tab.hash: this is of category, "
         "tags, sequence alone; got 5"),
        ('"category"', '{ kind = "category", scale = "log" }', "tab.scale: this is of number"),
        ('"category"', '{ kind = "category", max_length = 1 }', "this is of tags, sequence alone"),
        ('"category"', '{ kind = "tags", max_length = 65 }', "from 1 to 64; got 65"),
        ('"category"', '{ kind = "category", min_count = 1.0 }', "tab.min_count: this must be a"),
        ('"category"', '{ kind = "category", share = "other" }', "tab.share: this must be a "
         "field before it with ids of its own; got 'other'; there are none"),
        ('"category"', '"category"\nb = { kind = "category", share = "tap" }', "b.share: this "
         "must be a field before it with ids of its own; got 'tap'; did you mean 'tab'?"),
        ('"category"', '"category"\nb = { kind = "category", share = "tab", hash = 2 }', "b.hash: "
         "the ids are those of 'tab', where this is said; got 2"),
        ('"category"', '{ kind = "number", missing = "mean" }', 'must be "own", "error" or a fin'),
        ('"category"', '{ kind = "number", from = "a +" }', "[fields] tab.from: this is no expr"),
        ("tab =", '"" =', "the name of a field must have 1 to 100 letters"),
        ("tab =", '" a" =', "the name of a field must have 1 to 100 letters"),
        ("tab =", "a.b =", "[fields] a.kind"),
        # leaks
        ("tab =", "is_click =", "[fields] is_click: column 'is_click' makes the label of task "
         "'click', so it would tell it; leave the field out or"),
        ('"category"', '{ kind = "number", from = "2 * is_click" }', "[fields] tab: column 'is"),
        ("tab =", "click =", "[tasks] click: a task and a field must have different names"),
        # tasks
        ('"is_click == 1"', '"is_click = 1"', "[tasks] click.label: this is no expression"),
        ('"is_click == 1"', '{ after = "view" }', "[tasks] click.label: this must be there"),
        ('"is_click == 1"', '{ label = "a", after = "view" }', "must follow a task named before"),
        ('"is_click == 1"', '{ label = "a", metric = "accuracy" }', "[tasks] click: the metric"),
        ('"is_click == 1"', '{ label = "a", metric = "user_auc" }', "[tasks] click.metric: this "
         "metric needs [roles] user; got 'user_auc'"),
        ('"is_click == 1"', '{ label = "a", metric = "ndcg@5" }', "needs [roles] request (or"),
        ('"is_click == 1"', '{ label = "a", weight = 0 }', "must be above 0 and finite; got 0"),
        ('"is_click == 1"', '{ label = "a", label_missing = "one" }', "label_missing: this must"),
        ('"is_click == 1"', '{ label = "a", where = "b.c" }', "[tasks] click.where: an"),
        ("\nclick =", "\nmean =", "a task must have a name of its own"),
        ("\nclick =", '\n"a|b" =', "a task must have a name of its own"),
        # splits
        ('"fraction"', '"fractions"', "one of time, user_time, fraction, files, column, rules; "
         "got 'fractions'; did you mean 'fraction'?"),
        ("seed = 0", "", "[split] seed: this must be there; there are by"),
        ("seed = 0", "seed = -1", "[split] seed: this must be a whole number from 0"),
        ("seed = 0", "seed = 0\nshares = [0.5, 0.5]", "[split] shares: this must be three"),
        ("seed = 0", "seed = 0\nshares = [0.8, 0.1, 0.2]", "the sum 1 (train, validation"),
        ("seed = 0", "seed = 0\nshares = [1.0, 0.0, 0.0]", "[split] shares: this must be three"),
        ("seed = 0", 'seed = 0\nof = "user"', "[split] of: this needs [roles] user; got 'user'"),
        ("seed = 0", "seed = 0\nvalid_from = 1", "[split] valid_from: there is no such key"),
        ('"fraction"\nseed = 0', '"user_time"', "[split] by: this needs [roles] user"),
        ('"fraction"\nseed = 0', '"time"\nvalid_from = 1\ntest_from = 2', "needs [roles] time"),
        ('"fraction"\nseed = 0', '"time"\ncolumn = "t"', "must have valid_from and test_from, or"),
        ('"fraction"\nseed = 0', '"time"\ncolumn = "t"\nvalid_from = 1', "and test_from, or"),
        ('"fraction"\nseed = 0', '"time"\ncolumn = "t"\nvalid_from = 2\ntest_from = 2', "[split] "
         "test_from: this must be after valid_from (2); got 2"),
        ('"fraction"\nseed = 0', '"time"\ncolumn = "t"\nvalid_from = 2022-05-02\n'
         'test_from = "2022-05-01T23:00:00Z"', "this must be after valid_from (2022-05-02)"),
        ('"fraction"\nseed = 0', '"time"\ncolumn = "t"\nvalid_from = "may"', "a day or a day and"),
        ('"fraction"\nseed = 0', '"files"\ntrain = "a"', "[split] test: this must be there"),
        ('"fraction"\nseed = 0', '"column"\ncolumn = "c"\ntrain = 1\nvalid = [2, 1]\ntest = 3',
         "[split] valid: a value must be of one split; this is also of train; got 1"),
        ('"fraction"\nseed = 0', '"column"\ncolumn = "c"\ntrain = [1, "a"]\nvalid = 2\ntest = 3',
         "[split] train: this must be a value or a list of values, texts alone"),
        ('"fraction"\nseed = 0', '"column"\ncolumn = "c +"\ntrain = 1\nvalid = 2\ntest = 3',
         "[split] column: this is no expression"),
        ('"fraction"\nseed = 0', '"rules"\ntrain = "a b"\nvalid = "c"\ntest = "d"', "[split] tr"),
        # others
        ("[data]", '[origin]\nfolder = "../x"\nsource = "a"\nlicence = "b"\n[data]', "folder"),
        ("[data]", '[origin]\nfolder = "x"\nsource = "a"\n[data]', "[origin] licence: this must"),
        ("[data]", '[origin]\nfolder = "x"\nsource = "a"\nlicence = "b"\narchive = "file:///x"\n'
         "[data]", "[origin] archive: this must be an address that begins with https://"),
        ("[data]", '[training]\nepochs = "many"\n[data]', "[training] `epochs` must be"),
        ("[data]", "[training]\nbatch_size = 0\n[data]", "[training] "),
        ("[data]", '[roles]\nuser = ["a", "a"]\n[data]', "[roles] user: this must be a list of"),
        ("[data]", '[roles]\nuser = ["a", "b."]\n[data]', "[roles] user: this is no expression"),
        ("[data]", '[[join]]\nfiles = "a"\n[data]', "[[join]] 1 on: this must be there"),
        ("[data]", '[[join]]\nfiles = "a"\non = "b"\ndistinct = true\n[data]', "[[join]] 1 dis"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_section_key_rule_and_value(
    old: str, new: str, words: str
) -> None:
    assert words in refused(changed(LEAST, old, new))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            LEAST + "\n[data]\n",
            "a description must be TOML; Cannot declare ('data',) twice (at li",
        ),
        (
            changed(LEAST, "seed = 0", "seed = 0\nseed = 1"),
            "TOML; Cannot overwrite a value (at li",
        ),
        (LEAST + "x = [1,\n", "a description must be TOML; "),
        (LEAST + "x = 'a\n", "a description must be TOML; "),
        (LEAST + "x = 1e\n", "a description must be TOML; "),
        ("a,b\n1,2\n", "a description must be TOML; "),
        ("", "data: this must be there; there are no keys"),
        ("x = " + "[" * 20_000, "a description must be TOML; "),
        ("x = " + "9" * 10_000, "a description must be TOML; "),
        ("x = '\ud800'", "a description must be UTF-8"),
        ("a" * 5_000 + " = 1", "aaa...: there is no such key"),
    ],
)
def test_a_text_that_is_no_toml_says_where(text: str, words: str) -> None:
    assert words in refused(text)


# Files


@pytest.mark.parametrize("name", ["plain", "bom", "crlf"])
def test_a_file_is_read_as_editors_write_it(tmp_path: Path, name: str) -> None:
    content = LEAST.encode("utf-8-sig" if name == "bom" else "utf-8")
    path = tmp_path / "dataset.toml"
    path.write_bytes(content.replace(b"\n", b"\r\n") if name == "crlf" else content)
    assert read(path).recipe.tasks == (Task("click"),)


def test_what_is_no_readable_text_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "dataset.toml"
    for content, words in (
        (LEAST.encode() + b"# caf\xe9", "line 11: a description must be UTF-8; got byte 0xe9"),
        (b"PAR1" + b"x" * LARGEST, "at most 1,048,576 bytes; this is longer"),
        (b"\x00\x01", "must be TOML"),
        (b"", "data: this must be there"),
        (LEAST.encode("utf-16"), "must be UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=words.replace("(", r"\(")) as error:
            read(path)
        assert str(error.value).startswith(str(path))
    with pytest.raises(UserError, match="must be a file that can be read"):
        read(tmp_path)
    with pytest.raises(UserError, match="No such file or directory"):
        read(tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match="must be a file that can be read"):
        read(path / "below" / "a file.toml")


# Anything at all

VALUES = st.recursive(
    st.none()
    | st.sampled_from(["0", "-1", "1e400", "nan", "true", "''", "'a'", "'a == 1'", "2022-05-02"]),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.sampled_from("abc"), x, max_size=2),
    max_leaves=3,
)


def is_told(text: str) -> bool:
    """Whether what is wrong, if anything is, is told in a line."""
    try:
        parse(text, PATH)
    except UserError as error:
        return str(error).startswith(f"{PATH}: ") and str(error).isprintable()
    return True


def written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{k} = {written(v)}' for k, v in value.items())} }}"
    return "''" if value is None else str(value)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, len(places()) - 1), VALUES, st.booleans())
def test_any_value_of_any_key_is_a_description_or_a_line(i: int, value: Any, as_key: bool) -> None:
    section, key, line = places()[i]
    start = WHOLE.index(line, WHOLE.index(section))
    put = f"{line}\nextra = {written(value)}" if as_key else f"{key} = {written(value)}"
    assert is_told(WHOLE[:start] + put + WHOLE[start + len(line) :])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_a_description_or_a_line(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(WHOLE)))
    end = data.draw(st.integers(start, min(start + 40, len(WHOLE))))
    put = data.draw(st.text("[]{}=.,\"'#\n -_0aé\x00\t", max_size=6))
    assert is_told(WHOLE[:start] + put + WHOLE[end:])


# The catalog


def test_a_name_that_the_catalog_lacks_gets_those_it_has() -> None:
    with pytest.raises(
        UserError, match="no description 'kuairnd' in the catalog; did you mean 'k"
    ):
        catalog.path_of("kuairnd")
    with pytest.raises(UserError, match="there are adult"):
        catalog.path_of("../settings")
