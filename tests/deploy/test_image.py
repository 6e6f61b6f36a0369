"""The server's image, built from its Dockerfile and run as the Compose file says, where a container engine is.

NVIDIA's image is stood in for by the wheel's Triton. On a machine that has no ``ubuntu:24.04`` to pull, ``TRITONSMITH_SYSTEM``
names another image with apt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_files import ROOT
from tritonsmith import Client, ModelNotFoundError

# Ports that nobody else uses, and limits that any engine may set.
STANDIN = """
services:
  triton-cpu:
    image: tritonsmith-server:standin
    command: [--target, cpu]
    restart: "no"
    ports: !override ["127.0.0.1::8000", "127.0.0.1::8001"]
    ulimits: !reset null
"""


def has_engine() -> bool:
    """Whether an engine and Compose answer."""
    if not shutil.which("docker"):
        return False
    asked = [["docker", "info"], ["docker", "compose", "version"]]
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in asked)


pytestmark = [pytest.mark.full, pytest.mark.skipif(not has_engine(), reason="no container engine with Compose")]


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], cwd=ROOT, check=check, text=True, stdout=subprocess.PIPE)


class Container:
    """The service ``triton-cpu``."""

    def __init__(self, compose: list[str]) -> None:
        self.compose = compose
        (self.id,) = docker(*compose, "ps", "--all", "--quiet", "triton-cpu").stdout.split()

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        return docker("exec", self.id, *command, check=False)

    def address(self, port: int) -> str:
        return docker(*self.compose, "port", "triton-cpu", str(port)).stdout.strip()

    def state(self) -> dict[str, object]:
        return json.loads(docker("inspect", "--format", "{{json .State}}", self.id).stdout)


@pytest.fixture(scope="module")
def image() -> None:
    system = os.environ.get("TRITONSMITH_SYSTEM", "ubuntu:24.04")
    standin = ["--file", "tests/deploy/standin.Dockerfile", "--tag", "nvcr.io/nvidia/tritonserver:standin"]
    docker("build", "--network=host", "--build-arg", f"SYSTEM={system}", *standin, "tests/deploy")
    server = ["--file", "deploy/Dockerfile", "--target", "server", "--tag", "tritonsmith-server:standin"]
    docker("build", "--network=host", "--build-arg", "TRITON_TAG=standin", *server, ".")


@pytest.fixture
def container(image: None, int8_repository: Path, tmp_path: Path) -> Iterator[Container]:
    (tmp_path / "standin.yml").write_text(STANDIN)
    shutil.copytree(int8_repository, tmp_path / "model_repository")
    tmp_path.chmod(0o755)  # the server is another user
    files = [f"--file={ROOT / 'docker-compose.yml'}", f"--file={tmp_path / 'standin.yml'}"]
    name = tmp_path.name.replace("_", "-")
    compose = ["compose", "--profile=cpu", f"--project-directory={tmp_path}", f"--project-name={name}", *files]
    try:
        docker(*compose, "up", "--detach", "--no-build", "--wait", "triton-cpu")
        yield Container(compose)
    finally:
        docker(*compose, "down", "--volumes", "--timeout", "1")


def test_it_answers_as_a_user_who_can_do_nothing_else(container: Container) -> None:
    with Client(f"grpc://{container.address(8001)}") as client:
        assert client.pipeline("sentiment")("A delight from start to finish.")[0]["label"] == "POSITIVE"
    assert container.exec("id", "--user").stdout.strip() == "1000"
    for folder in ("/models", "/opt/tritonsmith", "/var/tmp"):
        assert container.exec("touch", f"{folder}/file").returncode == 1
    capabilities = container.exec("grep", "-E", "^(Cap(Prm|Bnd)|NoNewPrivs)", "/proc/self/status").stdout.split()[1::2]
    assert [int(each, 16) for each in capabilities] == [0, 0, 1]


def test_a_dead_step_is_mended(container: Container) -> None:
    check = ("python3", "-m", "tritonsmith_build.server.health")
    assert container.exec(*check).returncode == 0
    kill = "import os, pathlib\nfor line in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
    kill += " if b'triton_python_backend_stub' in line.read_bytes(): os.kill(int(line.parent.name), 9); break"
    assert container.exec("python3", "-c", kill).returncode == 0
    deadline = time.monotonic() + 60
    while '"event": "healed"' not in docker("logs", container.id).stdout:
        assert time.monotonic() < deadline, "never mended"
        time.sleep(0.2)
    assert container.exec(*check).returncode == 0


def test_a_stop_answers_what_is_in_flight(container: Container) -> None:
    address = f"grpc://{container.address(8001)}"
    answered, failed = list[object](), list[Exception]()
    going = threading.Barrier(9)

    def ask() -> None:
        with Client(address) as client:
            classify = client.pipeline("sentiment")
            classify("Going.")
            going.wait()
            try:
                while True:
                    answered.append(classify(f"Text {uuid.uuid4()}"))
            except ModelNotFoundError:
                return  # turned away, by a server that stops and has not ended
            except Exception as error:
                failed.append(error)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    going.wait()
    docker(*container.compose, "stop", "triton-cpu")
    for caller in callers:
        caller.join()
    assert len(answered) >= len(callers)
    assert failed == []
    assert container.state()["ExitCode"] == 0
