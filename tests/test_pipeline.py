"""From images to a prediction over HTTP, for every data set, as a user would do it."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from .bakes import Bake, activated, bake, mypy_cache, shared_data
from .ci.act import ran
from .pictures import Pixels, png, write_cifar10, write_image_folder
from .servers import http_folder, serve

IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ana"), ("EMAIL", "ana@example.com"))
}

pytestmark = pytest.mark.slow
# Only one test at a time may run DVC in the shared project.
in_the_demo = pytest.mark.xdist_group("demo")


def test_demo_ends_with_metrics_and_a_prediction(demo: Bake) -> None:
    metrics = json.loads(demo.read("metrics/evaluation.json"))
    assert metrics["accuracy"] >= 0.98
    assert f"accuracy             {metrics['accuracy']:.4f}" in demo.output
    assert re.search(r"label   \d, \d+%", demo.output)
    assert "make run" in demo.output


@in_the_demo
def test_demo_replaces_an_earlier_one_and_leaves_nothing_else(demo: Bake) -> None:
    remote = "my-project-dvc-storage"  # another test may have pushed to it by now
    assert {path.name for path in demo.path.parent.iterdir()} - {remote} == {"my-project"}


def test_readme_leads_with_the_measured_result(demo: Bake) -> None:
    metrics = json.loads(demo.read("metrics/evaluation.json"))
    readme = demo.read("README.md")
    assert "Not trained yet" not in readme
    assert f"{100 * metrics['accuracy']:.1f}" in readme or f"{metrics['accuracy']:.3f}" in readme
    shown = re.sub("<!--.*?-->", "", readme, flags=re.DOTALL)  # badges wait in a comment
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", shown)
    assert pictures
    assert [name for name in pictures if not (demo.path / name).is_file()] == []


def test_every_link_of_the_documents_leads_to_a_file(demo: Bake) -> None:
    for document in [demo.path / "README.md", *demo.path.glob("docs/*.md")]:
        links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
        assert [link for link in links if not (document.parent / link).exists()] == []


@in_the_demo
def test_a_second_repro_runs_nothing(demo: Bake) -> None:
    output = demo.run("uv", "run", "dvc", "repro").stdout
    assert "Running stage" not in output
    assert "up to date" in output


@in_the_demo
def test_status_is_clean_and_push_works_at_once(demo: Bake) -> None:
    demo.run("uv", "run", "dvc", "push")
    assert demo.run("uv", "run", "dvc", "status", "--cloud").stdout.count("in sync") == 1


@in_the_demo
def test_a_changed_knob_reruns_only_what_depends_on_it(demo: Bake, tmp_path: Path) -> None:
    project = with_history(demo, tmp_path)
    # Fewer bins would not do: of a model that is too modest everywhere, they change nothing.
    text = project.read("params.yaml")
    changed = text.replace("bootstrap_samples: 1000", "bootstrap_samples: 500")
    assert changed != text
    (project.path / "params.yaml").write_text(changed, encoding="utf-8")
    output = project.run("dvc", "repro", env=activated(demo.path / ".venv", project)).stdout
    assert ran(output) == ["evaluate", "export", "report"]


@in_the_demo
def test_a_new_library_reruns_what_uses_it_and_a_new_linter_nothing(
    demo: Bake, tmp_path: Path
) -> None:
    project = with_history(demo, tmp_path)
    lock = project.path / "uv.lock"
    text = re.sub(r'(name = "ruff"\nversion = )".+?"', r'\1"99.0.0"', lock.read_text("utf-8"))
    lock.write_text(text, encoding="utf-8")
    env = activated(demo.path / ".venv", project)
    assert ran(project.run("dvc", "repro", env=env).stdout) == ["versions"]

    lock.write_text(text.replace('name = "scikit-learn"', 'name = "scikit-learn" '), "utf-8")
    installed = tmp_path / "newer/scikit_learn-99.0.0.dist-info/METADATA"  # all that it is asked
    installed.parent.mkdir(parents=True)
    installed.write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 99.0.0\n", "utf-8")
    env["PYTHONPATH"] = f"{installed.parents[1]}{os.pathsep}{env['PYTHONPATH']}"
    assert ran(project.run("dvc", "repro", env=env).stdout)[:2] == ["versions", "evaluate"]


@in_the_demo
def test_a_reworded_card_reruns_the_report_alone(demo: Bake, tmp_path: Path) -> None:
    project = with_history(demo, tmp_path)
    template = project.path / f"src/{demo.package}/reporting/templates/readme-results.md.j2"
    text, readme = template.read_text(encoding="utf-8"), project.read("README.md")
    # Back to the first words, DVC knows the inputs; the README has to change back all the same.
    for words in ("Reworded, in brackets", "In brackets"):
        template.write_text(text.replace("In brackets", words), encoding="utf-8")
        output = project.run("dvc", "repro", env=activated(demo.path / ".venv", project)).stdout
        assert ran(output) == ["report"]
        assert project.read("README.md") == readme.replace("In brackets", words)


@in_the_demo
def test_the_projects_own_tests_pass(demo: Bake) -> None:
    # The service's tests start real servers; a run that was cut off would leave no such line.
    assert re.search(r"\d+ passed in", demo.run("make", "test").stdout)  # and none skipped


def test_where_the_time_of_training_goes_is_measured(demo: Bake, tmp_path: Path) -> None:
    project = demo.copy(tmp_path)
    project.run(".venv/bin/python", "-m", f"{demo.package}.measure.profile")
    table = project.read("build/profile/profile.md")
    assert "aten::convolution_backward" in table
    assert json.loads(project.read("build/profile/trace.json"))["traceEvents"]


def test_what_each_switch_of_training_brings_is_measured(demo: Bake, tmp_path: Path) -> None:
    project = demo.copy(tmp_path)
    narrow = project.read("params.yaml").replace("width: 32", "width: 8")
    (project.path / "params.yaml").write_text(narrow, encoding="utf-8")
    ablation = f"{demo.package}.measure.ablation"
    project.run(".venv/bin/python", "-m", ablation, "--epochs", "1", "--seeds", "2")
    table = project.read("docs/ablation.md")
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d.]+) \| (0\.\d+) ±", table, re.MULTILINE)
    assert len(rows) >= 8
    assert rows[0][0] == "as in `params.yaml`"
    assert rows[0][2] == "1.00"
    assert all(int(speed.replace(",", "")) > 0 for _, speed, _, _ in rows)
    assert "Not measured on your machine" not in table
    assert "<svg" in project.read("docs/ablation.svg")


@pytest.mark.xdist_group("mypy")
def test_lint_passes_on_a_trained_project(demo: Bake, environment: Path) -> None:
    demo.run("make", "lint", env=mypy_cache(environment))


@in_the_demo
def test_gate_lets_the_first_model_through_on_the_floor_alone(demo: Bake) -> None:
    verdict = demo.run("make", "gate").stdout
    assert "The floor alone decides" in verdict


def test_plain_uv_lines_of_the_readme_are_those_of_the_makefile(demo: Bake) -> None:
    makefile = demo.read("Makefile").replace("$(RUN)", "uv run")
    table = [line for line in demo.read("README.md").splitlines() if line.startswith("| ")]
    rows = [line for line in table if "`make setup`" not in line]  # it finds PyTorch, too
    lines = re.findall(r"`(uv [^`]+)`", "\n".join(rows))
    assert len(lines) >= 8
    assert [line for line in lines if line not in makefile] == []


def test_fashion_mnist_from_its_official_files(environment: Path, tmp_path: Path) -> None:
    files = shared_data() / "fashion-mnist"
    changes: dict[str, dict[str, object]] = {
        "prepare": {"limit": 1500},
        "evaluate": {"test_time_augmentation": True},
    }
    project = small_bake(tmp_path, "fashion-mnist", changes)
    with http_folder(files) as url:
        metrics = repro(project, environment, DATA_SOURCE_URL=url)
    assert metrics["accuracy"] > 0.6  # chance is 0.1
    tta = metrics["test_time_augmentation"]
    assert tta["num_copies"] == 3
    assert tta["accuracy"] > 0.6
    assert "With test-time augmentation, which the service does not do" in project.read(
        "docs/model-card.md"
    )
    assert_serves_what_it_learned(project, environment)


def test_cifar10_from_an_archive_in_its_official_format(environment: Path, tmp_path: Path) -> None:
    archive = tmp_path / "mirror/cifar-10-binary.tar.gz"
    write_cifar10(archive)
    project = small_bake(tmp_path, "cifar10", {})
    # The official archive has 170 MB. This one has its layout, and so another checksum.
    sources = project.path / "src" / project.package / "data/sources.py"
    official = re.compile(r"\b[0-9a-f]{64}(?=  cifar-10-binary\.tar\.gz$)", re.MULTILINE)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    pinned, num_replaced = official.subn(checksum, sources.read_text(encoding="utf-8"))
    assert num_replaced == 1
    sources.write_text(pinned, encoding="utf-8")
    with http_folder(archive.parent) as url:
        metrics = repro(project, environment, DATA_SOURCE_URL=url)
    assert metrics["accuracy"] > 0.5  # chance is 0.1
    assert_serves_what_it_learned(project, environment)


def test_the_users_own_pictures_in_three_folders(environment: Path, tmp_path: Path) -> None:
    project = small_bake(tmp_path, "image-folder", {"prepare": {"image_size": 32}})
    write_image_folder(project.path / "data/images")
    project.run("dvc", "add", "data/images", env=activated(environment, project))
    metrics = repro(project, environment)
    assert metrics["accuracy"] > 0.6  # chance is 0.33
    assert set(metrics["per_class"]) == {"one", "seven", "zero"}
    assert_serves_what_it_learned(project, environment)


def with_history(demo: Bake, folder: Path) -> Bake:
    """A copy of the trained project that DVC can go on with."""
    built = shutil.ignore_patterns(".venv", "build", ".*_cache")
    shutil.copytree(demo.path, folder / "project", ignore=built)
    return Bake(folder / "project", "")


def small_bake(folder: Path, dataset: str, changes: dict[str, dict[str, object]]) -> Bake:
    """Generate a project that trains for just a few epochs."""
    project = bake(folder, {"dataset": dataset, "project_name": f"Small {dataset}"}, IDENTITY)
    params = yaml.safe_load(project.read("params.yaml"))
    params["model"]["name"] = "cnn"
    params["model"]["cnn"]["width"] = 8
    params["train"] |= {"epochs": 8, "batch_size": 64, "horizontal_flip": False}
    params["evaluate"]["bootstrap_samples"] = 100
    for section, values in changes.items():
        params[section] |= values
    (project.path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return project


def repro(project: Bake, environment: Path, **env: str) -> dict[str, Any]:
    """Run the pipeline, see that a second run does nothing, and give the metrics."""
    variables = activated(environment, project) | env
    (project.path / "uv.lock").touch()  # which uv would have written
    project.run("dvc", "repro", env=variables)
    assert "Running stage" not in project.run("dvc", "repro", env=variables).stdout
    metrics: dict[str, Any] = json.loads(project.read("metrics/evaluation.json"))
    return metrics


def assert_serves_what_it_learned(project: Bake, environment: Path) -> None:
    """The service answers test images over HTTP with the labels that the evaluation saw."""
    prepared = project.path / "data/prepared"
    images: Pixels = np.load(prepared / "test_images.npy")[:20]
    rows = project.read("reports/predictions.csv").splitlines()
    header, predictions = rows[0].split(","), [row.split(",") for row in rows[1:21]]
    expected = [row[header.index("prediction")] for row in predictions]
    with serve(project, environment) as client:
        metadata = json.loads(project.read("model/metadata.json"))
        answers = [client.post("/v1/predict", content=png(pixels)) for pixels in images]
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}
    labels = [answer.json()["label"] for answer in answers]
    assert labels == expected
    assert {answer.json()["model"]["sha256"] for answer in answers} == {metadata["sha256"]}
