"""Note the versions of the libraries that decide a result: `metrics/versions.json`.

`dvc.yaml` names for each stage those that it uses, so a new PyTorch trains again and a new ruff
does not.
"""

from importlib.metadata import version

from ..files import write_json
from ..paths import VERSIONS
from ._main import run_main

LIBRARIES = (
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "scikit-learn",
    "scipy",
    "torch",
)


def main() -> None:
    # Without the part after "+", which only says where PyTorch came from: 2.13.0+cpu.
    write_json(VERSIONS, {name: version(name).partition("+")[0] for name in LIBRARIES})


if __name__ == "__main__":
    run_main(main)
