"""A made-up video log whose true probabilities are known, with a knob for the tasks' conflict.

Click and conversion are drawn from known effects: low-rank interactions between what a user is
and what a video is (a factorization machine can express them), and non-linear main effects (it
cannot). What drives the conversion correlates with what drives the click by 1 - 2 * conflict.
Calibrated to real rates: click .44, long view given click .70.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from fsmd.data.encode import encoded
from fsmd.data.schema import Dataset
from fsmd.data.source import LEAST_ROWS, Categorical, Dense, Recipe, Source, Tables, whole
from fsmd.errors import UserError

CLICK_RATE = 0.44
LONG_VIEW_RATE = 0.70
"""Of the clicked."""
DAYS = 15
LAST_TRAIN_DAY, LAST_VALID_DAY = 10, 12
TASKS = ("click", "long_view")

_RANK = 2
_SPREAD = 1.4  # standard deviation of the log-odds: best AUCs of about .78
_ID_SHARE = 0.15  # standard deviation of what a user or video has beyond its attributes
_TASTE = {"user_id": ("age_range", "gender", "city_tier"), "video_id": ("rating", "duration")}
"""The attributes that take part in interactions, of users and of videos."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PlantedConfig:
    """Size, seed, and the conflict of the tasks: 0 alike, 0.5 unrelated, 1 opposed."""

    rows: int = 60_000
    users: int = 1_500
    videos: int = 800
    conflict: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that leave a split empty."""
        for name, least in (("rows", LEAST_ROWS), ("users", 2), ("videos", 2)):
            if getattr(self, name) < least:
                raise UserError(f"`{name}` must be at least {least}; got {getattr(self, name)}")
        if not 0 <= self.conflict <= 1:
            raise UserError(f"`conflict` must lie between 0 and 1; got {self.conflict}")


RECIPE = Recipe(
    name="planted",
    categorical=tuple(
        Categorical(name)
        for name in (
            *("user_id", "age_range", "gender", "province", "city", "city_tier", "device"),
            *("video_id", "video_age", "month", "rating", "hour"),
        )
    ),
    dense=(Dense("duration", log=True), Dense("rating_score")),
    tasks=TASKS,
    funnel=True,
)


def load_planted(config: PlantedConfig) -> Dataset:
    """The data set of this configuration, drawn and encoded now if it never was."""
    return encoded(_source(config))


def _source(config: PlantedConfig) -> Source:
    return Source(RECIPE, asdict(config), lambda: generate(config))


def _named(
    conflict: float = PlantedConfig.conflict,
    rows: float = PlantedConfig.rows,
    seed: float = 0,
) -> Source:
    """The options that a data set's name may carry."""
    return _source(
        PlantedConfig(conflict=conflict, rows=whole("rows", rows), seed=whole("seed", seed))
    )


def sources() -> dict[str, Callable[..., Source]]:
    """The data sets of this file by name."""
    return {"planted": _named}


def generate(config: PlantedConfig) -> Tables:
    """Draw the log and split it by day; `truth` holds p(click) and p(long view) on test."""
    draw = np.random.default_rng(config.seed)
    users, videos = _users(draw, config.users), _videos(draw, config.videos)
    activity = draw.lognormal(0, 0.5, config.users)
    popularity = draw.lognormal(0, 0.8, config.videos)
    u = draw.choice(config.users, config.rows, p=activity / activity.sum())
    v = draw.choice(config.videos, config.rows, p=popularity / popularity.sum())
    log = pd.concat(
        [users.iloc[u].reset_index(drop=True), videos.iloc[v].reset_index(drop=True)], axis=1
    )
    log["hour"] = draw.integers(0, 24, config.rows)
    day = draw.integers(1, DAYS + 1, config.rows)
    probability = _probabilities(draw, config, users, videos, log, u, v)
    click = draw.random(config.rows) < probability["click"]
    converted = draw.random(config.rows) < probability["long_view"] / probability["click"]
    log["click"], log["long_view"] = click.astype(np.int8), (click & converted).astype(np.int8)
    train, valid = day <= LAST_TRAIN_DAY, (day > LAST_TRAIN_DAY) & (day <= LAST_VALID_DAY)
    test = day > LAST_VALID_DAY
    return Tables(log[train], log[valid], log[test], truth=probability[test])


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


def _probabilities(
    draw: np.random.Generator,
    config: PlantedConfig,
    users: pd.DataFrame,
    videos: pd.DataFrame,
    log: pd.DataFrame,
    u: NDArray[np.int64],
    v: NDArray[np.int64],
) -> pd.DataFrame:
    """True p(click) and p(click and long view) of every row."""
    alike = 1 - 2 * config.conflict
    own = np.sqrt(1 - alike**2)
    likes, draws = _latent(draw, users, "user_id"), _latent(draw, videos, "video_id")
    first, second = _latent(draw, users, "user_id"), _latent(draw, videos, "video_id")
    appeal = _unit((likes[u] * draws[v]).sum(1))
    staying = _unit((first[u] * second[v]).sum(1))
    click_main, stay_main = _click_effects(log), _stay_effects(log)
    click = _unit(appeal + click_main)
    other = _unit(staying + stay_main)
    other = _unit(other - np.mean(other * click) * click)  # chance correlation taken out
    stay = alike * click + own * other
    p_click = _calibrated(_SPREAD * click, np.ones(config.rows), CLICK_RATE)
    p_stay = _calibrated(_SPREAD * stay, p_click, LONG_VIEW_RATE)
    return pd.DataFrame({"click": p_click, "long_view": p_click * p_stay})


def _latent(draw: np.random.Generator, table: pd.DataFrame, own: str) -> Vector:
    """Vectors rows x rank: the sum of a vector for each attribute, and a little of their own."""
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

    def excess(b: float) -> float:
        return float(np.average(expit(score + b), weights=weight) - rate)

    return np.asarray(expit(score + brentq(excess, -20, 20)))
