"""Put the newest results into README.md, between its two markers."""

from pathlib import Path

from ..errors import UserError
from ..evaluation.cards import readme_results
from ..files import read_json, write_text
from ..metadata import METADATA_FILE, ModelMetadata
from ..paths import MODEL, TRAINING
from ._main import run

README = Path("README.md")
START, END = "<!-- results:start -->", "<!-- results:end -->"


def main() -> None:
    """Rewrite the block; a README without the markers is left as it is."""
    for path in (MODEL / METADATA_FILE, TRAINING, README):
        if not path.exists():
            raise UserError(f"{path} not found: run `dvc repro` first, in the project's root")
    block = readme_results(ModelMetadata.load(MODEL), read_json(TRAINING))
    readme = README.read_text(encoding="utf-8")
    published = replace_block(readme, block)
    if published is None:
        print(f"{README} has no lines {START} and {END}: left as it is")
    elif published != readme:
        write_text(README, published)
        print(f"{README}: results updated")


def replace_block(text: str, block: str) -> str | None:
    """Replace what stands between the markers, or give None if they are not both there."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        return None
    return f"{before}{START}\n{block}\n{END}{after}"


if __name__ == "__main__":
    run(main)
