"""Leave what the answers ask for, make the first commit, and say how to go on.

Works without a network, without git, and on Windows.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

ANSWERS: dict[str, str] = json.loads(r"""{{ cookiecutter | tojson }}""")

SOURCE = f"src/{ANSWERS['package_name']}"
# Which paths belong to which answer. They go where another value was chosen.
BELONGS_TO = {
    "dataset": {
        "digits": ["params.digits.yaml"],
        "fashion-mnist": ["params.fashion-mnist.yaml"],
        "cifar10": ["params.cifar10.yaml"],
        "image-folder": ["params.image-folder.yaml", "dvc.image-folder.yaml"],
    },
    "serving": {
        "fastapi": ["deploy/service.fastapi.py", "deploy/docker/Dockerfile.fastapi"],
        "torchserve": [
            "deploy/service.torchserve.py",
            "deploy/docker/Dockerfile.torchserve",
            "deploy/torchserve",
            f"{SOURCE}/serving/torchserve.py",
            f"{SOURCE}/stages/package.py",
        ],
    },
    "deploy_target": {
        "compose": [
            "deploy/target.compose.py",
            "deploy/compose.yaml",
            "deploy/takeover.sh",
            "deploy/Caddyfile",
            "deploy/observability/prometheus.yml",
            "docs/compose.md",
            "docs/decisions/two-slots-and-a-file.md",
        ],
        "kubernetes": ["deploy/target.kubernetes.py", "deploy/kubernetes", "docs/kubernetes.md"],
    },
    "license": {
        "MIT": ["LICENSE.MIT"],
        "Apache-2.0": ["LICENSE.Apache-2.0"],
        "Proprietary": ["LICENSE.Proprietary"],
    },
}
# What is left gets its final name.
RENAMES = {
    "python-version": ".python-version",  # under that name, pyenv would read the template's own
    f"params.{ANSWERS['dataset']}.yaml": "params.yaml",
    f"dvc.{ANSWERS['dataset']}.yaml": "dvc.yaml",
    f"deploy/service.{ANSWERS['serving']}.py": "deploy/service.py",
    f"deploy/target.{ANSWERS['deploy_target']}.py": "deploy/target.py",
    f"deploy/docker/Dockerfile.{ANSWERS['serving']}": "deploy/docker/Dockerfile",
    f"LICENSE.{ANSWERS['license']}": "LICENSE",
}
TORCHSERVE_WARNING = """
Warning: TorchServe is no longer maintained. Its last release is 0.12.0 of September 2024, and
since the notice of 2025-02-28 it gets no security patches. Keep it behind a proxy that asks for
credentials, and read deploy/torchserve/README.md on its known advisories and on the way to FastAPI.
"""
# For `cruft update`: the file that says where the project comes from, and what is no part of it.
RECORD = Path(".cruft.json")
NOT_UPDATED = [".git", str(RECORD)]
HOSTS = {
    "gh:": "https://github.com/",
    "gl:": "https://gitlab.com/",
    "bb:": "https://bitbucket.org/",
}
PLACEHOLDER = re.compile(r"\bpackage_name\b")  # how tests/ names the package in the template


def remove_what_was_not_chosen() -> None:
    """Delete the paths of every answer that was not given."""
    for question, choices in BELONGS_TO.items():
        for choice, paths in choices.items():
            if choice != ANSWERS[question]:
                for path in map(Path, paths):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()


def rename_what_is_left() -> None:
    """Rename `params.digits.yaml` to `params.yaml`, and so on."""
    for path, name in RENAMES.items():
        if Path(path).exists():
            Path(path).replace(name)


def name_package_in_tests() -> None:
    """Write the package's real name where the tests hold the placeholder."""
    for path in Path("tests").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named = PLACEHOLDER.sub(ANSWERS["package_name"], text)
        path.write_text(named, encoding="utf-8", newline="\n")


def record_template() -> None:
    """Write down the answers and the template's commit, by which `cruft update` finds what is new.

    A template that is no git repository has no commit, and leaves no record.
    """
    folder = ANSWERS.get("_repo_dir", "") if shutil.which("git") else ""
    commit = git("-C", folder, "rev-parse", "HEAD").stdout.strip() if folder else ""
    if not commit:
        return
    template = ANSWERS["_template"]
    # gh:owner/name, https://… and git@host:… stay. Anything else, C:… of Windows too, is a folder,
    # as it was named from the one in which cookiecutter was called.
    if not re.match(r"\w{2,}:|\S+@\S+:", template):
        template = str(Path(folder).resolve())
    for short, long in HOSTS.items():
        template = re.sub(f"^{short}", long, template)
    machine = ("_output_dir", "_repo_dir")
    context = {name: answer for name, answer in ANSWERS.items() if name not in machine}
    record = {
        "template": template,
        "commit": commit,
        "checkout": ANSWERS.get("_checkout"),
        "context": {"cookiecutter": context | {"_template": template}},
        "directory": None,
        "skip": NOT_UPDATED,
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8", newline="\n")


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git; the user's hooks, signing and ignore file have no part in the first commit."""
    options = {
        "commit.gpgSign": "false",
        "core.excludesFile": os.devnull,
        "core.hooksPath": os.devnull,
        "core.safecrlf": "false",
        "user.useConfigOnly": "true",  # no made-up user@host where no identity is set
    }
    settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    return subprocess.run(
        ["git", *settings, *arguments], capture_output=True, encoding="utf-8", errors="replace"
    )


def make_first_commit() -> str:
    """Put the project under git where that is possible.

    Returns:
        A sentence on what was not done, or nothing.
    """
    if shutil.which("git") is None:
        # This lets DVC work without git; git ignores the file.
        Path(".dvc/config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
        return (
            "git was not found, so there is no repository yet: install it, "
            "delete .dvc/config.local and run `git init -b main`."
        )
    inside = git("rev-parse", "--is-inside-work-tree").returncode == 0
    if inside and git("check-ignore", "--quiet", ".").returncode != 0:
        return "This folder is inside a git repository, so no new one was made: commit it there."
    for command in (["init", "-b", "main"], ["add", "--all"]):
        result = git(*command)
        if result.returncode != 0:
            return f"git {command[0]} failed, so nothing is committed: {result.stderr.strip()}"
    message = ["commit", "-m", "Generate the project from dl-portfolio"]
    if git(*message).returncode == 0:
        return ""
    # DVC needs a first commit, so it gets the author of the answers where git knows nobody.
    author = ("user.name", ANSWERS["author_name"]), ("user.email", ANSWERS["author_email"])
    result = git(*(part for key, value in author for part in ("-c", f"{key}={value}")), *message)
    if result.returncode != 0:
        return f"git commit failed, so nothing is committed: {result.stderr.strip()}"
    return (
        "git does not know who you are, so the first commit has the author of your answers: set "
        "user.name and user.email with `git config --global` before you commit."
    )


def next_steps() -> str:
    """The commands that a person runs now, each on a line of its own."""
    lines = [f"cd {ANSWERS['project_slug']}"]
    if ANSWERS["dataset"] == "image-folder":
        lines.append("# put your images into data/images, one folder per class")
    lines.append(
        "make run     # set up, train, evaluate, export and serve on http://127.0.0.1:8000"
    )
    lines.append("make test    # the project's own tests")
    return "\n".join(f"    {line}" for line in lines)


def main() -> None:
    """Turn the rendered files into the project, and say what to do next."""
    remove_what_was_not_chosen()
    rename_what_is_left()
    name_package_in_tests()
    record_template()
    note = make_first_commit()
    if ANSWERS["serving"] == "torchserve":
        print(TORCHSERVE_WARNING)
    print(f"\n{ANSWERS['project_slug']} is ready. Next:\n\n{next_steps()}\n")
    if note:
        print(f"Note: {note}\n")


if __name__ == "__main__":
    main()
