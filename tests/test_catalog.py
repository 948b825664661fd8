"""Each description of the catalog reads a few made-up rows in the layout of the original files."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from fsmd.data.description.catalog import names, path_of
from fsmd.data.description.expression import parse
from fsmd.data.description.toml import read
from fsmd.data.description.values import ByShare, Description
from fsmd.data.rows.log import Log
from fsmd.errors import UserError
from studies.data import main
from studies.data.convert import convert_aliccp, run

MEMORY = 2**28
Columns = Mapping[str, Sequence[Any]]


class Made(NamedTuple):
    """Files of a set as their origin writes them, and what must be read of them."""

    name: str
    files: Mapping[str, str]
    """Path below the set's folder -> content."""
    splits: Mapping[str, Columns]
    """Split -> label or field -> values in order of the rows."""


def table(header: str, *rows: str, separator: str = ",") -> str:
    """A text with a header."""
    return "\n".join((header.replace(",", separator), *rows)) + "\n"


# --- KuaiRand and KuaiRec -------------------------------------------------------------------

LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab"
)
LOG_ROWS = {
    # 23:30 and 00:30 in Beijing
    20220421: "0,7,20220421,2330,1650555000000,1,1,0,0,0,0,1,9000,8000,0,0,0,0,1",
    20220422: "1,9,20220422,30,1650558600000,0,0,0,0,0,0,1,19000,30000,0,0,0,0,0",
    20220505: "0,8,20220505,1200,1651723200000,1,0,1,0,0,0,0,1000,8000,0,0,0,0,1",
    20220506: "1,7,20220506,1200,1651809600000,1,0,0,1,0,0,1,9000,8000,0,0,0,0,1",
    20220507: "0,7,20220507,1200,1651896000000,0,0,0,0,1,0,0,9,8000,0,0,0,0,2",
    20220508: "1,8,20220508,1200,1651982400000,1,0,0,0,0,1,1,9000,8000,0,0,0,0,1",
}
ONEHOT = ",".join(f"onehot_feat{i}" for i in range(18))
USERS = table(
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
    "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,"
    f"friend_user_num_range,register_days,register_days_range,{ONEHOT}",
    '0,full_active,0,1,1,514,500+,150,"[100,1k)",34,"[30,60)",799,730+,1,1,29,949,1.0,0,0,14,135,'
    "6,3,0,0.0,1.0,0.0,0.0,0.0,0.0",
    '1,UNKNOWN,0,-124,1,457,"(250,500]",20,"[10,100)",3,"[1,5)",1474,730+,1,3,2,1160,,0,0,31,283,'
    "6,2,2,,,,,,",
)
VIDEOS = table(
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag",
    "7,70,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,39",
    '8,80,NORMAL,2022-04-30,Kmovie,0.0,,720.0,1280.0,6355810746,,"12,65"',
)


def logs(*dates: int) -> str:
    return table(LOG, *(LOG_ROWS[date] for date in dates))


def days(time_ms: int, since: int) -> float:
    """From midnight in Beijing on a day, as the Unix time of midnight in UTC."""
    return (time_ms / 1000 + 8 * 3600 - since) / 86400


KUAIRAND = Made(
    "kuairand",
    {
        "KuaiRand-Pure/data/log_standard_4_08_to_4_21_pure.csv": logs(20220421, 20220421),
        "KuaiRand-Pure/data/log_standard_4_22_to_5_08_pure.csv": logs(*list(LOG_ROWS)[1:]),
        "KuaiRand-Pure/data/log_random_4_22_to_5_08_pure.csv": "user_id\nnot read\n",
        "KuaiRand-Pure/data/user_features_pure.csv": USERS,
        "KuaiRand-Pure/data/video_features_basic_pure.csv": VIDEOS,
    },
    {
        "train": {
            "click": [1, 0, 1],
            "long_view": [1, 0, 0],
            "hour": ["23", "0", "12"],
            "user_active_degree": ["full_active", "UNKNOWN", "full_active"],
            "fans_user_num_range": ["[100,1k)", "[10,100)", "[100,1k)"],
            "onehot_feat4": ["1.0", None, "1.0"],
            "tag": ["39", None, "12,65"],
            "first_tag": ["39", None, "12"],
            "video_duration": [87433, None, None],
            "video_days": [
                days(1650555000000, 1649548800),
                None,
                days(1651723200000, 1651276800),
            ],
            "fans_user_num": [150, 20, 150],
        },
        "valid": {"click": [1], "long_view": [1]},
        "test": {"click": [0, 1], "long_view": [0, 1], "tab": ["2", "1"]},
    },
)
KUAIRAND_1K = Made(
    "kuairand_1k",
    {
        "KuaiRand-1K/data/log_standard_4_08_to_4_21_1k.csv": logs(20220421),
        "KuaiRand-1K/data/log_standard_4_22_to_5_08_1k.csv": logs(*list(LOG_ROWS)[1:]),
        "KuaiRand-1K/data/log_random_4_22_to_5_08_1k.csv": "user_id\nnot read\n",
        "KuaiRand-1K/data/user_features_1k.csv": USERS,
        "KuaiRand-1K/data/video_features_basic_1k.csv": VIDEOS,
    },
    {
        "train": {
            "click": [1, 0, 1, 1],
            "long_view": [1, 0, 0, 1],
            "like": [1, 0, 0, 0],
            "follow": [0, 0, 1, 0],
            "comment": [0, 0, 0, 1],
            "forward": [0, 0, 0, 0],
            "duration_ms": [8000, 30000, 8000, 8000],
            "tag": [["39"], None, ["12", "65"], ["39"]],
            "author_id": ["70", None, "80", "70"],
        },
        "valid": {"click": [0], "forward": [1]},
        "test": {"click": [1], "forward": [0], "hour": ["12"]},
    },
)
KUAIRAND_27K = Made(
    "kuairand_27k",
    {
        "log_standard_4_08_to_4_21_27k_part1.csv": logs(20220421),
        "log_standard_4_22_to_5_08_27k_part1.csv": logs(20220422, 20220507),
        "log_standard_4_22_to_5_08_27k_part2.csv": logs(20220505, 20220508),
        "user_features_27k.csv": USERS,
    },
    {
        "train": {
            "click": [1, 0, 1],
            "video_id": ["7", "9", "8"],
            "register_days": [799, 1474, 799],
        },
        "valid": {"click": [0]},
        "test": {"click": [1], "long_view": [1]},
    },
)
MATRIX = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio"
KUAIREC = Made(
    "kuairec",
    {
        "KuaiRec 2.0/data/big_matrix.csv": table(
            MATRIX,
            "0,7,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.2733965215790926",
            "0,7,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.2733965215790926",
            "1,8,100,5000,2020-07-05 10:00:00,20200705,1593914400.0,0.02",
            "1,7,40000,10867,2020-08-23 10:00:00,20200823,1598148000.0,3.6808687",
            "0,8,5000,5000,2020-08-30 10:00:00,20200830,1598752800.0,1.0",
        ),
        "KuaiRec 2.0/data/small_matrix.csv": table(MATRIX, "not read"),
        "KuaiRec 2.0/data/user_features.csv": USERS,
        "KuaiRec 2.0/data/item_categories.csv": table("video_id,feat", "7,[8]", '8,"[27, 9]"'),
    },
    {
        "train": {
            "finish": [1, 0],
            "like": [0, 0],
            "hour": ["0", "10"],
            "feat": [["8"], ["27", "9"]],
            "video_duration": [10867, 5000],
        },
        "valid": {"finish": [1], "like": [1]},
        "test": {"finish": [1], "like": [0]},
    },
)

# --- without header, split by files ---------------------------------------------------------


def items(*rows: tuple[str, int]) -> str:
    """Search id, item_2 .. item_48 and the label item_49."""
    return "".join(
        ",".join((search, *(str(i + n) for i in range(2, 49)), str(label))) + "\n"
        for n, (search, label) in enumerate(rows)
    )


def searches(*ids: str) -> str:
    """Search id, user_2 .. user_33."""
    return "".join(
        ",".join((search, *(f"{i + n}.5" if 9 <= i < 32 else str(i + n) for i in range(2, 34))))
        + "\n"
        for n, search in enumerate(ids)
    )


def aliexpress(country: str) -> Made:
    return Made(
        f"aliexpress_{country}",
        {
            f"{country}_item_train.csv": items(("a", 0), ("a", 1), ("b", 2)),
            f"{country}_item_test.csv": items(("c", 2), ("c", 0), ("d", 1), ("d", 0)),
            f"{country}_user_train.csv": searches("a", "b"),
            f"{country}_user_test.csv": searches("c", "d"),
        },
        {
            "train": {
                "click": [0, 1, 1],
                "conversion": [0, 0, 1],
                "user_2": ["2", "2", "3"],
                "user_31": [31.5, 31.5, 32.5],
                "user_33": ["33", "33", "34"],
                "item_2": [2, 3, 4],
                "item_42": ["42", "43", "44"],
                "item_48": [48, 49, 50],
            },
            "valid": {"click": [1, 0], "conversion": [1, 0]},
            "test": {"click": [1, 0], "conversion": [0, 0], "user_2": ["3", "3"]},
        },
    )


CENSUS_LINE = (
    "{age}, Private, 0, 0, High school graduate, {wage}, Not in universe, {marital}, "
    "Not in universe or children, Not in universe, White, NA, Female, Not in universe, "
    "Not in universe, Not in labor force, 0, 0, 0, Nonfiler, Not in universe, Not in universe, "
    "Householder, Householder, 1700.09, ?, ?, ?, Not in universe under 1 year old, ?, 0, "
    "Not in universe, United-States, United-States, United-States, "
    "Native- Born in the United States, 0, Not in universe, 2, 0, 95, {income}\n"
)


def census(age: int, wage: int, marital: str, income: str) -> str:
    return CENSUS_LINE.format(age=age, wage=wage, marital=marital, income=income)


CENSUS_FILES = {
    "census-income.data": census(73, 0, "Widowed", "- 50000.")
    + census(18, 900, "Never married", "50000+."),
    "census-income.test": census(30, 0, "Divorced", "50000+.")
    + census(31, 0, "Never married", "- 50000."),
}
CENSUS_SPLITS: Mapping[str, Columns] = {
    "train": {
        "income": [0, 1],
        "marital": [0, 1],
        "age": [73, 18],
        "wage_per_hour": [0, 900],
        "hisp_origin": ["NA", "NA"],
        "mig_chg_msa": ["?", "?"],
        "year": ["95", "95"],
    },
    "valid": {"income": [1], "marital": [0]},
    "test": {"income": [0], "marital": [1], "age": [31]},
}

ADULT = Made(
    "adult",
    {
        "adult.data": "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, "
        "Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K\n"
        "50, ?, 83311, Bachelors, 13, Married-civ-spouse, ?, Husband, White, Male, 0, 0, 13, ?, "
        ">50K\n\n",
        "adult.test": "|1x3 Cross validator\n"
        "25, Private, 226802, 11th, 7, Never-married, Machine-op-inspct, Own-child, Black, Male, "
        "0, 0, 40, United-States, <=50K.\n"
        "28, Local-gov, 336951, Assoc-acdm, 12, Married-civ-spouse, Protective-serv, Husband, "
        "White, Male, 0, 0, 40, United-States, >50K.\n\n",
    },
    {
        "train": {
            "high_income": [0, 1],
            "never_married": [1, 0],
            "workclass": ["State-gov", None],
            "capital_gain": [2174, 0],
        },
        "valid": {"high_income": [0], "never_married": [1]},
        "test": {"high_income": [1], "never_married": [0], "hours_per_week": [40]},
    },
)

# --- by time --------------------------------------------------------------------------------

CRITEO_HEADER = (
    "timestamp,uid,campaign,conversion,conversion_timestamp,conversion_id,attribution,click,"
    "click_pos,click_nb,cost,cpo,time_since_last_click,cat1,cat2,cat3,cat4,cat5,cat6,cat7,cat8,"
    "cat9"
)


def criteo(time: int, uid: int, conversion: int, click: int, since: int) -> str:
    later = (time + 999, 42) if conversion else (-1, -1)
    row = (time, uid, 22589171, conversion, *later, 0, click, -1, -1, 1e-05, 0.39, since)
    return "\t".join(map(str, (*row, *range(5824233, 5824242))))


CRITEO = Made(
    "criteo_attribution",
    {
        "criteo_attribution_dataset.tsv": table(
            CRITEO_HEADER,
            criteo(0, 20073966, 0, 0, -1),
            criteo(7200, 20073966, 1, 1, 7000),
            criteo(2_246_399, 5, 1, 0, -1),
            criteo(2_246_400, 5, 0, 1, -1),
            criteo(2_671_199, 6, 0, 0, 30),
            separator="\t",
        )
    },
    {
        "train": {
            "click": [0, 1, 0],
            "conversion": [0, 1, 0],
            "uid": ["20073966", "20073966", "5"],
            "hour": ["0", "2", "23"],
            "cat9": ["5824241"] * 3,
            "time_since_last_click": [None, 7000, None],
        },
        "valid": {"click": [1], "conversion": [0]},
        "test": {"click": [0], "time_since_last_click": [30]},
    },
)

RATINGS = [(n % 5 + 1, 978300760 + 100 * n) for n in range(10)]
MOVIELENS = Made(
    "movielens_1m",
    {
        "ml-1m/ratings.dat": "".join(
            f"1::{1193 + n}::{rating}::{time}\n" for n, (rating, time) in enumerate(RATINGS)
        ),
        "ml-1m/users.dat": "1::F::1::10::48067-1234\n2::M::56::16::70072\n",
        "ml-1m/movies.dat": "1193::Star Wars: Episode IV - A New Hope (1977)::Action|Sci-Fi\n"
        "1202::Mis\u00e9rables, Les (1995)::Drama\n",
    },
    {
        "train": {
            "fine": [0, 0, 1, 1, 1, 0, 0, 1],
            "good": [0, 0, 0, 1, 1, 0, 0, 0],
            "gender": ["F"] * 8,
            "age": ["1"] * 8,
            "zip": ["48067"] * 8,
            "genres": [["Action", "Sci-Fi"], *[None] * 7],
        },
        "valid": {"good": [1], "movie_id": ["1201"]},
        "test": {"good": [1], "movie_id": ["1202"], "genres": [["Drama"]]},
    },
)

# --- at random ------------------------------------------------------------------------------

NUMBERS = range(400)
QK_VIDEO = Made(
    "qk_video",
    {
        "QK-video.csv": table(
            "user_id,item_id,click,follow,like,share,video_category,watching_times,gender,age",
            *(f"{n // 9},{n},{n % 2},{n % 3 % 2},{n % 5 % 2},0,1,9,2,4" for n in NUMBERS),
        )
    },
    {
        "all": {
            "item_id": [str(n) for n in NUMBERS],
            "click": [n % 2 for n in NUMBERS],
            "follow": [n % 3 % 2 for n in NUMBERS],
            "like": [n % 5 % 2 for n in NUMBERS],
            "age": ["4" for _ in NUMBERS],
        }
    },
)
TIKTOK = Made(
    "tiktok",
    {
        "final_track1_train.txt": "".join(
            f"{n}\t-1\t{n}\t7\t12\t0\t{n % 2}\t{n % 5 % 2}\t-1\t8\t53043325466\t{n % 9}\n"
            for n in NUMBERS
        )
    },
    {
        "all": {
            "uid": [str(n) for n in NUMBERS],
            "user_city": [None for _ in NUMBERS],
            "item_city": ["12" for _ in NUMBERS],
            "finish": [n % 2 for n in NUMBERS],
            "like": [n % 5 % 2 for n in NUMBERS],
            "video_duration": [n % 9 for n in NUMBERS],
        }
    },
)

# --- Ali-CCP --------------------------------------------------------------------------------


def features(*values: str) -> str:
    """`field value weight` each."""
    parts = (value.split() for value in values)
    return "\x01".join(f"{field}\x02{value}\x03{weight}" for field, value, weight in parts)


def sample(number: int, click: int, buy: int, index: str) -> str:
    found = features("205 41 1.0", "206 3 1.0", "210 5 1.0", "210 6 1.0", "508 9 2.5", "301 1 1.0")
    return f"{number},{click},{buy},{index},6,{found}\n"


ALICCP = {
    "train/sample_skeleton_train.csv": sample(1, 0, 0, "ba")
    + sample(2, 1, 1, "bb")
    + sample(3, 0, 1, "ba"),
    "train/common_features_train.csv": f"ba,2,{features('101 7 1.0', '109_14 11 0.6')}\n"
    + f"bb,3,{features('101 8 1.0', '109_14 12 0.6', '109_14 13 0.7')}\n",
    "test/sample_skeleton_test.csv": sample(1, 0, 0, "ba") + sample(2, 1, 0, "ba"),
    "test/common_features_test.csv": f"ba,1,{features('101 9 1.0')}\n",
}
ALICCP_READ: Mapping[str, Columns] = {
    "train": {
        "click": [0, 1],
        "buy": [0, 1],
        "user": ["7", "8"],
        "item": ["41", "41"],
        "user_category": ["9", "9"],
        "profile": [None, None],
    },
    "valid": {"click": [0], "user": ["9"]},
    "test": {"click": [1], "buy": [0], "user": ["9"]},
}

# --- tests ----------------------------------------------------------------------------------

MADE = (
    Made("census", CENSUS_FILES, CENSUS_SPLITS),
    Made("census_no_leak", CENSUS_FILES, CENSUS_SPLITS),
    KUAIRAND,
    KUAIRAND_1K,
    KUAIRAND_27K,
    KUAIREC,
    *map(aliexpress, ("nl", "es", "fr", "us", "ru")),
    QK_VIDEO,
    TIKTOK,
    CRITEO,
    MOVIELENS,
    ADULT,
)


def described(name: str) -> Description:
    return read(path_of(name))


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "latin-1")  # of MovieLens; elsewhere ASCII


def read_rows(description: Description) -> dict[str, dict[str, list[Any]]]:
    """Split -> field or task -> values; "all" has all rows in order of the file."""
    kept: list[dict[str, Any]] = []
    for part in Log.of(description, MEMORY).parts():
        tasks = (task.name for task in description.recipe.tasks)
        labels = dict(zip(tasks, part.label_NK.T.astype(int).tolist(), strict=True))
        columns = {**part.fields.to_pydict(), **labels, "row": part.where.rows_N.tolist()}
        rows = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        kept += [{**row, "split": part.split} for row in rows]
    return {
        split: {name: [row[name] for row in rows] for name in kept[0]}
        for split, rows in (
            *((s, [r for r in kept if r["split"] == s]) for s in ("train", "valid", "test")),
            ("all", sorted(kept, key=lambda row: row["row"])),
        )
    }


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name)
def test_made_up_rows_in_the_original_layout_are_read_as_meant(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMD_DATA", str(tmp_path))
    description = described(made.name)
    assert description.origin is not None
    write(tmp_path / description.origin.folder, made.files)
    digests_forgotten = replace(description.origin, sha256={})
    compare(read_rows(replace(description, origin=digests_forgotten)), made.splits)


def compare(got: Mapping[str, Columns], wanted: Mapping[str, Columns]) -> None:
    for split, columns in wanted.items():
        for name, values in columns.items():
            close = [pytest.approx(v) if isinstance(v, float) else v for v in values]
            assert got[split][name] == close, (split, name)


def test_rows_without_a_time_are_split_at_random_in_the_shares_said() -> None:
    for name, shares in (("qk_video", (0.8, 0.1, 0.1)), ("tiktok", (0.81, 0.09, 0.1))):
        split = described(name).split
        assert isinstance(split, ByShare)
        assert split.shares == shares


def test_known_digests_refuse_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSMD_DATA", str(tmp_path))
    write(tmp_path / "kuairand-pure-14d", KUAIRAND.files)
    with pytest.raises(UserError, match=r"user_features_pure.csv.*dc729a65"):
        read_rows(described("kuairand"))


@pytest.mark.parametrize("name", names())
def test_each_description_says_its_licence_where_to_get_it_and_figures_of_its_tasks(
    name: str,
) -> None:
    description = described(name)
    assert description.recipe.name == name
    assert description.origin is not None
    assert description.origin.licence
    assert description.origin.source.startswith("https://")
    tasks = {task.name for task in description.recipe.tasks}
    for published in description.published:
        assert published.source
        for model, figures in published.figures.items():
            named = {task.partition("|")[0] for task in figures}
            assert named <= tasks, model
            assert all(0 < figure < 1 for figure in figures.values()), model


AFTERWARDS = {
    *("play_time_ms", "profile_stay_time", "comment_stay_time", "is_profile_enter", "is_hate"),
    *("play_duration", "watching_times", "conversion_timestamp", "conversion_id", "attribution"),
    *("click_pos", "click_nb", "cost", "cpo", "create_time"),
}


@pytest.mark.parametrize("name", names())
def test_no_field_is_made_of_what_is_known_only_afterwards(name: str) -> None:
    description = described(name)
    labels = {
        column
        for label in description.labels.values()
        for column in parse(label.expression, "label").columns
    }
    for field, source in description.fields.items():
        used = set(parse(source.expression, "field").columns)
        assert not used & (AFTERWARDS | labels), field
        assert not source.known_before, field


def test_the_countries_of_aliexpress_differ_in_names_and_figures_alone() -> None:
    nl = described("aliexpress_nl")
    for country in ("es", "fr", "us", "ru"):
        other = described(f"aliexpress_{country}")
        assert other.recipe == replace(nl.recipe, name=other.recipe.name)
        assert (other.fields, other.labels) == (nl.fields, nl.labels)
        assert other.data.patterns == tuple(
            name.replace("nl_", f"{country}_") for name in nl.data.patterns
        )


# --- conversion of Ali-CCP --------------------------------------------------------------------


def test_aliccp_is_converted_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSMD_DATA", str(tmp_path))
    monkeypatch.setattr("studies.data.convert.VALUES", 1)  # several row groups
    write(tmp_path / "raw", ALICCP)
    assert main(["convert", "aliccp", str(tmp_path / "raw"), str(tmp_path / "aliccp")]) == 0
    assert "samples_train.parquet: 2 rows; 1 with a buy and no click left out" in (
        capsys.readouterr().out
    )
    compare(read_rows(described("aliccp")), ALICCP_READ)
    samples, common = (
        pq.read_table(tmp_path / "aliccp" / f"{name}_train.parquet").to_pylist()
        for name in ("samples", "common")
    )
    assert samples[0]["210"] == ["5", "6"]
    assert samples[0]["508_weight"] == 2.5
    assert [row["109_14"] for row in common] == [["11"], ["12", "13"]]


BAD_LINES = {
    "5 values": ("1,0,0\n", "6 values are needed; got 3"),
    "label": (sample(1, 2, 0, "ba"), "click must be 0 or 1; got '2'"),
    "feature": (sample(1, 1, 0, "ba").replace("\x03", ""), "FIELD.*got '205"),
    "field": (sample(1, 1, 0, "ba").replace("508", "999"), "no field '999'.*there are 205"),
    "weight": (sample(1, 1, 0, "ba").replace("2.5", "many"), "could not convert.*'many'"),
    "infinite": (sample(1, 1, 0, "ba").replace("2.5", "1e999"), "must be a number; got '1e999'"),
}


@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_bad_line_of_aliccp_is_named_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    line, said = BAD_LINES[kind]
    name = "train/sample_skeleton_train.csv"
    write(tmp_path / "raw", {**ALICCP, name: sample(1, 0, 0, "ba") + line})
    with pytest.raises(UserError, match=f"sample_skeleton_train.csv, line 2: .*{said}"):
        convert_aliccp(tmp_path / "raw", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_aliccp_without_a_file_or_into_a_full_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "raw", ALICCP)
    with pytest.raises(UserError, match="OUT must be a new or an empty folder"):
        convert_aliccp(tmp_path / "raw", tmp_path)
    (tmp_path / "raw/test/common_features_test.csv").unlink()
    with pytest.raises(UserError, match=r"one file common_features_test.csv must be below"):
        convert_aliccp(tmp_path / "raw", tmp_path / "out")
    with pytest.raises(UserError, match="no conversion of 'kuairand'; there are aliccp"):
        run(Namespace(set="kuairand", source=tmp_path, target=tmp_path))


# --- the listing ------------------------------------------------------------------------------


def test_the_catalog_lists_every_description_with_its_tasks_and_licence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["catalog"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in names():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert described(name).recipe.tasks[0].name in line


def test_the_catalog_tells_of_one_set_where_to_get_it_and_what_others_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["catalog", "aliexpress_nl"]) == 0
    told = capsys.readouterr().out
    for part in ("tianchi", "not stated", "0.7234", "0.8630", "item_train.csv", "--copy"):
        assert part in told


def test_a_copy_of_a_description_is_read_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "dataset.toml"
    assert main(["catalog", "kuairand", "--copy", str(path)]) == 0
    assert read(path).recipe == described("kuairand").recipe
    path.write_text("mine")
    assert main(["catalog", "kuairand", "--copy", str(path)]) == 2
    assert path.read_text() == "mine"
    assert main(["catalog", "kuairant"]) == 2
