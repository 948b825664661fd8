"""What `nox -s audit` lets pass."""

import json
from pathlib import Path

import pytest

from tests.audit import ask, faulty, is_refused, judge, vulnerable

A = {"Name": "a_b", "Version": "1", "License": "MIT"}
BILL = {"metadata": {"component": {"name": "fsmd"}}, "components": [{"name": "A.b"}]}


@pytest.mark.parametrize(
    "licence",
    [
        *("GPL-3.0", "AGPL-3.0-only", "GNU General Public License v3 (GPLv3)", "UNKNOWN", ""),
        *("MIT AND GPL-2.0-only", "LicenseRef-NVIDIA-Proprietary", "CC BY-NC 4.0", "SSPL-1.0"),
    ],
)
def test_licences_that_reach_further_or_say_nothing_are_refused(licence: str) -> None:
    assert is_refused(licence)
    assert faulty([{"Name": "some", "Version": "1", "License": licence}])
    assert not faulty([{"Name": "nvidia-some", "Version": "1", "License": licence}])


@pytest.mark.parametrize(
    "licence",
    [
        *(
            "MIT",
            "BSD License",
            "Apache-2.0 AND MIT",
            "MPL-2.0",
            "LGPL-3.0-only",
            "MIT OR GPL-3.0",
        ),
        "GNU Lesser General Public License v2 or later (LGPLv2+)",
        "BSD License; GNU General Public License (GPL); Public Domain",
    ],
)
def test_free_licences_and_those_of_libraries_pass(licence: str) -> None:
    assert not is_refused(licence)


def test_a_vulnerability_fails_and_an_index_that_says_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bill, licences, answer = (str(tmp_path / f"{name}.json") for name in "bla")
    Path(licences).write_text(json.dumps([A]), "utf-8")
    Path(bill).write_text(json.dumps(BILL), "utf-8")
    assert judge(bill, licences, answer) == 0
    assert "the index does not answer" in capsys.readouterr().out
    skipped = {"name": "a", "skip_reason": "not found"}
    lines, told = vulnerable({"dependencies": [skipped]})
    assert (lines, told) == ([], "the index tells of no vulnerabilities here: none was looked up")
    fault = {"id": "PYSEC-1", "fix_versions": ["2"]}
    known = {"name": "b", "version": "1", "vulns": [fault]}
    Path(answer).write_text(json.dumps({"dependencies": [skipped, known]}), "utf-8")
    assert judge(bill, licences, answer) == 1
    told = capsys.readouterr().out
    assert "b 1: PYSEC-1, mended in 2" in told
    assert "1 packages looked up for known vulnerabilities; not known to the index: a" in told


def test_what_the_bill_of_materials_leaves_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bill, licences = tmp_path / "bill.json", tmp_path / "licences.json"
    licences.write_text(json.dumps([A, {**A, "Name": "c"}]), "utf-8")
    bill.write_text(json.dumps(BILL), "utf-8")
    assert judge(str(bill), str(licences), "none") == 1
    assert "c 1: the bill of materials leaves it out" in capsys.readouterr().out


def test_an_index_that_is_too_slow_leaves_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, answer = tmp_path / "pip-audit", tmp_path / "answer.json"
    program.write_text(f"#!/bin/sh\necho half >{answer}\nexec sleep 60\n", "utf-8")
    program.chmod(0o755)
    answer.write_text("of another time", "utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("tests.audit.ASKED_SECONDS", 0.3)
    assert ask("constraints.txt", str(answer)) == 0
    assert not answer.exists()
