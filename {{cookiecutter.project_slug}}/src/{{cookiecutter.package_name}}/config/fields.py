"""The types and ranges that keys of `params.yaml` have in common."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field


def _pattern(value: str) -> str:
    """Refuse what is no regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"input should be a regular expression: {error}") from None
    return value


# Strict: a boolean or a string is not a number. An integer is a valid float.
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]  # scikit-learn takes 32 bits
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, lt=1)]  # [0, 1): off, or some of it, and never all
Fraction = Annotated[Number, Field(ge=0, le=1)]  # [0, 1]: an accuracy, or the drop of one
SplitFraction = Annotated[Number, Field(gt=0, lt=1)]  # (0, 1): no split is empty
Pattern = Annotated[str, AfterValidator(_pattern)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Location = Literal["auto", "device", "disk"]

# No unknown keys; the docstring below a field explains it.
CHECKED = ConfigDict(extra="forbid", use_attribute_docstrings=True)
