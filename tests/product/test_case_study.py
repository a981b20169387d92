"""The case study: what its author wrote survives every run, and a broken mark is an error."""

from dataclasses import replace
from pathlib import Path

import pytest

from my_project.data.dataset import load_info
from my_project.errors import UserError
from my_project.metadata import ModelMetadata
from my_project.reporting.case_study import QUESTIONS, case_study, own_words

OWN = "Nobody reads 8x8 digits. *I* do.\n\n| a | table |\n|---|---|\n| `<b>` | and code |"
TRAINING = {"epochs": 3, "seconds": 5.0, "hardware": "a laptop"}


def test_words_survive_reruns_changed_metrics_and_renamed_classes() -> None:
    metadata, info = ModelMetadata.load(Path("model")), load_info(Path("data/prepared"))
    text = case_study("", metadata, info, TRAINING)
    question = f"> **To be written:** {QUESTIONS['problem']}"
    assert question in text
    text = text.replace(question, OWN)
    for _ in range(3):
        assert case_study(text, metadata, info, TRAINING) == text
    worse = replace(metadata, metrics=metadata.metrics | {"accuracy": 0.123})
    renamed = replace(info, name="numerals", classes=tuple("abcdefghij"))
    renewed = case_study(text, worse, renamed, TRAINING)
    assert "12.3 %" in renewed
    assert "# Case study: numerals" in renewed
    assert own_words(renewed) == own_words(text)
    assert own_words(renewed)["problem"] == OWN


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
