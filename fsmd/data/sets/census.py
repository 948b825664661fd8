"""Census-Income (KDD): income above 50,000 and never married, no funnel (PAPER section 4).

The 99,762 test rows are halved in file order into validation and test. "NA" is a category of
`hisp_origin`; codes of industry, occupation, own business, veterans' benefits and year are
categories although they look like numbers. `instance_weight` is how many people a row stands for
and no feature. `census_no_leak` drops three columns that all but spell out the marital status.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from fsmd.data.files import Origin, source_from, verified_content
from fsmd.data.rows.frames import Tables
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import Categorical, Dense, FewerRows, Recipe, Source
from fsmd.tasks import Task

ORIGIN = Origin(
    name="census-income-kdd",
    url="https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip",
    files=("census-income.data", "census-income.test"),
    text_hashes={
        "census-income.data": "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
        "census-income.test": "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
    },
)

COLUMNS = tuple(
    """
    age class_of_worker industry_code occupation_code education wage_per_hour enrolled
    marital_status major_industry major_occupation race hisp_origin sex union_member
    unemployment_reason employment capital_gains capital_losses dividends tax_filer_stat
    prev_region prev_state household_detail household_summary instance_weight mig_chg_msa
    mig_chg_reg mig_move_reg same_house mig_prev_sunbelt employer_persons family_under_18
    country_father country_mother country_self citizenship own_business veterans_admin
    veterans_benefits weeks_worked year income_class
    """.split()  # noqa: SIM905
)

DENSE = (
    Dense("age"),
    Dense("wage_per_hour", scale="log"),
    Dense("capital_gains", scale="log"),
    Dense("capital_losses", scale="log"),
    Dense("dividends", scale="log"),
    Dense("employer_persons"),
    Dense("weeks_worked"),
)

NUMBERS = {column.name for column in DENSE}
NO_FEATURES = {"instance_weight", "marital_status", "income_class"}
SPELL_OUT_MARITAL = {"tax_filer_stat", "household_detail", "household_summary"}

CENSUS = Recipe(
    name="census",
    categorical=tuple(Categorical(name) for name in COLUMNS if name not in NO_FEATURES | NUMBERS),
    dense=DENSE,
    tasks=(Task("income"), Task("marital")),
    settings=TrainingSettings(batch_size=256),  # Table I
)

NO_LEAK = replace(
    CENSUS,
    name="census_no_leak",
    categorical=tuple(c for c in CENSUS.categorical if c.name not in SPELL_OUT_MARITAL),
)


def sources() -> dict[str, Callable[..., Source]]:
    """The data sets of this file by name."""
    return {recipe.name: partial(_source, recipe) for recipe in (CENSUS, NO_LEAK)}


def _source(recipe: Recipe, rows: FewerRows | None = None) -> Source:
    return source_from(ORIGIN, recipe, read, rows)


def read(paths: tuple[Path, ...]) -> Tables:
    """Train, and the halves of the test file in its order."""
    train, test = (parse(verified_content(path, ORIGIN)) for path in paths)
    middle = len(test) // 2
    return Tables(train, test.iloc[:middle], test.iloc[middle:])


def parse(text: bytes) -> pd.DataFrame:
    """The raw text as a table: categories as text, numbers as numbers, labels 0 or 1."""
    frame = pd.read_csv(
        io.BytesIO(text),
        names=COLUMNS,
        skipinitialspace=True,
        keep_default_na=False,
        dtype={name: "float64" if name in NUMBERS else "str" for name in COLUMNS},
    )
    frame["income"] = (frame["income_class"] == "50000+.").astype("int8")
    frame["marital"] = (frame["marital_status"] == "Never married").astype("int8")
    return frame
