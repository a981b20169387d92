"""The case study: the pipeline's figures, and between marks the author's own words, which stay.

A part begins with a line `<!-- yours: NAME -->` and ends with `<!-- /yours: NAME -->`.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..data.dataset import SPLITS, DatasetInfo
from ..errors import UserError
from ..metadata import ModelMetadata
from .render import render

# What helps to write each part, and stands in its place until it is written.
QUESTIONS = {
    "problem": "Who has this problem, and what does a wrong answer cost them?",
    "data": "What did you find when you looked at the images? What would you collect next?",
    "result": "For what is this good enough, and for what not? Which mistakes would hurt?",
    "decision": "Which decision was hard? What did you try, and what did the choice cost?",
    "failure": "What did not work, how did you notice, and what did you do about it?",
    "next": "What would you do with one more week?",
}
MARK = re.compile(r"<!-- (?P<end>/?)yours: (?P<name>[\w-]+) -->")


def case_study(
    earlier: str, metadata: ModelMetadata, info: DatasetInfo, training: Mapping[str, Any]
) -> str:
    """Write the case study anew around what its author has written.

    Args:
        earlier: the file as it is; empty if there is none.
        training: as in `metrics/train.json`.

    Raises:
        UserError: a mark of the earlier file is broken; the message says in which line.
    """
    written = own_words(earlier)
    yours = {
        name: f"<!-- yours: {name} -->\n{written.get(name, f'> **To be written:** {question}')}\n"
        f"<!-- /yours: {name} -->"
        for name, question in QUESTIONS.items()
    }
    return render(
        "case-study.md",
        yours=yours,
        metadata=metadata,
        info=info,
        splits=SPLITS,
        training=training,
    )


def own_words(text: str) -> dict[str, str]:
    """Return what is between the marks, by their names.

    Raises:
        UserError: a mark without its partner, twice, or of a name that does not exist.
    """
    found: dict[str, str] = {}
    name, lines = "", list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        mark = MARK.fullmatch(line.strip())
        if not mark:
            if "yours:" in line and "<!--" in line:
                raise _broken(number, f"`{line.strip()}` is no mark: write <!-- yours: name -->")
            lines.append(line)
        elif mark["end"]:
            if mark["name"] != name:
                raise _broken(number, f"`{mark['name']}` ends here, but did not begin")
            found[name] = "\n".join(lines).strip("\n")
            name = ""
        else:
            if name:
                raise _broken(number, f"`{name}` has no end before `{mark['name']}` begins")
            name, lines = mark["name"], []
            if name not in QUESTIONS or name in found:
                reason = "is there twice" if name in found else "is no part of the case study"
                raise _broken(number, f"`{name}` {reason}")
    if name:
        raise _broken(len(text.splitlines()), f"`{name}` has no end")
    return found


def _broken(line: int, reason: str) -> UserError:
    return UserError(f"docs/case-study.md, line {line}: {reason}")
