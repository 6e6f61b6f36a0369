"""A container's entry and its health check, run natively against the wheel's Triton."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import ROOT, alive, built, children

NOT_IN_THE_IMAGE = ("typer", "rich", "pydantic", "tritonclient", "google", "torch", "transformers", "onnx")
HIDING = f"""
import sys
hidden = {NOT_IN_THE_IMAGE!r}
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError("not in the image: " + name, name=name)
sys.meta_path.insert(0, Without())
import runpy
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
PORTS = [f"--{name}-port=0" for name in ("http", "grpc", "metrics", "health")]
ENTRY, HEALTH = "tritonsmith_build.server", "tritonsmith_build.server.health"


def command(module: str, *options: object) -> list[str]:
    """A module run as ``python3 -m`` runs it, with nothing that the image lacks."""
    return [sys.executable, "-c", HIDING, module, *map(str, options)]


def health(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(HEALTH, "--url", url), capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The entry as it runs in the image, serving both pipelines; and its supervisor's address."""
    repository = built(["sentiment", "embeddings"], tmp_path_factory.mktemp("entry"))
    process = subprocess.Popen(
        command(ENTRY, "--repository", repository, "--target", "cpu", *PORTS), stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        address = next(match[1] for line in process.stdout if (match := re.match(r"\s+health\s+(\S+)/readyz", line)))
        # Triton's log goes the same way and nobody reads on: it must not fill the pipe.
        drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        drain.wait(timeout=30)


def test_health_is_an_answer_and_a_stop_leaves_nothing(entry: tuple[subprocess.Popen[str], str]) -> None:
    process, url = entry
    healthy = health(url)
    assert (healthy.returncode, healthy.stdout.strip()) == (0, "answered: embeddings, sentiment")

    below = children(process.pid)
    process.terminate()
    assert process.wait(timeout=90) == 0
    assert alive(below) == []


def test_health_without_a_server_is_one_line() -> None:
    nobody = health("http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert re.fullmatch(r"http://127.0.0.1:9: no server answers \(.*\)\n", nobody.stderr)


@pytest.mark.parametrize("target", ["tensorrt", "onnxruntime"])
def test_a_target_that_this_server_has_no_backend_for_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "moods" / "1").mkdir(parents=True)
    (tmp_path / "moods" / "config.pbtxt").write_text('model_name: "moods_engine" model_version: 1 key: "task"')
    folder = tmp_path / "moods_engine" / "1"
    folder.mkdir(parents=True)
    entry = {"backend": target, "precision": "fp16", "files": {}}
    (folder / "manifest.json").write_text(json.dumps({"pipeline": "moods", "targets": {target: entry}}))
    refused = subprocess.run(
        command(ENTRY, "--repository", tmp_path, "--target", target, *PORTS), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert f"this server has no {target} backend" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_entry_says_what_is_missing(tmp_path: Path) -> None:
    refused = subprocess.run(
        command(ENTRY, "--repository", tmp_path / "none", *PORTS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error ")
    assert "no such folder" in refused.stderr
