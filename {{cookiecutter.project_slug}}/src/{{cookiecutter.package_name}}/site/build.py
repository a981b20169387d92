"""`make site`: write build/site/, which any static host can serve, from the pipeline's results."""

import shutil
from pathlib import Path
from typing import Any

from ..data.dataset import SPLITS, load_info
from ..files import fresh_folder, read_json, write_json, write_text
from ..git import git
from ..metadata import METADATA_FILE, MODEL_FILE, ModelMetadata
from ..paths import BUILD, DOCS, MODEL, PREPARED, README, REPORTS, TRAINING
from ..reporting.render import render
from ..serving.samples import load_samples
from ..stages._main import run_main
from .documents import to_html
from .runtime import VERSION, write_runtime

SITE = BUILD / "site"
PAGE = Path(__file__).parents[1] / "serving/static"  # of the service, which the site shares
OWN = Path(__file__).parent / "static"
SHARED_FILES = ("icon.svg", "pad.js", "page.css", "ui.js")
DOCUMENTS = {
    "case-study.md": "Case study",
    "model-card.md": "Model card",
    "data-card.md": "Data card",
}
PLOTS = {
    "confusion_matrix.png": "Confusion matrix: true classes down, predicted ones across",
    "reliability.png": "Reliability diagram: how often the model is right when it is so sure",
    "learning_curves.png": "Learning curves: loss and accuracy by epoch",
    "mistakes.png": "The most confident mistakes",
}
MAX_BYTES = 16_000_000


def main() -> None:
    """Build the site, and say how large it is and how to look at it."""
    with fresh_folder(SITE) as folder:
        write_site(folder)
    files = [path for path in SITE.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{SITE}: {len(files)} files, {size / 1e6:.1f} MB.")
    if size > MAX_BYTES:
        print(f"More than {MAX_BYTES / 1e6:.0f} MB keep a visitor with a telephone waiting.")
    print(f"To look at it: python3 -m http.server --directory {SITE}")


def write_site(folder: Path) -> None:
    """Write all files of the site to an empty folder."""
    static = folder / "static"
    shutil.copytree(OWN, static)
    for name in SHARED_FILES:
        shutil.copy(PAGE / name, static)
    write_runtime(folder / "runtime")
    (folder / "model").mkdir()
    for name in (MODEL_FILE, METADATA_FILE):
        shutil.copy(MODEL / name, folder / "model")
    samples = [sample.model_dump() for sample in load_samples(MODEL)]
    write_json(folder / "model/samples.json", samples)
    shutil.copytree(REPORTS, folder / "reports", ignore=shutil.ignore_patterns("*.csv", ".*"))
    _write_pages(folder)


def _write_pages(folder: Path) -> None:
    documents = {name: title for name, title in DOCUMENTS.items() if (DOCS / name).exists()}
    pages = {f"docs/{name}": f"{Path(name).stem}.html" for name in documents}
    pages |= {f"reports/{path.name}": f"reports/{path.name}" for path in REPORTS.glob("*.png")}
    pages |= {"README.md": "index.html"}
    title = README.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    repository = repository_url()
    common: dict[str, Any] = {
        "title": title,
        "repository": repository,
        "documents": {pages[f"docs/{name}"]: name_shown for name, name_shown in documents.items()},
    }
    code_url = f"{repository}/blob/main" if repository else None
    for name, heading in documents.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        content = to_html(text, f"docs/{name}", pages, code_url)
        page = render("site-document.html", content=content, heading=heading, **common)
        write_text(folder / pages[f"docs/{name}"], page)
    metadata, info = ModelMetadata.load(MODEL), load_info(PREPARED)
    start = folder / "runtime/ort-wasm-simd-threaded.wasm", folder / "model" / MODEL_FILE
    index = render(
        "site-index.html",
        try_it=_part_of_page("try it"),
        metadata=metadata,
        info=info,
        splits=SPLITS,
        training=read_json(TRAINING),
        plots={name: text for name, text in PLOTS.items() if f"reports/{name}" in pages},
        num_bytes=sum(path.stat().st_size for path in start),
        model_bytes=start[1].stat().st_size,
        runtime_version=VERSION,
        **common,
    )
    write_text(folder / "index.html", index)


def _part_of_page(name: str) -> str:
    """Return what is between the marks `name` and `/name` of the service's page."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {name}")
    return rest.partition("-->")[2].partition(f"<!-- /{name}")[0].strip()


def repository_url() -> str | None:
    """Where the repository can be read, from git's `origin`; None if that is no web address."""
    url = (git("remote", "get-url", "origin") or "").strip().removesuffix(".git")
    if url.startswith("git@"):  # git@github.com:ana/project
        url = "https://" + url.removeprefix("git@").replace(":", "/", 1)
    return url if url.startswith("https://") else None


if __name__ == "__main__":
    run_main(main)
