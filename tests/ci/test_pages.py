"""pages.yml under act, up to the artifact that GitHub's own action would publish."""

import pytest

from .act import Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("train")]


def test_the_site_of_the_model_that_passed_the_gate_is_built(repository: Repository) -> None:
    done = repository.act("push", "--workflows", ".github/workflows/pages.yml")
    assert done.returncode == 0, done.stdout
    site = repository.artifacts / "github-pages"
    assert (site / "index.html").exists()
    model = (site / "model/model.onnx").read_bytes()
    assert model == (repository.project.path / "model/model.onnx").read_bytes()
    # There is no Pages here, which it says instead of failing.
    assert "choose *GitHub Actions* in Settings → Pages → Source" in done.stdout
    assert "deploy-pages" not in done.stdout
