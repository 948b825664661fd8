"""A made-up video log whose true probabilities are known, with a knob for the tasks' conflict.

Labels are drawn from known effects: low-rank interactions between what a user is and what a video
is (a factorization machine can express them), and non-linear main effects (it cannot). What
drives the long view correlates with what drives the click by 1 - 2 * conflict. The rates of both
are real ones; the further tasks are more frequent, so that a small log has some.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from fsmd.data.encode import encoded
from fsmd.data.options import Between, check_options
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.schema import Dataset
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import LEAST_ROWS, Categorical, Dense, Recipe, Source
from fsmd.tasks import Task

CLICK_RATE = 0.44
LONG_VIEW_RATE = 0.70
"""Of the clicked."""
DAYS = 15
LAST_TRAIN_DAY, LAST_VALID_DAY = 10, 12
CATEGORIES = (
    *("user_id", "age_range", "gender", "province", "city", "city_tier", "device"),
    *("video_id", "video_age", "month", "rating", "hour"),
)
TASKS = (
    Task("click"),
    Task("long_view", after="click"),
    Task("like", after="click"),
    Task("follow", after="like"),
    Task("share"),
)
"""A log has the first few of them."""

_RANK = 2
_SPREAD = 1.4  # standard deviation of the log-odds: best AUCs of about .78
_ID_SHARE = 0.15  # standard deviation of what a user or video has beyond its attributes
_TASTE = {"user_id": ("age_range", "gender", "city_tier"), "video_id": ("rating", "duration")}
"""The attributes that take part in interactions, of users and of videos."""

Vector = NDArray[np.float64]
Rows = Annotated[int, Between(LEAST_ROWS, 10_000_000)]
Count = Annotated[int, Between(2, 1_000_000)]
Conflict = Annotated[float, Between(0, 1)]
Seed = Annotated[int, Between(0, 2**32 - 1)]
TaskCount = Annotated[int, Between(1, len(TASKS))]


@dataclass(frozen=True)
class Further:
    """What drives a further task: the drivers of others, by weight, and the rest its own."""

    rate: float
    """Among the rows where the task that it follows is 1."""
    drivers: Mapping[str, float]
    """Task -> weight; the squares sum to less than 1."""
    main: tuple[str, ...]
    """Columns of which each value has an effect of its own."""


FURTHER: Mapping[str, Further] = MappingProxyType(
    {
        "like": Further(0.30, {"click": -0.3, "long_view": 0.6}, ("gender", "rating")),
        "follow": Further(0.40, {"click": 0.3, "like": 0.5}, ("age_range", "video_age")),
        "share": Further(0.15, {"click": 0.5, "long_view": -0.5}, ("device", "month")),
    }
)


@dataclass(frozen=True)
class PlantedConfig:
    """Size, seed, number of tasks, and the conflict of click and long view.

    A conflict of 0 makes them alike, 0.5 unrelated, 1 opposed.
    """

    rows: Rows = 60_000
    users: Count = 1_500
    videos: Count = 800
    conflict: Conflict = 0.5
    seed: Seed = 0
    tasks: TaskCount = 2
    """How many of `TASKS`."""

    def __post_init__(self) -> None:
        """Refuse what lies out of range."""
        check_options(asdict(self), {field.name: field.type for field in fields(self)})


def recipe_of(tasks: int) -> Recipe:
    """What the columns are, with that many of `TASKS`."""
    return Recipe(
        name="planted",
        categorical=tuple(map(Categorical, CATEGORIES)),
        dense=(Dense("duration", scale="log"), Dense("rating_score")),
        tasks=TASKS[:tasks],
        user="user_id",
        request="visit",
        settings=TrainingSettings(batch_size=512, learning_rate=0.002, patience=2),
    )


def load_planted(config: PlantedConfig) -> Dataset:
    """The data set of this configuration, drawn and encoded now if it never was."""
    return encoded(_source(config), file=__file__)


def _source(config: PlantedConfig) -> Source:
    return of_tables(recipe_of(config.tasks), asdict(config), lambda: generate(config))


def sources() -> dict[str, Callable[..., Source]]:
    """The data sets of this file by name."""

    def planted(
        conflict: Conflict = PlantedConfig.conflict,
        rows: Rows = PlantedConfig.rows,
        seed: Seed = PlantedConfig.seed,
        tasks: TaskCount = PlantedConfig.tasks,
    ) -> Source:
        return _source(PlantedConfig(conflict=conflict, rows=rows, seed=seed, tasks=tasks))

    return {"planted": planted}


class Exposures(NamedTuple):
    """Whom and what a log is about; `log` has N rows with the features of user and video."""

    users: pd.DataFrame
    videos: pd.DataFrame
    log: pd.DataFrame
    user_N: NDArray[np.int64]
    video_N: NDArray[np.int64]


def generate(config: PlantedConfig) -> Tables:
    """Draw the log and split it by day; `truth` holds each task's probability on test."""
    draw = np.random.default_rng(config.seed)
    users, videos = _users(draw, config.users), _videos(draw, config.videos)
    activity = draw.lognormal(0, 0.5, config.users)
    popularity = draw.lognormal(0, 0.8, config.videos)
    user_N = draw.choice(config.users, config.rows, p=activity / activity.sum())
    video_N = draw.choice(config.videos, config.rows, p=popularity / popularity.sum())
    of_rows = [users.iloc[user_N], videos.iloc[video_N]]
    log = pd.concat([table.reset_index(drop=True) for table in of_rows], axis=1)
    log["hour"] = draw.integers(0, 24, config.rows)
    day = draw.integers(1, DAYS + 1, config.rows)
    log["visit"] = user_N * (DAYS + 1) + day
    probability, label = _outcomes(draw, config, Exposures(users, videos, log, user_N, video_N))
    log = pd.concat([log, label.astype(np.int8)], axis=1)
    train, test = day <= LAST_TRAIN_DAY, day > LAST_VALID_DAY
    valid = ~(train | test)
    return Tables(log[train], log[valid], log[test], truth=probability[test])


def _outcomes(
    draw: np.random.Generator, config: PlantedConfig, shown: Exposures
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """True probability and label of each row, N x tasks each.

    Each further task has a generator of its own, so that the number of tasks moves none of them.
    """
    everywhere = np.ones(config.rows)
    drivers = _drivers(draw, config.conflict, shown)
    click = _calibrated(_SPREAD * drivers["click"], everywhere, CLICK_RATE)
    stay = _calibrated(_SPREAD * drivers["long_view"], click, LONG_VIEW_RATE)
    probability = {"click": click, "long_view": click * stay}
    label = {"click": draw.random(config.rows) < click}
    # The quotient is `stay` but for rounding, which decides the label of a row now and then.
    stays = draw.random(config.rows) < probability["long_view"] / click
    label["long_view"] = label["click"] & stays
    for k, task in enumerate(TASKS[: config.tasks]):
        if task.name in FURTHER:
            further, own = FURTHER[task.name], np.random.default_rng([config.seed, k])
            drivers[task.name] = _further_driver(own, further, drivers, shown)
            before = everywhere if task.after is None else probability[task.after]
            given = _calibrated(_SPREAD * drivers[task.name], before, further.rate)
            happens = own.random(config.rows) < given
            probability[task.name] = before * given
            label[task.name] = happens if task.after is None else label[task.after] & happens
    names = [task.name for task in TASKS[: config.tasks]]
    return pd.DataFrame(probability)[names], pd.DataFrame(label)[names]


def _users(draw: np.random.Generator, count: int) -> pd.DataFrame:
    """Cities lie in one province and have one tier."""
    cities, provinces = 120, 24
    province, tier = draw.integers(0, provinces, cities), draw.integers(0, 5, cities)
    city = draw.choice(cities, count, p=draw.dirichlet(np.full(cities, 2.0)))
    return pd.DataFrame(
        {
            "user_id": np.arange(count),
            "age_range": draw.choice(7, count, p=[0.08, 0.2, 0.25, 0.2, 0.13, 0.09, 0.05]),
            "gender": draw.integers(0, 2, count),
            "province": province[city],
            "city": city,
            "city_tier": tier[city],
            "device": draw.choice(10, count, p=draw.dirichlet(np.full(10, 3.0))),
        }
    )


def _videos(draw: np.random.Generator, count: int) -> pd.DataFrame:
    """Rating in half stars from 1 to 5, duration in seconds (log-normal), age in weeks."""
    score = np.clip(draw.normal(3.6, 0.8, count), 1, 5)
    return pd.DataFrame(
        {
            "video_id": np.arange(count),
            "video_age": draw.geometric(0.15, count).clip(1, 20),
            "month": draw.integers(1, 13, count),
            "rating": np.round(score * 2).astype(np.int64),
            "rating_score": score,
            "duration": np.round(draw.lognormal(4.2, 0.9, count)) + 3,
        }
    )


def _drivers(draw: np.random.Generator, conflict: float, shown: Exposures) -> dict[str, Vector]:
    """What makes a click, and what makes a long view once clicked: N each, of spread 1."""
    alike = 1 - 2 * conflict
    own = np.sqrt(1 - alike**2)
    click = _unit(_interaction(draw, shown) + _click_effects(shown.log))
    other = _unit(_interaction(draw, shown) + _stay_effects(shown.log))
    other = _unit(other - np.mean(other * click) * click)  # chance correlation taken out
    return {"click": click, "long_view": alike * click + own * other}


def _further_driver(
    draw: np.random.Generator, further: Further, drivers: Mapping[str, Vector], shown: Exposures
) -> Vector:
    """Others' drivers by their weights, and an own one of the rest: N, of spread 1."""
    own = _interaction(draw, shown)
    for name in further.main:
        codes, values = pd.factorize(shown.log[name], sort=True)
        own = own + draw.normal(0, 0.7, len(values))[codes]
    rest = np.sqrt(1 - sum(weight**2 for weight in further.drivers.values()))
    others = (weight * drivers[name] for name, weight in further.drivers.items())
    return _unit(rest * _unit(own) + sum(others))


def _interaction(draw: np.random.Generator, shown: Exposures) -> Vector:
    """How well each row's user and video fit, by tastes drawn now: N, of spread 1."""
    user, video = _latent(draw, shown.users, "user_id"), _latent(draw, shown.videos, "video_id")
    return _unit((user[shown.user_N] * video[shown.video_N]).sum(1))


def _latent(draw: np.random.Generator, table: pd.DataFrame, own: str) -> Vector:
    """Vectors rows x rank: a sum over attributes, and a little of their own."""
    total = np.zeros((len(table), _RANK))
    for name in _TASTE[own]:
        if name == "duration":  # five lengths, as short to long
            codes = pd.qcut(table[name], 5, labels=False).to_numpy()
        else:
            codes, _ = pd.factorize(table[name], sort=True)
        total += draw.normal(size=(codes.max() + 1, _RANK))[codes]
    latent: Vector = total / np.sqrt(len(_TASTE[own])) + _ID_SHARE * draw.normal(size=total.shape)
    return latent


def _click_effects(log: pd.DataFrame) -> Vector:
    """Evenings, short videos for the young, a rating that counts up to four stars."""
    evening = np.cos((log["hour"] - 21) * 2 * np.pi / 24)
    length = np.log(log["duration"]) - 4.2
    youth = (3 - log["age_range"]) / 3
    rating = np.minimum(log["rating_score"], 4) - 3.5
    return _unit((0.5 * evening - length * youth + 0.8 * rating).to_numpy())


def _stay_effects(log: pd.DataFrame) -> Vector:
    """Neither very short nor long videos; fresh ones; nights on some devices."""
    length = np.log(log["duration"]) - 4.2
    night = np.where(log["device"] % 2 == 0, 1, -1) * np.cos(log["hour"] * 2 * np.pi / 24)
    fresh = np.exp(-log["video_age"] / 6)
    return _unit((-0.8 * length**2 + 2 * fresh + 0.6 * night).to_numpy())


def _unit(values: Vector) -> Vector:
    spread = values.std()
    unit: Vector = (values - values.mean()) / (spread if spread > 0 else 1)
    return unit


def _calibrated(score: Vector, weight: Vector, rate: float) -> Vector:
    """sigmoid(score + b) with b such that its weighted mean is `rate`."""
    b = brentq(lambda b: np.average(expit(score + b), weights=weight) - rate, -20, 20)
    return np.asarray(expit(score + b))
