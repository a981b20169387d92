"""The case study: what its author wrote survives every run, and a broken mark is an error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from my_project.errors import UserError
from my_project.reporting.case_study import QUESTIONS, own_words

STUDY = Path("docs/case-study.md")
OWN = "Nobody reads 8x8 digits. *I* do.\n\n| a | table |\n|---|---|\n| `<b>` | and code |"


def report() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "my_project.stages.report"]
    return subprocess.run(command, capture_output=True, encoding="utf-8")


def test_words_survive_reruns_and_changed_metrics() -> None:
    kept = {
        path: path.read_bytes() for path in (STUDY, Path("README.md"), Path("model/metadata.json"))
    }
    try:
        text = STUDY.read_text("utf-8")
        question = f"> **To be written:** {QUESTIONS['problem']}"
        assert question in text
        STUDY.write_text(text.replace(question, OWN), "utf-8")
        for _ in range(3):
            assert report().returncode == 0
        metadata = Path("model/metadata.json")
        changed = re.sub(
            r'"accuracy": [\d.]+', '"accuracy": 0.123', metadata.read_text("utf-8"), count=1
        )
        metadata.write_text(changed, "utf-8")
        assert report().returncode == 0
        renewed = STUDY.read_text("utf-8")
        assert own_words(renewed)["problem"] == OWN
        assert "12.3 %" in renewed
        assert question not in renewed
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        assert report().returncode == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n<!-- yours: problem -->\nmine\n", "line 3: `problem` has no end"),
        ("<!-- yours: data -->\n<!-- yours: next -->", "line 2: `data` has no end before `next`"),
        ("<!-- /yours: data -->", "line 1: `data` ends here, but did not begin"),
        ("<!-- yours: dada -->\n<!-- /yours: dada -->", "line 1: `dada` is no part"),
        ("<!-- yours: data ->", "line 1: .* is no mark"),
        ("<!-- yours: next -->\n<!-- /yours: next -->\n" * 2, "line 3: `next` is there twice"),
    ],
)
def test_a_broken_mark_is_an_error_that_says_where(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        own_words(text)


def test_nothing_is_overwritten_while_a_mark_is_broken() -> None:
    before = STUDY.read_text("utf-8")
    broken = before.replace("<!-- /yours: problem -->\n", "")
    STUDY.write_text(broken, "utf-8")
    try:
        done = report()
        assert done.returncode != 0
        assert "docs/case-study.md, line" in done.stderr
        assert STUDY.read_text("utf-8") == broken
    finally:
        STUDY.write_text(before, "utf-8")
