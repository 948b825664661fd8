"""Reports as pages, files and a list of all: form by what they hold, with few figures drawn."""

import base64
import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from functools import cache
from html import escape, unescape
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from reports import build as command
from reports.build import build, build_all
from reports.page import csv_files, files, html, style
from reports.page.model import Report, Table, TableCell
from reports.page.svg import to_svg
from reports.results import StudyResults, read
from reports.study import outline, paper, shape, tables
from reports.study.analysis import analyse_study
from reports.study.figures import scatter
from reports.words import DASH, MINUS, signed
from studies import catalog
from studies.definition import Arm, Study
from tests import curves, made_up
from tests.browser import dom_of, needs_browser
from tests.conftest import leave_figures_blank
from tests.made_up import (
    CENSUS,
    FAILURE,
    MIXED,
    fresh_engine,
    grid,
    many,
    models,
    store_study,
)
from tests.pages import Resources, assert_stands_alone

TAKES_LONG = True
GRID = "architecture_grid"
REPORTED = ("models", "models_census", "mixed", "many", "few")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    made = fresh_engine(tmp_path_factory.mktemp("db"))
    store_study(made, models(), replicates=4, data="kuairand")
    store_study(made, "models_census", tasks=CENSUS, replicates=2, data="census")
    store_study(made, tasks=MIXED, name="mixed", replicates=2)
    store_study(made, many(count=22), replicates=2)
    store_study(made, name="few", replicates=1, failures={("increasing", 0): FAILURE})
    store_study(made, name="empty", replicates=0)
    return made


@pytest.fixture(scope="module")
def out(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All reports; of `models` alone the figures are drawn."""
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        leave_figures_blank(patch)
        assert build_all(engine, folder) == folder / "index.html"
    build(engine, "models", folder)
    return folder


def page(out: Path, name: str) -> str:
    return (out / name / "report.html").read_text("utf-8")


def stored(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


@cache
def studies_of_the_catalog() -> tuple[Study, ...]:
    found = map(catalog.get, catalog.names())
    return tuple(study for study in found if isinstance(study, Study))


def study_named(name: str) -> Study:
    return {study.name: study for study in studies_of_the_catalog()}[name]


# The paper


def test_a_printed_mean_is_the_mean_of_the_printed_tasks() -> None:
    for name in ("Table II", "Table IV"):
        for *of_tasks, mean in paper.SOURCES[name].numbers.values():
            assert mean == pytest.approx(np.mean(of_tasks), abs=6e-4)


def test_the_papers_gains_are_differences_to_its_reference() -> None:
    gains = paper.gains("Table II", "base")
    assert np.allclose(gains["fs"], (0.0082, 0.005))
    assert "base" not in gains
    assert not paper.gains("Table II", "no_such")
    assert paper.table("Fig. 12") is None


def test_every_study_that_names_a_table_has_the_papers_arms() -> None:
    for study in studies_of_the_catalog():
        source = paper.table(study.figure)
        if source:
            assert set(source.numbers) <= {arm.name for arm in study.arms}, study.name


def test_the_table_shows_the_papers_numbers_beside_ours(out: Path) -> None:
    rows = {row["model"]: row for row in stored(out / "models_census/tables/leaderboard.csv")}
    assert rows["fs"]["paper, income"] == "0.9216"
    assert rows["fs"]["paper, marital"] == "0.9756"
    assert rows["fs"]["paper, mean"] == "0.9486"
    assert rows["base"]["parameters"] == "123456"
    assert float(rows["base"]["AUC, income, low"]) < float(rows["base"]["AUC, income"])


# The form of a study


def test_a_studys_form_is_that_of_its_arms() -> None:
    forms = {study.name: shape.shape(study) for study in studies_of_the_catalog()}
    assert forms[GRID] == "grid"
    assert forms["seesaw"] == "knob"
    assert forms["models_video"] == forms["models_census"] == "models"
    assert {forms[name] for name in ("tower_shape", "gate_depth", "expert_count", "null")} == {
        "arms"
    }


def test_arms_beside_a_factorial_leave_it_one() -> None:
    study = study_named(GRID)
    extra = Arm("other", (), (("variant", "fsmd"),))
    mixed = replace(study, arms=(*study.arms, extra))
    assert shape.shape(mixed) == "grid"
    assert shape.crossed(mixed) == study.arms
    assert shape.factor_values(mixed) == shape.factor_values(study)


def test_of_many_arms_the_best_on_validation_are_compared(
    tmp_path: Path,
) -> None:
    """Test figures have no say: having more of them than all others changes nothing."""
    made = fresh_engine(tmp_path)
    store_study(made, many(count=40), replicates=2)
    lucky = [str(value) for value in range(11, 30)]
    for arm in lucky:
        curves.change(made, lambda m: m.value + 0.01 * (m.split == "test"), "arm = :arm", arm=arm)
    results = read(made, "many")
    made.dispose()
    means = {arm: results.valid.of(arm, "mean").mean() for arm in results.valid.arms}
    best = sorted(means, key=lambda arm: -means[arm])[: shape.COMPARED_FOR_VALIDATION]
    kept = set(shape.scores_compared(results).arms)
    assert kept == {*best, *shape.compared_by_design(results.study)}
    assert not set(lucky) <= kept


def test_what_claims_name_and_what_stands_beside_the_factorial_is_always_compared() -> None:
    study = study_named("components")
    rules = [rule for claim in study.claims for rule in claim.rules]
    named = {getattr(rule, side, study.reference) for rule in rules for side in ("arm", "other")}
    assert named <= shape.compared_by_design(study)
    beside = {arm.name for arm in study.arms} - {arm.name for arm in shape.crossed(study)}
    assert len(beside) == 3
    assert beside <= shape.compared_by_design(study)
    assert shape.compared_by_design(study_named(GRID)) == {"diamond / 3 / 10"}
    video = study_named("models_video")
    assert {arm.name for arm in video.arms} - shape.compared_by_design(video) == {
        *("ple", "constant", "logistic", "trees")
    }


def test_a_factorial_and_what_stands_beside_it_is_shown_arm_by_arm(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, "components", replicates=1)
    results = read(made, "components")
    made.dispose()
    assert shape.arms_drawn(results) == results.arms
    assert len(style.LOOKS) >= len(results.arms) >= 18
    assert len({look.marker for look in style.LOOKS}) == len(style.LOOKS)


def test_along_a_knob_arms_are_compared_on_the_references_data(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, "seesaw", replicates=2)
    results = read(made, "seesaw")
    made.dispose()
    kept = shape.scores_compared(results).arms
    assert len(kept) == 7
    assert all(arm.endswith("@ 0.5") for arm in kept)
    sentences = [s for section in outline_of(results).sections for s in section.sentences]
    assert any("the 6 that share its data set are compared here" in s for s in sentences)


def outline_of(results: StudyResults) -> Report:
    """The report as a value, of which nothing is drawn."""
    return outline.page(analyse_study(results))


def test_a_factorial_of_which_no_two_arms_are_paired_is_still_reported(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    first, *others = grid().arms
    missing = [(arm.name, 1) for arm in others] + [(first.name, 0)]
    store_study(made, grid(), replicates=2, missing=missing)
    results = read(made, "grid")
    made.dispose()
    assert not results.test.paired
    keys = {figure.key for figure in outline_of(results).figures}
    assert "scatter" in keys
    assert "effects" not in keys


def test_details_are_folded_and_many_arms_scroll(out: Path) -> None:
    many_arms, few = page(out, "many"), page(out, "models")
    assert "that are best on validation are compared here" in many_arms
    assert (many_arms.count('<div class="tall">'), few.count('<div class="tall">')) == (1, 0)
    for text in (many_arms, few):
        folded = re.findall(r"<summary>Table (\d+)", text)
        assert folded
        assert "1" not in folded  # the leaderboard


def test_the_answer_comes_first_then_the_leaderboard_then_the_claims(
    out: Path, engine: sa.Engine
) -> None:
    text, answer = page(out, "models"), outline_of(read(engine, "models")).answer
    assert answer.use
    marks = ('class="use"', "<nav", 'data-table="leaderboard"', 'data-key="gains"', 'id="claims"')
    places = [text.index(mark) for mark in (*marks, 'id="cautions"', 'id="ran"')]
    assert places == sorted(places)
    for told in (answer.use, *answer.sentences, answer.next, answer.command):
        assert told in unescape(text)


def test_a_bar_stands_where_its_numbers_say(out: Path) -> None:
    """On one axis for all of a column; files have the numbers alone."""
    bars = re.findall(
        r'([\d.]+)<svg class="bar".*?<circle cx="([\d.]+)%".*?</svg>', page(out, "models")
    )
    assert len(bars) == 3 * 7
    for k in range(3):  # click, long_view and the mean
        value_A, at_A = np.array(bars[k::3], float).T
        assert np.corrcoef(value_A, at_A)[0, 1] > 0.99  # the text is rounded
    assert "svg" not in (out / "models" / "tables" / "leaderboard.tex").read_text()


# Inside the models


def test_entropy_and_dead_units_are_told(out: Path) -> None:
    rows = stored(out / "models/tables/inside.csv")
    assert [row["model"] for row in rows][:2] == ["shared_bottom", "mmoe"]
    assert rows[1]["gate entropy, click"] == "0.8200"
    assert rows[1]["dead units"] == "2.0 %"
    assert "which is what conflict means" in page(out, "models")


def test_the_interval_of_an_entropy_ends_where_entropy_does(engine: sa.Engine) -> None:
    results = read(engine, "models")
    frame = results.measurements.copy()
    rows = frame["metric"] == "gate_entropy"
    frame.loc[rows, "value"] = np.where(frame.loc[rows, "replicate"] == 0, 0.3, 0.99)
    table = tables.inner_table(replace(results, measurements=frame))
    assert table is not None
    ends = {note for row in table.rows for cell in row for note in cell.notes}
    assert ends
    assert all(end.endswith(", 1.0000]") for end in ends)


def test_the_papers_figures_say_what_they_are_of(out: Path) -> None:
    assert "What the paper reports, from one run each" in page(out, "models_census")


@pytest.mark.usefixtures("blank_figures")
def test_without_such_records_the_section_is_left_out(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, replicates=2)
    curves.change(made, lambda m: m.value if m.metric.endswith("auc") else None)
    build(made, "towers", tmp_path)
    made.dispose()
    assert "Inside the models" not in page(tmp_path, "towers")
    assert not (tmp_path / "towers/figures/gates.svg").exists()


# Names and words


@pytest.mark.usefixtures("blank_figures")
def test_short_names_have_below_them_what_they_stand_for(tmp_path: Path) -> None:
    study = study_named("components")
    arms = [arm.name for arm in study.arms]
    assert not [arm for arm in arms if "," in arm or len(arm) > 40]
    assert len(set(arms)) == len(arms) == 19
    notes = tables.arm_notes(study)
    assert notes["no FM / no chain"] == ("fm none", "sharing extraction", "chain no")
    assert notes["no gate"][-1] == "gate equal"
    others = (other for other in studies_of_the_catalog() if other.name != "components")
    assert not [other.name for other in others if tables.arm_notes(other)]
    made = fresh_engine(tmp_path)
    store_study(made, "components", replicates=2)
    build(made, "components", tmp_path)
    made.dispose()
    text = page(tmp_path, "components")
    assert 'no FM / no chain<span class="note">fm none</span>' in text.replace("\n", "")
    rows = stored(tmp_path / "components/tables/leaderboard.csv")
    (row,) = (row for row in rows if row["model"] == "fsmd")
    assert row["model, note 1"] == "fm shared"


@pytest.mark.usefixtures("blank_figures")
def test_a_report_reads_nothing_of_todays_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, "models_video", replicates=2)

    def refuse(*_: object) -> None:
        raise AssertionError("the catalog was read")

    monkeypatch.setattr(catalog, "get", refuse)
    monkeypatch.setattr(catalog, "names", refuse)
    build(made, "models_video", tmp_path)
    made.dispose()
    assert 'data-key="differences"' in page(tmp_path, "models_video")


@pytest.mark.usefixtures("blank_figures")
def test_arms_with_seeds_of_their_own_are_not_called_paired_by_seed(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, "null", replicates=3)
    build(made, "null", tmp_path)
    results = read(made, "null")
    made.dispose()
    assert not results.same_seeds
    text = page(tmp_path, "null")
    for wrong in ("the same seeds", "paired seed", "same seed", "seed by seed"):
        assert wrong not in text
    assert "seeds of their own" in text


# Files for one's own paper


def table(*texts: str) -> Table:
    number = TableCell(f"{MINUS}1,234", ("[0.1, +0.2]", "p = 0.5"), True)
    rows = tuple((TableCell(text), number) for text in texts)
    return Table("some_key", "50 % of [a_b] & more", ("name", "AUC, x"), rows, 3)


@pytest.mark.parametrize(
    "text", ["a_b", "50% & #1", "$x_{", "\\cmd~^", "<b>|", "[0, 1]", f"{MINUS}±{DASH}"]
)
def test_latex_is_escaped_and_balanced(text: str) -> None:
    made = files.to_latex(table(text), "a_study")
    for name in ("table", "tabular"):
        assert made.count(f"\\begin{{{name}}}") == made.count(f"\\end{{{name}}}") == 1
    plain = re.sub(r"\\[\\{}&%$#_]", "", made)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(rf"[%#_~^<>|{MINUS}±{DASH}]", plain)
    assert "\\label{tab:a-study-some-key}" in made
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in made
    body = plain[plain.index("midrule") : plain.index("bottomrule")].strip().splitlines()[1:-1]
    assert [line.count("&") for line in body] == [1]
    assert not re.search(r"\\\\\s*\[", made)  # would be read as an argument


def test_a_long_latex_table_runs_over_pages() -> None:
    made = files.to_latex(table(*map(str, range(files.LONG_TABLE + 1))), "s")
    assert made.count("longtable") == 2
    assert "\\endhead" in made


def test_csv_has_numbers_and_interval_ends_in_columns() -> None:
    rows = list(csv.reader(io.StringIO(csv_files.to_csv(table("a", "b")))))
    assert rows == [
        ["name", "AUC, x", "AUC, x, low", "AUC, x, high", "AUC, x, note 1"],
        ["a", "-1234", "0.1", "+0.2", "p = 0.5"],
        ["b", "-1234", "0.1", "+0.2", "p = 0.5"],
    ]
    assert csv_files.to_csv(table()).splitlines() == ['name,"AUC, x"']


def test_every_figure_and_table_of_a_report_is_a_file(out: Path) -> None:
    for name in REPORTED:
        keys = re.findall(r'data-key="(\w+)"', page(out, name))
        figures = {path.name for path in (out / name / "figures").iterdir()}
        assert figures == {f"{key}.{kind}" for key in keys for kind in ("svg", "pdf")}
        written = [path.stem for path in (out / name / "tables").iterdir()]
        assert len(written) == 2 * len(re.findall(r'<table id="table-', page(out, name)))
    for path in (out / "models" / "figures").glob("*.pdf"):  # whose figures are drawn
        content = path.read_bytes()
        assert content.startswith(b"%PDF-")
        assert b"CreationDate" not in content


@pytest.mark.usefixtures("blank_figures")
def test_a_file_that_a_report_no_longer_has_is_removed(engine: sa.Engine, tmp_path: Path) -> None:
    old = tmp_path / "few" / "figures" / "old.svg"
    old.parent.mkdir(parents=True)
    old.write_text("")
    build(engine, "few", tmp_path)
    assert not old.exists()


def test_the_help_names_every_kind_of_file() -> None:
    help_ = command.parser().format_help()
    kinds = ("figures/*.svg", "figures/*.pdf", "tables/*.csv", "tables/*.tex")
    for name in (*kinds, "index.html", "all.pdf", "--all"):
        assert name in help_


# The page


@pytest.mark.parametrize("name", REPORTED)
def test_every_page_loads_nothing_has_unique_ids_and_is_small(out: Path, name: str) -> None:
    assert_stands_alone(page(out, name))
    assert len(page(out, name).encode()) < 3_000_000


def test_the_page_of_the_largest_study_is_small(tmp_path: Path) -> None:
    """The points of its 140 arms take the most of it."""
    made = fresh_engine(tmp_path)
    store_study(made, GRID, replicates=1)
    results = read(made, GRID)
    made.dispose()
    summary = scatter.summarize(results)
    assert summary is not None
    assert len(summary.arms) == len(results.study.arms) == 140
    assert 2 * len(to_svg(scatter.draw(summary)).encode()) < 1_000_000


def test_only_the_script_with_the_pages_hash_may_run(out: Path) -> None:
    for path in (out / "models" / "report.html", out / "index.html"):
        text = path.read_text("utf-8")
        (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
        assert "default-src 'none'" in policy
        assert f"script-src 'sha256-{digest}'" in policy
        assert not re.search(r"\son\w+=", text.replace(script, ""))


def test_tables_and_landmarks_are_there_without_the_script(out: Path) -> None:
    text = page(out, "models")
    assert '<a class="skip" href="#main">' in text
    assert text.count("<main") == text.count("<header>") == text.count("<nav ") == 1
    assert text.count("<caption>") == text.count("<table")
    without = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "aria-sort" not in without
    assert "<button" not in without
    assert "better on both" in without


# All studies


def test_the_list_has_every_study_with_its_question_and_verdicts(
    out: Path, engine: sa.Engine
) -> None:
    text = (out / "index.html").read_text("utf-8")
    for name in (*REPORTED, "empty"):
        assert f">{name}<" in text or f": {name}</h2>" in text
    for name in REPORTED:
        assert f'href="{name}/report.html"' in text
        assert read(engine, name).study.question in unescape(text)
        claims = json.loads((out / name / "summary.json").read_text())["claims"]
        for claim in claims:
            assert f'href="{name}/report.html#{claim["id"]}"' in text
            assert f">{claim['id']}: {claim['verdict']}</a>" in text
            assert f'id="{claim["id"]}"' in page(out, name)
    assert 'href="empty/report.html"' not in text
    assert "has no finished training yet" in text
    assert "6 studies in the database, 5 with a report" in text
    used = Resources(text)
    assert len(used.ids) == len(set(used.ids))
    assert all((out / link.partition("#")[0]).exists() for link in used.loaded)


def test_one_pdf_holds_all_reports(out: Path) -> None:
    content = (out / "all.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(content) > (out / "models_census" / "report.pdf").stat().st_size


def test_all_again_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_figures_blank(monkeypatch, but="curves")
    made = fresh_engine(tmp_path)
    store_study(made, tasks=made_up.tasks(1), replicates=2)
    store_study(made, name="empty", replicates=0)
    for folder in ("one", "two"):
        build_all(made, tmp_path / folder)
    made.dispose()
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert sorted(one) == sorted(two)
    for name, content in one.items():
        assert content == two[name], name


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_an_empty_database_has_an_empty_list(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    build_all(made, tmp_path)
    made.dispose()
    assert "0 studies in the database" in (tmp_path / "index.html").read_text()
    assert (tmp_path / "all.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name a study, or use --all"),
        (["towers", "--all"], "one of them"),
        (["--all", "--data", "census"], "--data goes with a study's name"),
    ],
)
def test_all_and_a_name_exclude_each_other(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert command.main([*arguments, "--storage", str(engine.url)]) == 2
    assert told in capsys.readouterr().err


# In a browser


@needs_browser
@pytest.mark.parametrize(
    ("cells", "clicks"),
    [
        (("< 0.01", "0.02", "0.5", "> 0.99"), 1),
        (("1,234", "12", f"{MINUS}0.3", f"{MINUS}2"), 2),
        (("minus 2", "minus 12", "same"), 1),
    ],
)
def test_a_click_on_a_heading_sorts_by_what_the_cells_mean(
    tmp_path: Path, cells: tuple[str, ...], clicks: int
) -> None:
    rows = "".join(f"<tr><td><span>{escape(cell)}</span></td></tr>" for cell in sorted(cells))
    script = (html.TEMPLATES / "report.js").read_text("utf-8")
    then = "document.querySelector('th button').click();" * clicks
    probe = tmp_path / "page.html"
    probe.write_text(
        f"<meta charset=utf-8><table><thead><tr><th>x</th></tr></thead><tbody>{rows}</tbody>"
        f"</table><script>{script};{then}</script>",
        "utf-8",
    )
    dom = dom_of(probe.as_uri(), tmp_path / "browser")
    assert tuple(map(unescape, re.findall(r"<span>(.*?)</span>", dom))) == cells


@pytest.mark.slow
@needs_browser
def test_in_a_browser_one_can_sort_hide_compare_and_send_what_one_sees(
    out: Path, tmp_path: Path
) -> None:
    """On a phone, which needs no sideways scroll; all in one page, as a browser takes seconds."""
    probe = tmp_path / "probe.html"
    # Headless windows have a least width, so the page goes into a frame as wide as a phone.
    probe.write_text(
        '<iframe id="f" style="width:400px;height:800px" '
        f'src="{(out / "models" / "report.html").as_uri()}"></iframe><script>{PROBE}</script>'
    )
    flags = ("--allow-file-access-from-files", "--virtual-time-budget=8000")
    dom = dom_of(probe.as_uri(), tmp_path / "profile", *flags)
    (title,) = re.findall(r"<title>(.*?)</title>", dom)
    seen = json.loads(unescape(title))
    assert seen["wide"] <= seen["room"]
    assert "--replicates" in seen["words"], "an option is broken at none of its hyphens"
    first, again, back = seen["first"], seen["again"], seen["back"]
    assert first["sorted"] == "ascending"
    assert first["rows"] == sorted(first["rows"])
    assert first["hidden"] == ["ple"]
    assert set(first["rowsHidden"]) == {"ple"}
    assert len(first["rowsHidden"]) > 1  # in more than one table
    assert "Hidden: 1 of 7. Show ple" in first["gone"]
    assert re.match(r"\w+: [+\u2212]?0\.\d+, [+\u2212]?0\.\d+$", seen["told"])
    for part in ("hide=ple", "compare=fsmd", "compare=base", "open=compare", ".up"):
        assert part in first["address"]
    assert again == first  # a colleague who opens the address sees the same
    assert back["hidden"] == []
    assert back["compared"] == first["compared"]
    assert first["regions"]
    signs = str.maketrans(f"+{MINUS}", f"{MINUS}+")
    for one, other in zip(first["compared"], seen["reversed"], strict=True):
        assert (one[0], one[1].translate(signs)) == (other[0], other[1])
    difference = results_of(out)
    assert [cells[1] for cells in first["compared"]] == difference


def results_of(out: Path) -> list[str]:
    """fsmd minus base on each target, as the page writes it."""
    levels = json.loads((out / "models" / "summary.json").read_text())["levels"]
    means = {(level["level"], level["task"]): level["mean"] for level in levels}
    tasks = dict.fromkeys(level["task"] for level in levels)
    return [signed(means["fsmd", task] - means["base", task]) for task in tasks]


PROBE = """
const frame = document.getElementById("f");
const event = (name) => new Promise((done) => {
  frame.contentWindow.addEventListener(name, done, { once: true });
});
function seen() {
  const page = frame.contentDocument;
  const off = (selector) => [...page.querySelectorAll(selector)]
    .filter((each) => each.classList.contains("off"));
  const sorted = page.querySelector("th[aria-sort]");
  const rows = sorted ? [...sorted.closest("table").tBodies[0].rows] : [];
  return {
    sorted: sorted?.getAttribute("aria-sort"),
    rows: rows.map((row) => Number.parseFloat(row.cells[1].innerText)),
    hidden: [...new Set(off("svg [data-part]").map((part) => part.dataset.part))],
    rowsHidden: off("tr").map((row) => row.dataset.arm),
    gone: [...page.querySelectorAll(".gone:not([hidden])")].map((each) => each.innerText).join(),
    compared: [...page.querySelectorAll(".compared tbody tr")].map((row) =>
      [row.cells[0].innerText, row.cells[1].querySelector("span").childNodes[0].textContent]),
    regions: !page.querySelector("[data-more]") || !!page.querySelector(".with-regions"),
    open: [...page.querySelectorAll("details[open]")].map((each) => each.dataset.fold),
    address: frame.contentWindow.location.hash,
  };
}
function choose(...arms) {
  const lists = [...frame.contentDocument.querySelectorAll(".compare select")];
  lists.forEach((list, k) => { list.value = arms[k]; });
  lists[0].dispatchEvent(new Event("change"));
}
frame.onload = async () => {
  frame.onload = null;
  let page = frame.contentDocument;
  const wide = page.documentElement.scrollWidth, room = page.documentElement.clientWidth;
  const words = [...page.querySelectorAll("pre.command > span")]
    .filter((word) => word.getClientRects().length === 1).map((word) => word.textContent);
  page.querySelector("thead th:nth-child(2) button").click();
  page.querySelector(".compare summary").click();
  choose("base", "fsmd");
  const reversed = seen().compared;
  choose("fsmd", "base");
  page.querySelector("label.more input")?.click();
  await new Promise((done) => setTimeout(done, 100));
  page.querySelector('.chooser input[data-part="ple"]').click();
  const figure = page.querySelector('figure[data-key="gains"]');
  const last = new KeyboardEvent("keydown", { key: "ArrowLeft" });
  figure.querySelector(".narrow").dispatchEvent(last);
  const told = figure.querySelector(".told").textContent;
  const first = seen();
  const address = frame.contentWindow.location.href;
  await new Promise((done) => setTimeout(done, 100));
  frame.contentWindow.history.back();
  await event("hashchange");
  const back = seen();
  frame.src = "about:blank";
  await new Promise((done) => { frame.onload = done; });
  frame.src = address;
  await new Promise((done) => { frame.onload = done; });
  const whole = { wide, room, words, reversed, told, first, back };
  document.title = JSON.stringify({ ...whole, again: seen() });
};
"""


def test_of_a_long_table_a_page_shows_more_than_paper_and_the_file_has_all() -> None:
    rows = tuple((TableCell(f"arm {i}"),) for i in range(300))
    table = Table("arms", "Arms.", ("arm",), rows)
    for shown, most in ((table.on_page, 200), (table.on_paper, 100)):
        assert shown.rows == rows[:most]
        assert shown.caption == f"Arms. The first {most} of 300 rows; tables/arms.csv has all."
    assert replace(table, rows=rows[:100]).on_paper.caption == "Arms."
    assert csv_files.to_csv(table).count("\n") == 301
