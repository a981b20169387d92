"""pages.yml under act, as release.yml calls it, up to what GitHub's own action would publish."""

import pytest

from .act import Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("train")]


def test_the_site_has_the_model_that_passed_the_gate_and_trains_nothing(
    repository: Repository,
) -> None:
    trained = repository.train("workflow_dispatch", "--input", "parameters=train.epochs=4")
    assert trained.returncode == 0, trained.stdout
    done = repository.act("workflow_call", "--workflows", ".github/workflows/pages.yml")
    assert done.returncode == 0, done.stdout
    assert "make repro" not in done.stdout
    site = repository.artifacts / "github-pages"
    model = (site / "model/model.onnx").read_bytes()
    assert model == (repository.artifacts / "model/model/model.onnx").read_bytes()
    assert model != (repository.project.path / "model/model.onnx").read_bytes()
    index = (site / "index.html").read_text(encoding="utf-8")
    assert "case-study.html" in index
    assert "4 epochs in" in index
    # There is no Pages here, which it says instead of failing.
    assert "choose *GitHub Actions* in Settings → Pages → Source" in done.stdout
    assert "deploy-pages" not in done.stdout
