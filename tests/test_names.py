"""Names that people give, such as of arms and tasks, are shown as they are and do no harm."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from fsmd.errors import UserError
from fsmd.tasks import Task
from reports.build import build, build_all
from reports.page import fonts
from reports.page.fonts import OWN, fonts_for
from reports.page.style import LOOKS
from reports.page.svg import to_svg
from reports.page.typeset import figure_pdf
from studies.definition import Above, Arm, Claim, Study
from studies.planner.design import check
from tests import made_up

HOSTILE = (
    '=HYPERLINK("http://x.example";"y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</style></svg><b>",
    "]]><!--",
    "{{ 7 * 7 }}{% raw %}",
    "50% & $x_1$ #y \\input{z} ~^",
    "\\write18{rm -rf /}",
    "#eval(1) *b* _i_ @ref <l> $x$ `r`",
    "$(touch x); `id` && rm -rf ~ | cat > /dev/null",
    "../../escape",
    "/etc/passwd",
    "%s %d {0} {name!r}",
    "NULL",
    "nan",
    "true",
    "; DROP TABLE fsmd_runs; --",
    "-0.5",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u4e00\u4e2a\u540d\u5b57\u5f88\u957f\u7684\u4e2d\u6587\u6a21\u578b",
    "e\u0301 \U0001f600",
    "a_very_long_arm_name_of_forty_letters_xx",
)


def study_of(arms: Sequence[str], tasks: Sequence[Task]) -> Study:
    claim = Claim("c", "One is above.", "me", (Above(tasks[0].name, arms[1], arms[0]),))
    return replace(
        made_up.towers(tasks),
        name="names",
        arms=tuple(
            Arm(name, (("tower_width", 8 * i),), (("variant", name),))
            for i, name in enumerate(arms, start=1)
        ),
        reference=arms[0],
        claims=(claim,),
    )


def report_of(arms: Sequence[str], tasks: Sequence[Task], folder: Path) -> Path:
    """The folder of the report of a made-up study with these names."""
    engine = made_up.fresh_engine(folder)
    try:
        made_up.store_study(engine, study_of(arms, tasks), tasks=tasks, replicates=2)
        return build(engine, "names", folder / "out").page.parent
    finally:
        engine.dispose()


class Elements(HTMLParser):
    """What a browser would run or load, and the text of headings of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.suspicious: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script" and ("type", "application/json") not in attrs
        if tag in ("img", "iframe", "object", "embed", "link", "base", "form"):
            self.suspicious.append(tag)
        for name, value in attrs:
            link = name in ("href", "src", "action") and not re.match(r"#|[\w.-]+/", value or "")
            if name.startswith("on") or link:
                self.suspicious.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check_page(page: str, names: Sequence[str]) -> None:
    seen = Elements()
    seen.feed(page)
    assert seen.suspicious == []
    assert seen.scripts == 1
    words = "".join(seen.words)
    for name in names:
        assert name in words


def check_csv(text: str) -> None:
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            if cell.startswith(("=", "@", "+", "-", "\t")):
                float(cell.removesuffix("%"))  # a number is none of a spreadsheet's formulas


def check_latex(text: str) -> None:
    plain = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[%#_~^<>|]", plain.replace("\\begin{tabular}", ""))
    commands = set(re.findall(r"\\([a-z]+[0-9]*)", plain))
    assert commands <= {
        *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule"),
        *("textbf", "scriptsize", "shortstack", "textbackslash", "textasciitilde", "linewidth"),
        *(
            "textasciicircum",
            "textless",
            "textgreater",
            "textbar",
            "pm",
            "times",
            "leq",
            "endhead",
        ),
    }


def check_files(folder: Path, names: Sequence[str]) -> None:
    check_page((folder / "report.html").read_text("utf-8"), names)
    for path in (folder / "results.csv", *folder.glob("tables/*.csv")):
        check_csv(path.read_text("utf-8"))
    for path in folder.glob("tables/*.tex"):
        check_latex(path.read_text("utf-8"))
    json.loads((folder / "summary.json").read_text("utf-8"))


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("start", range(0, len(HOSTILE), 9))
def test_a_hostile_name_is_shown_as_it_is_and_runs_nothing(tmp_path: Path, start: int) -> None:
    """In the page, the tables as CSV and LaTeX, the numbers, and beside the report's folder."""
    arms = HOSTILE[start : start + 9]
    tasks = (Task(arms[-1].replace("|", "/")), Task(arms[1].replace("|", "/")))
    folder = report_of(arms, tasks, tmp_path)
    check_files(folder, arms)
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert {name for name in made if not name.startswith("studies.db")} == {"out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"names"}


_LABEL = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30)


@pytest.mark.usefixtures("blank_figures")
@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(_LABEL.map(str.strip).filter(bool), min_size=3, max_size=3, unique=True))
def test_any_name_that_can_be_printed_is_shown_and_runs_nothing(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    if not all(name.isprintable() and "|" not in name for name in names):
        return
    check_files(report_of(names, (Task(names[0]), Task("b")), tmp_path_factory.mktemp("n")), names)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        "a\nb",
        "a\x00b",
        "a\tb",
        "\x1b[31m",
        "a\u202eb",
        "a\u200bb",
        "\ud800",
        "x" * 101,
    ],
)
def test_a_name_that_no_line_can_show_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="the name of a task must have 1 to 100 letters"):
        Task(name)
    rule = "the name of an arm of 'names' must have 1 to 100|name must be text"
    with pytest.raises(UserError, match=rule):
        check(study_of((name, "b"), made_up.tasks(2)))


def test_the_list_of_all_reports_links_to_folders_below_it_only(
    tmp_path: Path, blank_figures: None
) -> None:
    engine = made_up.fresh_engine(tmp_path)
    made_up.store_study(engine, study_of(HOSTILE[:5], made_up.tasks(2)), replicates=2)
    page = build_all(engine, tmp_path / "out").read_text("utf-8")
    engine.dispose()
    check_page(page, ["names"])


# What a person sees


@pytest.mark.usefixtures("blank_figures")
def test_a_pdf_has_the_letters_of_any_font_of_the_machine(tmp_path: Path) -> None:
    name = "\u6a21\u578b"
    if fonts_for(name).missing:
        pytest.skip("no font of this machine has Chinese letters")
    figure = Figure()
    figure.text(0, 0, name)
    folder = report_of((name, "plain"), made_up.tasks(1), tmp_path)
    svg = to_svg(figure)
    assert name in svg
    for content in (figure_pdf(svg), (folder / "report.pdf").read_bytes()):
        embedded = re.findall(rb"/FontName\s*/\w+\+([\w-]+)", content)
        assert any(b"DejaVu" not in font for font in embedded)


def test_the_own_font_is_enough_for_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_others", tuple)
    assert fonts_for("click, 50 % \u2212 \u00b1 \u03b1 \u0416 \u0627 \u2264") == ((OWN,), (), "")
    assert fonts_for("a\U00012345\U00012345") == ((OWN,), (), "\U00012345")


def test_series_stand_out_from_a_light_and_a_dark_page() -> None:
    """A contrast of 3 to the background (WCAG 2.2, 1.4.11)."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for look in LOOKS:
        for page in ("#fefefe", "#161618"):
            one, other = sorted((luminance(look.color), luminance(page)))
            assert (other + 0.05) / (one + 0.05) >= 3, look.color
