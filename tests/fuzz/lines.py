"""Command lines: each option of each command with values that are right, nearly so and hostile."""

import argparse
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

import fsmd
from fsmd.baselines import BASELINES
from fsmd.config import MODELS, FSMDConfig
from fsmd.metrics import METRICS
from fsmd.saved.head import read_example
from fsmd.saved.model import save_model
from reports import build, commands
from search_spaces.spaces import SPACES
from studies import catalog, record, run
from studies.blend import commands as blend
from studies.data import commands as data_commands
from studies.export import command as export
from tests.fuzz.changes import mostly
from tests.fuzz.described import LOG, log
from tests.fuzz.rule import commanded
from tests.fuzz.target import DATA, Check, Target
from tests.made_up.model_folders import untrained
from tests.test_auto import small_plan
from tests.test_bad_input import HOSTILE, NUL, training_nothing

RULES = ("knee", "best", "best:click", "best:mean", "floor:click", "arm:none", "trial:1")
NUMBERS = ("0", "1", "2", "3", "5", "64", "0.5", "1000000")
VALUES: Mapping[str, tuple[str, ...]] = {
    "data": (DATA, "own.toml", f"{DATA}:metric=user_auc", "planted:rows=3000", "none"),
    "storage": ("sqlite:///studies.db", "sqlite:///other.db", "sqlite:///none.db"),
    "out": ("out", "home", "new/er", "scores.csv", "scores.parquet", "scores.csv.gz", "model"),
    "study": ("mine", "sought", "null", "tower_shape", "pareto", *catalog.names()),
    "name": ("mine", "sought", "other", "Mine"),
    "memory": ("64m", "1g", "2 GB"),
    "silence": ("30s", "10m"),
    "budget": ("30m", "2h", "1s"),
    "cluster": ("local:0", "local:x", "none.json", "tcp://", "http://127.0.0.1:1"),
    "device": ("auto", "cpu", "cuda", "cuda:1"),
    "precision": ("auto", "float32", "bfloat16"),
    "plan": ("plan.json", "file"),
    "replicates": ("auto", *NUMBERS),
    "looks": ("5", "2,4", "5,10,20", "4,2"),
    "base": tuple(MODELS),
    "have": ("none", "mmoe", "seed A"),
    "set": tuple(f"{f.name}={v}" for f in fields(FSMDConfig) for v in ("2", "0.1", "open", "x")),
    "space": tuple(SPACES),
    "sampler": ("gp", "tpe", "nsga2", "nsga3", "random", "grid"),
    "pruner": ("halving", "topk", "none"),
    "objectives": ("tasks", "mean", "click", "tasks,params", "mean,latency", "click,click"),
    "baselines": ("none", "", *BASELINES, ",".join(BASELINES)),
    "pick": (*RULES, "weights:0.7,0.3", "weights:1,2"),
    "score": ("click", "click * long_view", "click ** 1.0 + 2 * long_view", "click *", "other"),
    "licence": ("MIT", "own"),
    "by": ("auc", "user_auc", *METRICS),
    "model": ("model", "home"),
    "rows": ("rows.parquet", "log.csv", "*.parquet", "."),
    "keep": ("hour", "user,hour", "click", "hour,hour"),
    "join": ("rows.parquet", "log.csv"),
    "curves": ("curves", "out"),
    "log": ("log.csv", "rows.parquet", "log.*", "."),
    "columns": ("a,b", "a,b,c,d,e", "a,a"),
    "separator": (",", ";", "\\t", "||"),
    "encoding": ("utf-8", "latin-1", "utf-16", "none"),
    "copy": ("copy.toml", "out"),
}
"""Where an option's values are to be had; of all others they are numbers."""
STARTS: Mapping[str, tuple[Any, tuple[tuple[str, ...], ...]]] = {
    "run": (run, tuple((name, "--data", DATA) for name in ("null", "pareto", "auto"))),
    "report": (build, (("mine",), ("sought",), ("--all",), ())),
    "record": (record, (("--data", DATA), ())),
    "export": (export, (("mine", "--out", "home"), ("sought", "--out", "home"), ())),
    "blend": (blend, (("model", "--out", "out"), ())),
    "predict": (fsmd.predict, (("model", "rows.parquet", "--out", "scores.csv"), ())),
    "data": (
        data_commands,
        (
            *(("describe",), ("describe", "log.csv", "--out", "a.toml"), ("check", "own.toml")),
            *(("check",), ("catalog",), ("convert", "aliccp", "in", "to"), ()),
        ),
    ),
    "fsmd": (commands, (("report", "mine"), ("run", "--list"), ("run", "null"), ())),
}
"""Command -> its module, and how a line of it may begin."""


@cache
def _actions(name: str, start: tuple[str, ...]) -> tuple[argparse.Action, ...]:
    """What its command line takes."""
    module, _ = STARTS[name]
    if name == "data":
        parsers = [data_commands.parser(each) for each in start[:1]]
    elif name == "fsmd":
        parsers = [STARTS[each][0].parser() for each in start[:1]]
    else:
        parsers = [module.parser()]
    return tuple(action for parser in parsers for action in parser._actions)


TEXT = st.text(st.characters(exclude_characters="/~\\"), max_size=8)
STRANGE = st.one_of(st.sampled_from((*HOSTILE, *NUL)), TEXT)


def _value(action: argparse.Action) -> st.SearchStrategy[str]:
    """Seven of eight are of the option's own."""
    own = action.choices or VALUES.get(action.dest, NUMBERS)
    return mostly(st.sampled_from([str(each) for each in own]), STRANGE)


def _option(action: argparse.Action) -> st.SearchStrategy[list[str]]:
    """As a line has it; more rarely with its value as another word, or with none."""
    if not action.option_strings:
        return _value(action).map(lambda value: [value])
    name = st.sampled_from(action.option_strings)
    if action.nargs == 0:
        return mostly(st.just(""), st.just("=x")).flatmap(
            lambda end: name.map(lambda n: [n + end])
        )
    joined = st.builds(lambda word, value: [f"{word}={value}"], name, _value(action))
    return st.one_of(joined, st.tuples(name, _value(action)).map(list))


def _line(name: str, start: tuple[str, ...]) -> st.SearchStrategy[tuple[str, list[str]]]:
    options = [_option(action) for action in _actions(name, start) if action.dest != "help"]
    words = STRANGE.map(lambda word: [word])
    more = st.lists(mostly(st.one_of(*options), words) if options else words, max_size=4)
    return more.map(lambda parts: (name, [*start, *(word for part in parts for word in part)]))


LINES = st.one_of(
    *(_line(name, start) for name, (_, starts) in STARTS.items() for start in starts)
)


@contextmanager
def _command_line(place: Path) -> Iterator[Check]:
    fsmd.load(DATA)
    with pytest.MonkeyPatch.context() as patch:
        root, whole = place / "root", place / "whole"
        work = root / "a" / "b" / "work"  # so that ../.. stays below the root
        work.mkdir(parents=True)
        training_nothing(patch, work)
        home = root / "home"
        home.mkdir()
        patch.setenv("HOME", str(home))
        patch.setattr("studies.record.STUDY", "null")  # `curves` is hundreds of arms
        patch.setattr("studies.record.curves", lambda *_: pd.DataFrame())
        patch.setattr("reports.build.build_all", lambda engine, out, tell: out)
        for name, stored in (("null", "mine"), ("pareto", "sought")):
            assert run.main([name, "--name", stored, "--data", DATA]) == 0
        save_model(untrained(DATA), work / "model")
        rows = pa.Table.from_pylist([*read_example(work / "model").rows])
        pq.write_table(rows, work / "rows.parquet")
        log().to_csv(work / "log.csv", index=False)
        (work / "own.toml").write_text(LOG.format(name="log.csv"), "utf-8")
        small_plan(work / "plan.json")
        shutil.copytree(work, whole)

        def check(case: tuple[str, list[str]]) -> str:
            name, words = case
            told = commanded(STARTS[name][0].main, words, root)
            if told == "done":
                patch.chdir(root)
                shutil.rmtree(root / "a")
                shutil.copytree(whole, work)
                patch.chdir(work)
            return told

        yield check


TARGETS: Mapping[str, Target] = {"command lines": Target(LINES, _command_line, 30, 10_000)}
