"""One turn of the loop, as docs/monitoring.md tells the owner of a deployed project to make it."""

import re
from collections import Counter
from dataclasses import dataclass

from .ci.act import IDENTITY, commit
from .product.github import GitHub
from .release import Labelled, Released

TITLE = "Learn from feedback"


@dataclass(frozen=True)
class Turn:
    """What one turn left behind.

    issue: what the drift job wrote, on the stand-in for GitHub. comment: the one on the pull
    request. models: SHA-256 of the old and the new one. answers: how often which model answered
    while the new one took over, or what failed. right: whether the labels were the true ones,
    before and after.
    """

    issue: str
    comment: str
    models: tuple[str, str]
    answers: Counter[str]
    right: tuple[list[bool], list[bool]]

    def paired(self) -> list[tuple[float, float, float]]:
        """The new model less the old one on the same images, in points with its 95 % interval.

        First on the original test set, then on the test images from feedback, as the pull request's
        comment has it.
        """
        number = r"([+-][\d.]+)"
        line = rf"{number} points compared with .* interval {number} to {number}, paired\)"
        found = re.findall(line + "(?:; allowed| on the images from feedback)", self.comment)
        return [(float(value), float(low), float(high)) for value, low, high in found]


def turn(
    released: Released,
    database: str,
    github: GitHub,
    stream: Labelled,
    judged: Labelled,
    every: int,
    parameters: str = "",
) -> Turn:
    """Send images, and let the pipeline learn from the feedback on some of them.

    database: the URL of the service's, on this host. every: feedback is given on every n-th
    image of the stream. judged: images to compare the two models on. parameters: what the pull
    request changes in `params.yaml`, since there is more to learn.
    """
    project, repository = released.project, released.repository
    old, before = released.model()["sha256"], released.right(judged)
    give_feedback(released, stream[::every])
    released.predictions([image for number, image in enumerate(stream) if number % every])

    on_github = repository.on_github(github)
    monitor = ("--workflows", ".github/workflows/monitor.yml", "--var", "RETRAIN_ON_DRIFT=yes")
    secret = ("--secret", f"MONITOR_DATABASE_URL={read_only(released, database)}")
    done = repository.act("workflow_dispatch", *monitor, *secret, *on_github, *released.options())
    assert done.returncode == 0, done.stdout
    [issue] = github.issues
    assert github.started == [("train.yml", "main")]

    project.run("make", "export-feedback", env={"DATABASE_URL": database})
    project.run("make", "accept-feedback")
    project.run("git", "switch", "--quiet", "--create", "feedback")
    if parameters:
        project.run("make", "params", env={"PARAMETERS": parameters})
    commit(project, TITLE)
    project.run("uv", "run", "dvc", "push", "data/feedback/images.dvc")
    done = repository.pull_request(*on_github, *released.options())
    assert done.returncode == 0, done.stdout
    [comment] = github.comments
    project.run("git", "apply", repository.artifacts / "report/results.patch")
    commit(project, "Take the results of the pull request")

    champion = released.commit("origin/main")
    project.run("git", "switch", "--quiet", "main")
    project.run("git", *IDENTITY, "merge", "--quiet", "--no-ff", "--message", TITLE, "feedback")
    with released.target.asked_all_the_time(judged[0][0]) as answers:
        released.release(before=champion)
        new, after = released.model(), released.right(judged)
    assert new["commit"] == released.commit("feedback~1")  # which the pull request was tested at
    return Turn(issue["body"], comment["body"], (old, new["sha256"]), answers, (before, after))


def give_feedback(released: Released, images: Labelled) -> None:
    """Send images to be kept, and say what they are."""
    answers = released.predictions(images, "?keep_image=true")
    with released.target.client() as client:
        for answer, (_, label) in zip(answers, images, strict=True):
            body = {"prediction_id": answer["id"], "label": label}
            client.post("/v1/feedback", json=body).raise_for_status()


def read_only(released: Released, database: str) -> str:
    """Make the role of docs/monitoring.md for monitor.yml, and give the database's URL for it."""
    text = released.project.read("docs/monitoring.md")
    (statements,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    released.sql(statements.replace("…", "watch"))
    return re.sub(r"//.*@", "//monitor:watch@", database)
