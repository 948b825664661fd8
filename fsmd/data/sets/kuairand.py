"""KuaiRand-Pure, standard log: click, and long view of a clicked video (PAPER section 4).

Exact repeats of a row are removed first. Train to 5 May, validate on 6 May, test on 7 and 8 May
2022, by the log's `date`. The hour is taken from `time_ms` (Beijing), since `hourmin` is off for
17.5 % of the rows. Nothing measured after the exposure is an input. All standard logs that are
there are read: the full release has two, so its train split begins on 8 April.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fsmd.data.files import Origin, source_from, table
from fsmd.data.rows.frames import Tables
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import Categorical, Dense, FewerRows, Recipe, Source
from fsmd.errors import UserError
from fsmd.tasks import Task

USERS, VIDEOS = "user_features_pure.csv", "video_features_basic_pure.csv"
ORIGIN = Origin(
    name="kuairand-pure-14d",
    url="https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz",
    files=("log_standard_*_pure.csv", USERS, VIDEOS),
    text_hashes={
        USERS: "dc729a656301b4c6d07f713fe41d05ec9bfaab670b90e531c70037caf033c011",
        VIDEOS: "a6f7ee02684c5777422306cdc416e170302288aa89aca9dfea995edbd625bcc2",
    },
)

LAST_TRAIN_DATE, VALID_DATE, LAST_TEST_DATE = 20220505, 20220506, 20220508

AFTER_EXPOSURE = (
    *("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view"),
    *("play_time_ms", "profile_stay_time", "comment_stay_time", "is_profile_enter"),
)
"""Columns of the log that are known only once the video was shown: never an input."""

OF_LOG = ("date", "time_ms", "tab", "user_id", "video_id", "is_click", "long_view")
_RANGES = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
OF_USERS = (
    *("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author"),
    *(f"{name}_range" for name in _RANGES),
    *(f"onehot_feat{i}" for i in range(18)),
)
OF_VIDEOS = (
    *("video_type", "upload_dt", "upload_type", "visible_status", "server_width"),
    *("server_height", "music_type", "tag", "first_tag", "video_duration_missing"),
)

RECIPE = Recipe(
    name="kuairand",
    categorical=(
        *(Categorical(name, 2) for name in ("user_id", "video_id", "author_id", "music_id")),
        *map(Categorical, ("tab", "hour", *OF_USERS, *OF_VIDEOS)),
    ),
    dense=(
        *(Dense(name, scale="log") for name in _RANGES),
        Dense("video_duration", scale="log"),
        Dense("video_days"),
    ),
    tasks=(Task("click"), Task("long_view", after="click")),
    user="user_id",
    settings=TrainingSettings(batch_size=2048, dropout=0.5),  # Table III
)


def sources() -> dict[str, Callable[..., Source]]:
    """The data sets of this file by name."""
    return {"kuairand": _source}


def _source(rows: FewerRows | None = None) -> Source:
    check_recipe(RECIPE)
    return source_from(ORIGIN, RECIPE, read, rows)


def check_recipe(recipe: Recipe) -> None:
    """Refuse inputs that are known only after the exposure."""
    for column in recipe.features:
        if column.name in AFTER_EXPOSURE:
            raise UserError(
                f"{recipe.name}: {column.name!r} is measured after the exposure and cannot be an "
                "input; remove it"
            )


def read(paths: tuple[Path, ...]) -> Tables:
    """Join the logs with both feature tables and split by date."""
    *logs, users, videos = (
        table(path, ORIGIN, OF_LOG if path.name.startswith("log_") else ()) for path in paths
    )
    return split(join(pd.concat(logs, ignore_index=True), users, videos))


def join(log: pd.DataFrame, users: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """One row for each distinct exposure, with labels and features.

    `follow_user_num` exists on the user's side and in the monthly video statistics; only the
    user's is read, and any other clash of names is an error.
    """
    clash = (set(users) & set(videos)) | ((set(users) | set(videos)) & set(log))
    if clash - {"user_id", "video_id"}:
        raise UserError(
            f"kuairand: columns {sorted(map(str, clash))} exist on two sides; rename one"
        )
    log = log.drop_duplicates(ignore_index=True)
    shown = pd.to_datetime(log["time_ms"], unit="ms", utc=True).dt.tz_convert("Asia/Shanghai")
    frame = pd.DataFrame(
        {
            "date": log["date"],
            "hour": shown.dt.hour,
            "tab": log["tab"],
            "user_id": log["user_id"],
            "video_id": log["video_id"],
            "click": log["is_click"],
            # Long view without a click (0.4 % of the long views) is no conversion.
            "long_view": log["is_click"] * log["long_view"],
        }
    )
    frame = frame.merge(users, on="user_id", how="left", validate="many_to_one")
    frame = frame.merge(videos, on="video_id", how="left", validate="many_to_one")
    return _filled(frame, shown)


def _filled(frame: pd.DataFrame, shown: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
    """Missing categories become one of their own, missing numbers 0 beside a flag."""
    uploaded = pd.to_datetime(frame["upload_dt"]).dt.tz_localize("Asia/Shanghai")
    frame["video_days"] = ((shown - uploaded).dt.total_seconds() / 86_400).fillna(0.0)
    frame["video_duration_missing"] = frame["video_duration"].isna()
    frame["first_tag"] = frame["tag"].str.partition(",")[0]
    for dense in RECIPE.dense:
        frame[dense.name] = frame[dense.name].fillna(0.0).clip(lower=0.0)
    for column in RECIPE.categorical:
        frame[column.name] = frame[column.name].astype("str").fillna("missing")
    return frame


def split(frame: pd.DataFrame) -> Tables:
    """By the log's date: to 5 May, 6 May, 7 and 8 May."""
    date = frame["date"]
    test = (date > VALID_DATE) & (date <= LAST_TEST_DATE)
    return Tables(frame[date <= LAST_TRAIN_DATE], frame[date == VALID_DATE], frame[test])
