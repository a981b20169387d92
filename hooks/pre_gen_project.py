"""Turn bad answers away before anything is written, each with one sentence."""

import json
import keyword
import re
import sys
from collections.abc import Iterator

# Any answer is safe here: JSON never holds three quotes in a row, a raw string keeps backslashes.
ANSWERS: dict[str, str] = json.loads(r"""{{ cookiecutter | tojson }}""")

FREE_TEXT = ("project_name", "description", "author_name")
LINE_BREAK_OR_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"
SLUG = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
PACKAGE = r"[a-z][a-z0-9_]*"
MAX_PACKAGE_LENGTH = 40  # keeps the import lines of the generated code under 100 columns
GITHUB_USERNAME = r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"  # GitHub's own rule, with at most 39 characters
EMAIL = r"[^@\s<>\"'\\,;:]+@[^@\s<>\"'\\,;:.]+(\.[^@\s<>\"'\\,;:.]+)+"
WINDOWS_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{device}{number}" for device in ("com", "lpt") for number in range(10)
}
REMOTE_SCHEMES = {"s3": "s3://", "gs": "gs://", "azure": "azure://", "ssh": "ssh://"}
# Import names and, where they differ, distribution names of what the generated project installs.
DEPENDENCIES = {
    *("anyio", "click", "cookiecutter", "dvc", "dvclive", "fastapi", "git", "httpx"),
    *("jinja2", "matplotlib", "mypy", "numpy", "omegaconf", "onnx", "onnxruntime", "onnxscript"),
    *("pil", "pillow", "pip", "pre_commit", "prometheus_client", "pydantic", "pydantic_core"),
    *("pydantic_settings", "pytest", "python_multipart", "pyyaml", "requests", "rich", "ruff"),
    *("scikit_learn", "scipy", "setuptools", "sklearn", "sqlalchemy", "starlette", "test", "tests"),
    *("torch", "torchserve", "torchvision", "tqdm", "ts", "typer", "uv", "uv_build"),
    *("uvicorn", "yaml"),
}


def problems() -> Iterator[str]:
    """One sentence per answer that cannot be used: which one, why, and what would be right."""
    for name in FREE_TEXT:
        if not ANSWERS[name].strip() or re.search(LINE_BREAK_OR_CONTROL, ANSWERS[name]):
            yield f"{name} must be one line of text, not {ANSWERS[name]!a}."
    yield from name_problems("project_slug", SLUG, "words of a-z and 0-9 joined by -")
    yield from name_problems("package_name", PACKAGE, "letters a-z, digits and _")
    if len(ANSWERS["package_name"]) > MAX_PACKAGE_LENGTH:
        yield f"package_name must have at most {MAX_PACKAGE_LENGTH} characters."
    if not re.fullmatch(EMAIL, ANSWERS["author_email"]):
        yield f"author_email must look like name@example.com, not {ANSWERS['author_email']!a}."
    username = ANSWERS["github_username"]
    if not re.fullmatch(GITHUB_USERNAME, username) or len(username) > 39:
        yield f"github_username must be a name on GitHub, such as octo-cat, not {username!a}."
    yield from remote_problems(ANSWERS["dvc_remote"], ANSWERS["dvc_remote_url"])


def name_problems(answer: str, pattern: str, allowed: str) -> Iterator[str]:
    """Why a slug or package name cannot be used as folder, distribution and import name."""
    name = ANSWERS[answer]
    module = name.replace("-", "_")
    if not re.fullmatch(pattern, name):
        yield f"{answer} must begin with a letter and hold only {allowed}, not {name!a}."
    elif name in WINDOWS_RESERVED:
        yield f"{answer} must not be {name!a}, which Windows reserves for a device; choose another."
    elif keyword.iskeyword(module):
        yield f"{answer} must not be {name!a}, which is a keyword of Python; choose another."
    elif module in sys.stdlib_module_names:
        yield f"{answer} must not be {name!a}, a module of Python itself; choose another."
    elif module in DEPENDENCIES:
        yield f"{answer} must not be {name!a}, a library that the project uses; choose another."


def remote_problems(remote: str, url: str) -> Iterator[str]:
    """Why an address does not fit the kind of DVC remote."""
    scheme = REMOTE_SCHEMES.get(remote)
    if scheme is None:
        if "://" in url or re.search(rf"{LINE_BREAK_OR_CONTROL}|[\"']", url):
            yield f"dvc_remote_url must be a folder, or nothing, for dvc_remote=local, not {url!a}."
    elif not re.fullmatch(rf"{scheme}[^\s\"'/][^\s\"']*", url):
        given = ascii(url) if url else "nothing"
        yield (
            f"dvc_remote_url must begin with {scheme} and name a place, "
            f"such as {scheme}name/folder, for dvc_remote={remote}, not {given}."
        )


found = list(problems())
if found:
    sys.exit("\n".join(f"Error: {sentence}" for sentence in found))
