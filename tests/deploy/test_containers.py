"""Dockerfile and Compose file are valid, agree with the project, and install what they say."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from check_tensorrt import problem
from container_checks import problems
from container_files import ROOT, Containers
from native_build import NativeBuild
from print_requirements import requirements

GIVEN = Containers.of_project()
DOC = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")


def checked(tool: str, *arguments: str | Path, content: str | None = None) -> str:
    """What a tool beside this Python says against a file, nothing where it is content."""
    command = [Path(sys.executable).parent / tool, *arguments]
    done = subprocess.run(command, input=content, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout + done.stderr if done.returncode else ""


def against_the_compose_specification(text: str, folder: Path) -> str:
    file = folder / "docker-compose.yml"
    file.write_text(text)
    return checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_the_compose_file_follows_the_compose_specification(tmp_path: Path) -> None:
    assert against_the_compose_specification(GIVEN.compose, tmp_path) == ""
    assert "stop_grace" in against_the_compose_specification(GIVEN.compose.replace("stop_grace_period", "stop_grace"), tmp_path)


def test_the_dockerfile_passes_its_linter() -> None:
    assert checked("hadolint", "-", content=GIVEN.dockerfile) == ""
    assert "DL3042" in checked("hadolint", "-", content=GIVEN.dockerfile.replace("--no-cache-dir ", ""))
    assert "missing whitespace" in checked("hadolint", "-", content=GIVEN.dockerfile.replace("EXPOSE", "EXPOSES"))


def test_everything_they_name_is_there() -> None:
    assert problems(GIVEN) == []


CHANGES = {
    "copies what is not there": ("dockerfile", "COPY client client", "COPY clients client", "clients does not exist"),
    "mounts what is not there": ("dockerfile", "source=deploy/check_tensorrt.py", "source=check.py", "check.py does not exist"),
    "ignores what it copies": ("ignore", "!build\n", "", "build is left out by .dockerignore"),
    "ignores a file it copies": ("ignore", "!LICENSE\n", "", "LICENSE is left out"),
    "takes from no stage": ("dockerfile", "bind,from=wheel,", "bind,from=wheels,", "takes from wheels, which is no stage"),
    "stands on no stage": ("dockerfile", "FROM base AS wheel", "FROM bases AS wheel", "takes from bases, which is no stage"),
    "builds no stage": ("compose", "target: server", "target: serve", "there is no stage serve"),
    "sets no ARG": ("compose", "[TRITON_TAG]", "[TRITON_TAGS]", "there is no ARG TRITON_TAGS"),
    "has another Dockerfile": ("compose", "deploy/Dockerfile", "Dockerfile", "Dockerfile does not exist"),
    "mounts no folder": ("compose", "./pipelines:", "./pipes:", "./pipes does not exist"),
    "exposes another port": ("dockerfile", "EXPOSE 8000 8001 8002 8003", "EXPOSE 8000 8001 8002 8004", "8002, 8004]"),
    "publishes another port": ("compose", "8002:8002", "8002:8003", "publishes"),
    "publishes to everybody": ("compose", "${TRITONSMITH_ADDRESS:-127.0.0.1}:8001", "0.0.0.0:8001", "8001 is not on 127.0.0.1"),
    "starts no module": ("dockerfile", '"tritonsmith_build.server",', '"tritonsmith.server",', "no command python3 -m triton"),
    "has a flag too many": ("dockerfile", '"--repository", "/models",', '"--models", "/models",', "unrecognized arguments"),
    "is reached by nobody": ("dockerfile", ', "--host", "0.0.0.0"', "", "listens on 127.0.0.1"),
    "serves no target": ("compose", "[--target, onnxruntime]", "[--target, openvino]", "triton-cpu: python3 -m"),
    "serves what is not mounted": ("compose", "/models:ro", "/repository:ro", "serves /models, which is not mounted"),
    "asks no module": ("dockerfile", "server.health", "server.healthy", "HEALTHCHECK: there is no command"),
    "asks with a flag too many": ("dockerfile", '"--timeout", "10"', '"--time-out", "10"', "unrecognized arguments"),
    "gives up before the answer": ("dockerfile", "--timeout=30s", "--timeout=5s", "waits 5s for a command that waits 10 s"),
    "has two health checks": ("compose", "interval: 15s", "interval: 60s", "its health check is not the image's"),
    "builds no pipeline": ("compose", "build, sentiment,", "build, sentiments,", "there is no pipeline sentiments"),
    "builds no target": ("compose", "tensorrt, --precision", "tensor, --precision", "'tensor' is not one of"),
    "builds no precision": ("compose", "--precision, fp32", "--precision, bf16", "onnxruntime has no bf16"),
    "builds with no such flag": ("compose", "--precision, fp32", "--prec, fp32", "No such option"),
    "runs no command": ("compose", "[build, sentiment", "[builds, sentiment", "'builds'"),
    "writes where nothing is mounted": (
        "compose",
        "./model_repository:/models\n",
        "./model_repository:/m\n",
        "writes to /models",
    ),
    "loses its cache": ("dockerfile", "HF_HOME=/cache", "HF_HOME=/caches", "HF_HOME is /caches/huggingface, which is lost"),
    "sees no pipelines": ("dockerfile", "WORKDIR /work", "WORKDIR /home", "no pipelines in /home"),
    "runs as root": ("dockerfile", "USER 1000:1000\nEXPOSE", "USER root\nEXPOSE", "stage server runs as root"),
    "keeps capabilities": ("compose", "cap_drop: [ALL]", "cap_drop: [CHOWN]", "keeps privileges"),
    "can be written": ("compose", "read_only: true", "read_only: false", "its root file system can be written"),
    "is killed while draining": ("compose", "stop_grace_period: 75s", "stop_grace_period: 30s", "is killed while"),
    "is stopped otherwise": ("dockerfile", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGQUIT", "drains on SIGTERM"),
    "needs a GPU": ("compose", "[--target, onnxruntime]", "[--target, tensorrt]", "needs a GPU and reserves none"),
    "wants a GPU for nothing": ("compose", "[--target, tensorrt]", "[--target, onnxruntime]", "reserves a GPU and needs none"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_wrong_is_said(change: tuple[str, str, str, str]) -> None:
    where, old, new, said = change
    text = getattr(GIVEN, where)
    assert old in text
    found = problems(dataclasses.replace(GIVEN, **{where: text.replace(old, new)}))
    assert [line for line in found if said in line] != []


def test_only_what_an_image_is_made_of_is_sent_to_the_engine() -> None:
    assert {path.partition("/")[0] for path in GIVEN.context} == {
        *("LICENSE", "README.md", "pyproject.toml", "build", "client", "deploy", "loadtest", "python_backend"),
        ".dockerignore",  # which the engine always reads
    }
    assert not [path for path in GIVEN.context if path.endswith(".pyc") or "__pycache__" in path]


def test_the_bindings_in_the_image_are_those_that_the_tests_read() -> None:
    pinned = re.findall(r"^BINDINGS_\S+ := (\S+)==(\S+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    (package,) = re.findall(r'pip install "([\w-]+)==\$\{TENSORRT_VERSION\}"', GIVEN.dockerfile)
    assert (package, GIVEN.args["TENSORRT_VERSION"]) in pinned


@pytest.mark.parametrize(
    ("library", "environment", "said"),
    [
        (110201, {}, None),
        (110100, {"TRT_VERSION": "11.1.0.106+cuda13.3"}, "TensorRT 11.1.0, the bindings are 11.2.1.2; .* VERSION=11.1.0.106$"),
        (110202, {}, "TensorRT 11.2.2, .*VERSION=11.2.2.BUILD$"),
        (None, {}, "no libnvinfer.so.11"),
    ],
)
def test_bindings_of_another_version_than_the_library_end_the_build(
    library: int | None, environment: dict[str, str], said: str | None
) -> None:
    found = problem("11.2.1.2", library, environment)
    assert found is None if said is None else re.search(said.replace(" VERSION", "TENSORRT_VERSION"), found or "")


def test_an_extra_is_printed_without_the_base_install() -> None:
    project = {
        "name": "smith",
        "dependencies": ["client>=1"],
        "optional-dependencies": {"steps": ["numpy>=1"], "server": ["smith[steps]", "triton==2", "numpy>=1"]},
    }
    assert requirements(project, ["steps"]) == ["numpy>=1"]
    assert requirements(project, ["server"]) == ["numpy>=1", "triton==2"]
    assert requirements(project, ["base", "server"]) == ["client>=1", "numpy>=1", "triton==2"]
    with pytest.raises(KeyError):
        requirements(project, ["nothing"])


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below which the stage ``server`` was made on this machine."""
    folder = tmp_path_factory.mktemp("server")
    NativeBuild(GIVEN, folder).run("server")
    return folder


def asked(native: Path, *arguments: str) -> str:
    """Python of the image's environment, away from this source."""
    done = subprocess.run(
        [native / "opt" / "tritonsmith" / "bin" / "python3", "-I", *arguments],
        cwd=native,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_what_the_server_image_installs_runs_its_commands(native: Path) -> None:
    entry = GIVEN.stages["server"].last("ENTRYPOINT").words[1:]
    assert "--target {cpu,onnxruntime,tensorrt}" in asked(native, *entry[:2], "--help")
    assert "--url URL" in asked(native, "-m", "tritonsmith_build.server.health", "--help")


def test_the_server_image_has_what_the_steps_import_and_no_client(native: Path) -> None:
    steps = [file.stem for file in (ROOT / "python_backend" / "tritonsmith_steps").glob("*.py") if file.stem != "serve"]
    assert {"engine", "tokenize"} <= set(steps)  # serve imports what Triton alone has
    asked(native, "-c", "".join(f"import tritonsmith_steps.{step}\n" for step in steps))
    there = "import importlib.util, sys; print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    assert asked(native, "-c", there, "tokenizers", "onnxruntime").strip() == "['tokenizers', 'onnxruntime']"
    needless = ("tritonclient", "typer", "rich", "pydantic", "torch", "transformers", "pip")
    assert asked(native, "-c", there, *needless).strip() == "[]"


def test_the_server_image_has_the_numpy_of_the_images_own_python(native: Path) -> None:
    import numpy  # that of this Python, which stands for the image's

    assert asked(native, "-c", "import numpy; print(numpy.__version__)").strip() == numpy.__version__


def shell_lines() -> list[list[str]]:
    """The words of every command in the guide."""
    text = "".join(re.findall(r"^```sh\n(.*?)^```$", DOC, flags=re.DOTALL | re.MULTILINE)).replace("\\\n", "")
    return [line.partition("#")[0].split() for line in text.splitlines() if line.partition("#")[0].strip()]


def test_the_guides_commands_name_what_is_there() -> None:
    composed = [words[words.index("compose") :] for words in shell_lines() if "compose" in words]
    assert len(composed) > 5
    for words in composed:
        assert words[1] in {"build", "run", "up", "stop", "logs", "ps", "exec", "down"}
        named = [word for word in words[2:] if not word.startswith("-")]
        assert not named or named[0] in GIVEN.services
    for words in (words for words in shell_lines() if words[:2] == ["docker", "build"]):
        assert words[words.index("--target") + 1] in GIVEN.stages
        assert (ROOT / words[words.index("--file") + 1]).is_file()


def test_the_guide_and_the_compose_file_name_every_variable() -> None:
    for text in (DOC, GIVEN.compose.partition("\nname:")[0]):
        assert set(re.findall(r"\b(?:TRITON|TENSORRT|TRITONSMITH)_[A-Z]+\b", text)) >= GIVEN.variables()


def test_the_guides_table_has_the_pinned_pair() -> None:
    rows = re.findall(r"^\| `(\S+-py3)` \| `([\d.]+)` \|", DOC, flags=re.MULTILINE)
    assert (GIVEN.args["TRITON_TAG"], GIVEN.args["TENSORRT_VERSION"]) in rows
