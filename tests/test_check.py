"""`python -m studies.data check`: a log with every defect planted, a clean one, and any order."""

import re
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from fsmd.data.checks.check import Finding
from fsmd.data.checks.rates import Rate
from fsmd.data.checks.tally import KeyTally, SplitSample
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.rows.part import Part, Where
from fsmd.data.source import Categorical, Dense, Recipe, Source, Tags
from fsmd.errors import UserError
from fsmd.tasks import Task
from studies.data import main
from studies.data.check import look
from studies.data.page import page
from tests.pages import Resources

SPLITS = ("train", "valid", "test")
TASKS = (Task("click"), Task("buy", after="click"))
CLEAN = Recipe(
    "clean",
    (Categorical("tab"), Categorical("item"), Tags("tags")),
    (Dense("price"), Dense("age")),
    TASKS,
)
BROKEN = Recipe(
    "broken",
    (
        *CLEAN.categorical,
        *map(Categorical, ("serial", "always", "told", "season", "written", "coupon")),
    ),
    (*CLEAN.dense, *map(Dense, ("spent", "wild", "same", "level", "refund"))),
    TASKS,
)
ROWS = 6000


def clean(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Rows in order of time: 60 % are train, 20 % validation, 20 % test."""
    draw = np.random.default_rng(seed)
    click = draw.random(rows) < 0.4
    return pd.DataFrame(
        {
            "split": np.repeat(SPLITS, [rows * 6 // 10, rows // 5, rows - rows * 8 // 10]),
            "time": np.sort(draw.integers(1_650_000_000, 1_660_000_000, rows)),
            "user": draw.integers(0, 200, rows).astype(np.uint64),
            "request": draw.integers(0, rows // 8, rows).astype(np.uint64),
            "item": [f"i{i}" for i in draw.integers(0, 100, rows)],
            "tab": [str(i) for i in draw.integers(0, 5, rows)],
            "tags": [[f"t{t}" for t in draw.integers(0, 9, n)] for n in draw.integers(1, 4, rows)],
            "price": draw.normal(50, 9, rows),
            "age": draw.integers(18, 80, rows).astype(float),
            "click": click.astype(float),
            "buy": (click & (draw.random(rows) < 0.4)).astype(float),
        }
    )


def broken() -> pd.DataFrame:
    log, draw = clean(), np.random.default_rng(1)
    split, click = log["split"], log["click"] == 1
    train, test = split == "train", split == "test"
    log["serial"] = [f"r{i}" for i in range(ROWS)]
    log["always"] = "x"
    log["told"] = np.where(click ^ (draw.random(ROWS) < 0.03), "a", "b")
    log["season"] = np.where(test, "winter", np.where(draw.random(ROWS) < 0.9, "summer", "winter"))
    log["written"] = np.where(test, log["tab"] + ".0", log["tab"])
    log["spent"] = np.where(log["buy"] == 1, 9.0, np.nan)
    log["coupon"] = pd.Series("c", log.index).where(click & (draw.random(ROWS) < 0.3))
    log["wild"] = draw.normal(0, 1, ROWS)
    log.loc[[5, 9, ROWS - 1], "wild"] = 1e6
    log["same"] = 3.0
    log["level"] = draw.normal(np.where(test, 3, 0), 1)
    log["refund"] = np.where(draw.random(ROWS) < 0.5, np.nan, 1.0)
    log.loc[test, "buy"] = np.where(np.arange(test.sum()) < 12, click[test], 0.0)
    log.loc[log.index[train][:300], "buy"] = np.nan
    log.loc[log.index[train][:40], "time"] = 1_700_000_000
    log.loc[test & (log["user"] < 190), "click"] = 1.0
    log.loc[log.index[(split == "valid") & ~click][:9], "buy"] = 1.0
    again = log[train].tail(90)
    return pd.concat([log, again, again.head(70).assign(split="test")], ignore_index=True)


def parts_of(recipe: Recipe, log: pd.DataFrame, sizes: Sequence[int] = (2**16,)) -> Iterator[Part]:
    """The rows in parts of the sizes, over and over; each part has rows of one split."""
    at = turn = 0
    while at < len(log):
        rows = log.iloc[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(rows), turn + 1
        for split, some in rows.groupby("split", sort=False):
            yield part_of(recipe, str(split), some)


def part_of(recipe: Recipe, split: str, rows: pd.DataFrame) -> Part:
    fields = {}
    for column in recipe.features:
        kind: Any = pa.list_(pa.string()) if isinstance(column, Tags) else pa.string()
        kind = pa.float64() if isinstance(column, Dense) else kind
        fields[column.name] = pa.array(rows[column.name].tolist(), kind, from_pandas=True)
    item_N = np.array([int(item[1:]) for item in rows["item"]], np.uint64)
    return Part(
        split,
        pa.record_batch(fields),
        rows[[task.name for task in recipe.tasks]].to_numpy(float),
        Where("log.csv", rows.index.to_numpy(np.int64)),
        user_N=rows["user"].to_numpy(np.uint64),
        request_N=rows["request"].to_numpy(np.uint64),
        time_N=rows["time"].to_numpy(np.int64),
        item_N=item_N,
    )


def found(recipe: Recipe, log: pd.DataFrame, sizes: Sequence[int] = (2**16,)) -> Sequence[Finding]:
    return look(Source(recipe, {}, lambda: parts_of(recipe, log, sizes)))[1]


PLANTED = broken()
OF = {split: PLANTED[PLANTED["split"] == split] for split in SPLITS}


def shown(some: float, whole: float) -> str:
    return f"{some:,.0f} of {whole:,.0f} ({some / whole:.1%})"


def planted() -> Iterator[tuple[str, str, str]]:
    """Level, and how the sentence on each planted defect begins and goes on, with its counts."""
    train, test = OF["train"], OF["test"]
    late = (train["time"] > test["time"].min()).mean()
    spent = train["spent"].notna()
    yield "error", "broken: feature 'spent' alone gives task 'buy' an AUC of 1.0000", ""
    yield "error", "broken, valid: 9 rows have 'buy' without 'click'", ""
    yield (
        "warning",
        f"Column 'spent' is there on {(spent & (train.buy == 1)).sum()} train",
        "'buy'",
    )
    yield (
        "warning",
        f"Column 'coupon' is there on {train['coupon'].notna().sum()} train",
        "'click'",
    )
    yield "warning", "Column 'told' alone gives task 'click' an AUC of 0.97", " with 0 on their"
    yield "warning", f"Task 'click' has {(test.click == 0).sum()} test rows of its rarer", "0.06"
    yield "warning", "Task 'click' is 1 more often", "93.4%"
    yield "warning", f"Task 'buy' has {(test.buy == 1).sum()} test rows of its rarer class", ""
    yield "note", "Task 'buy' has no label on 300 of 6,160 (4.9%) rows", "label_missing"
    yield "note", "Rows: 3,690 train, 1,200 valid, 1,270 test", ""
    yield "warning", f"{late:.1%} of the train rows are later than the earliest test row", ""
    for name, bin_ in (("season", "'summer'"), ("level", "above"), ("written", "other")):
        yield "warning", f"Column '{name}' is not the same in train and test: its PSI is", bin_
    yield "warning", "Rows that repeat another one of their split", shown(90, 3690)
    yield "warning", "Rows that are in two splits", f"{shown(70, 1270)} of test in train."
    yield "warning", "Rows with the user, item and time", f"{shown(70, 1270)} of test in train."
    yield "warning", f"Column 'serial' has {shown(3600, 3690)} different values", ""
    yield "warning", "Column 'always' is one category in all rows of train", ""
    yield "warning", "Column 'same' is 3 in all rows of train", ""
    yield "warning", "94.5% of the test values of column 'written' are", "alike"
    yield "warning", "3 of 6,160 numbers of column 'wild' lie more than 10", "quantile"
    for name, code, lacking in (("user", "user", "one class"), ("request", "request", "no row")):
        labels = test.groupby(code)["click"].agg(["min", "max"])
        few = labels["max"] == 0 if name == "request" else labels["min"] == labels["max"]
        yield "note", f"{shown(few.sum(), len(few))} test {name}s, with", f"{lacking}"


def test_every_planted_defect_is_found_with_its_counts_and_nothing_else_is() -> None:
    findings = list(found(BROKEN, PLANTED))
    for level, begins, more in planted():
        of_it = [f for f in findings if f.text.startswith(begins) and more in f.text]
        assert [f.level for f in of_it] == [level], (begins, more, findings)
        findings.remove(of_it[0])
    left = [f.text for f in findings if f.level != "note"]
    # What follows from the others: the buys are clicks, and few of test.
    assert [text[:32] for text in left] == [
        "Task 'buy' is 1 more often in on",
        "Column 'spent' is there on 583 t",
    ]


def test_a_clean_log_has_notes_alone() -> None:
    findings = found(CLEAN, clean())
    assert [f.text for f in findings if f.level != "note"] == []
    assert any(f.text.startswith("Task 'click' is 1 on 40.2% [38.7%, 41.9%]") for f in findings)


def test_a_number_that_is_missing_nearly_everywhere_is_told() -> None:
    log = clean()
    log.loc[log.index[30:], "price"] = np.nan
    texts = [finding.text for finding in found(CLEAN, log) if finding.level == "warning"]
    assert any(t.startswith("Column 'price' is missing in 3,570 of 3,600 rows of") for t in texts)
    log.loc[log.index[30:60], "price"] = 1.0
    assert not any("Column 'price' is missing" in f.text for f in found(CLEAN, log))


def test_new_users_and_values_that_train_has_not_are_counted() -> None:
    log = clean()
    late = log.index[log["split"] == "test"][:60]
    log.loc[late, "user"] = np.arange(1000, 1060, dtype=np.uint64)
    log.loc[late, "item"] = "i999"
    texts = [finding.text for finding in found(CLEAN, log)]
    users = log[log["split"] == "test"]["user"].nunique()
    assert any(
        t.startswith(f"{shown(60, users)} test users, with 5.0% of the rows") for t in texts
    )
    assert "Values of test that train has not, or too rarely: item 5.0%." in texts


def test_a_row_that_cannot_be_read_is_the_one_finding() -> None:
    def parts() -> Iterator[Part]:
        yield from parts_of(CLEAN, clean(100))
        raise UserError("log.csv, row 7 (from 0): column 'price': a number is needed; got 'x'")

    checks, findings = look(Source(CLEAN, {}, parts))
    assert [f.level for f in findings] == ["error"]
    assert "row 7 (from 0)" in findings[0].text
    assert "row 7 (from 0)" in page(CLEAN, checks, findings)


def test_rows_that_are_left_out_are_told() -> None:
    left: dict[str, int] = {}

    def parts() -> Iterator[Part]:
        yield from parts_of(CLEAN, clean())
        left.update({"repeats": 0, "in no split": 1234})

    _, findings = look(Source(CLEAN, {}, parts, left))
    assert Finding("note", "Rows that are left out: 1,234 in no split.") in findings


# --- in any order ---------------------------------------------------------------------------

SHORT = PLANTED.sample(1500, random_state=0).sort_index()
IN_ORDER = found(CLEAN, SHORT)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(100, 900), min_size=1, max_size=4), st.randoms())
def test_order_and_sizes_of_parts_change_no_finding(sizes: list[int], random: Any) -> None:
    parts = list(parts_of(CLEAN, SHORT, sizes))
    random.shuffle(parts)
    _, findings = look(Source(CLEAN, {}, lambda: iter(parts)))
    assert findings == IN_ORDER


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), max_size=120), st.randoms())
def test_a_tally_counts_the_same_keys_whatever_the_order(
    rows: list[tuple[int, int]], random: Any
) -> None:
    def counted(pairs: Sequence[tuple[int, int]], size: int) -> Any:
        tally = KeyTally(3, most=8)
        for at in range(0, len(pairs), size):
            keys, cells = zip(*pairs[at : at + size], strict=True)
            tally.add(np.array(keys, np.uint64), np.array(cells, np.intp))
        return tally.counted()

    whole = counted(rows, 1000)
    shuffled = random.sample(rows, len(rows))
    some = counted(shuffled, random.randint(1, 20))
    for one, other in zip(whole, some, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(whole.key_U) <= 8
    assert whole.share == 1 or len({key for key, _ in rows}) > 8
    if whole.share == 1:
        assert whole.counts_UC.sum() == len(rows)


@settings(max_examples=10, deadline=None)
@given(st.integers(5, 60), st.randoms())
def test_a_sample_is_the_same_rows_whatever_the_order(size: int, random: Any) -> None:
    log = clean(100)
    samples = []
    for sizes, shuffled in (((1000,), False), ((size,), True)):
        sample, parts = SplitSample(most=20), list(parts_of(CLEAN, log, sizes))
        if shuffled:
            random.shuffle(parts)
        for part in parts:
            sample.see(part)
        samples.append(sample.of("train"))
    one, other = samples
    assert one is not None
    assert other is not None
    assert (one.rows, len(one.label_NK)) == (60, 20)
    assert one.fields.equals(other.fields)
    np.testing.assert_array_equal(one.label_NK, other.label_NK)
    assert one.said() == " (of 20 rows drawn from 60)"


WORDS = st.none() | st.sampled_from(["", "a", "b<", "\U0001f600", "1.0"])
NUMBERS = st.none() | st.sampled_from([0.0, -0.0, 1.0, -0.5, 1e30, 1e-300])
LABELS = st.sampled_from([0.0, 1.0, np.nan])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_rows_make_findings_and_a_page(data: st.DataObject) -> None:
    columns: dict[Any, Any] = {
        Categorical("word", min_count=2): (pa.string(), WORDS),
        Categorical("hashed", buckets=5): (pa.string(), WORDS),
        Categorical("shared", share="word"): (pa.string(), WORDS),
        Tags("tags"): (pa.list_(pa.string()), st.none() | st.lists(WORDS, max_size=3)),
        Dense("number"): (pa.float64(), NUMBERS),
        Dense("log", scale="log"): (pa.float64(), NUMBERS),
        Dense("rank", scale="quantile", missing=0.0): (pa.float64(), NUMBERS),
    }
    used = [column for column in columns if data.draw(st.booleans()) or column.name == "word"]
    recipe = Recipe(
        "any",
        tuple(c for c in used if isinstance(c, Categorical)),
        tuple(c for c in used if isinstance(c, Dense)),
        TASKS[: data.draw(st.integers(1, 2))],
    )
    roles = data.draw(st.sets(st.sampled_from(["user_N", "request_N", "item_N", "time_N"])))
    parts: list[Part] = []
    for split in data.draw(st.lists(st.sampled_from(SPLITS), max_size=5)):
        rows = data.draw(st.integers(0, 12))
        some: Any = {"min_size": rows, "max_size": rows}
        fields = {
            c.name: pa.array(data.draw(st.lists(columns[c][1], **some)), columns[c][0])
            for c in recipe.features
        }
        labels = data.draw(st.lists(LABELS, min_size=2 * rows, max_size=2 * rows))
        codes: dict[str, Any] = {
            role: np.array(data.draw(st.lists(st.integers(0, 3), **some)), np.uint64)
            for role in roles
        }
        if "time_N" in codes:
            codes["time_N"] = codes["time_N"].astype(float)
            codes["time_N"][codes["time_N"] == 3] = np.nan
        label_NK = np.array(labels).reshape(rows, 2)[:, : len(recipe.tasks)]
        where = Where("any.csv", np.arange(rows) + 100 * len(parts))
        parts.append(Part(split, pa.record_batch(fields), label_NK, where, **codes))
    checks, findings = look(Source(recipe, {}, lambda: iter(parts)))
    assert all("nan" not in finding.text for finding in findings)
    assert page(recipe, checks, findings).endswith("</html>\n")


# --- figures --------------------------------------------------------------------------------


def test_a_rates_interval_is_wilsons() -> None:
    for rows in (1, 2, 30, 5000):
        for ones in {0, 1, rows // 3, rows - 1, rows}:
            wilson = proportion_confint(ones, rows, method="wilson")
            assert Rate(ones, rows).interval == pytest.approx(wilson, abs=1e-4)


# --- page and command -----------------------------------------------------------------------


def test_the_page_is_one_file_that_shows_every_finding_and_every_field() -> None:
    log = PLANTED.assign(tab=PLANTED["tab"].replace("4", "<script>alert(1)</script>"))
    checks, findings = look(Source(BROKEN, {}, lambda: parts_of(BROKEN, log)))
    html = page(BROKEN, checks, findings)
    assert "<script" not in html
    resources = Resources(html)
    assert resources.loaded == []
    assert "url(" not in html
    texts = [unescape(re.sub("<.*?>", "", item)) for item in re.findall("<li.*?</li>", html)]
    assert texts == [f"{finding.level}{finding.text}" for finding in findings]
    names = [c.name for c in BROKEN.features]
    assert re.findall("<h3>(.*?)</h3>", html) == ["click over time", "buy over time", *names]
    assert resources.drawings == 2 + len(names)


DESCRIPTION = """
[data]
name = "mine"
files = ["log.csv"]
[roles]
user = "user"
item = "item"
time = "time"
[fields]
tab = "category"
price = "number"
{more}
[tasks]
click = "click == 1"
buy = {{ label = "buy == 1", after = "click" }}
[split]
by = "column"
column = "split"
train = "train"
valid = "valid"
test = "test"
"""


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ("", 0, "0 errors, 0 warnings, "),
        ('copy = "number"', 2, "error:   mine: feature 'copy' alone gives task 'click' an AUC"),
        ('seldom = "number"', 2, "error:   "),
    ],
)
def test_the_command_tells_what_a_study_would_refuse_and_where_the_page_lies(
    more: str, code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = clean().drop(columns=["tags", "request"])
    log["copy"], log["seldom"] = log["click"], log["price"].astype(str)
    log.loc[4000, "seldom"] = "many"
    log.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "dataset.toml").write_text(DESCRIPTION.format(more=more), "utf-8")
    out = tmp_path / "pages"
    assert main(["check", f"{tmp_path}/dataset.toml", "--out", f"{out}"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(says) for line in lines), lines
    assert lines[-1].endswith(f"The page: {out / 'check.html'}")
    assert (out / "check.html").read_text("utf-8").startswith("<!doctype html>")
    if more.startswith("seldom"):
        assert "log.csv, row 4000 (from 0)" in lines[0]


def test_the_command_checks_a_made_up_set_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "planted:rows=5000", "--out", f"{tmp_path}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"{tmp_path / 'check.html'}")


def test_what_no_study_refuses_is_told_however_well_it_knows_the_label() -> None:
    draw = np.random.default_rng(0)

    def table(rows: int) -> pd.DataFrame:
        click_N = draw.integers(0, 2, rows)
        far_N = draw.choice([-1, 1], rows) * draw.uniform(2, 3, rows)
        return pd.DataFrame(
            {
                "click": click_N,
                "middle": np.where(click_N == 1, draw.uniform(-1, 1, rows), far_N),
                "tags": [[draw.choice(["a", "b"]), *["clicked"] * click] for click in click_N],
            }
        )

    recipe = Recipe("toy", (Tags("tags"),), (Dense("middle"),), (Task("click"),))
    tables = Tables(table(4000), table(500), table(500))
    findings = look(of_tables(recipe, {}, lambda: tables))[1]
    told = [text for level, text in findings if level == "warning"]
    for name in ("middle", "tags"):
        assert any(t.startswith(f"Column {name!r} alone gives task 'click' an AUC") for t in told)
