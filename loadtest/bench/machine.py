"""Which machine and which versions a run's figures belong to."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata

import psutil
from tritonsmith_build.measuring import processor
from tritonsmith_steps.cores import cores

from bench import wrk
from bench.places import ROOT

PACKAGES = ("tritonsmith", "nvidia-pytriton", "openvino", "onnxruntime", "tokenizers", "numpy", "grpcio")


def machine() -> dict[str, str | int | float]:
    """This one."""
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cpu": processor(), "cores": cores(), "memory_gib": memory, "system": f"{platform.system()} {platform.release()}"}


def versions() -> dict[str, str]:
    """Of what serves ours and of what sends the load."""
    found = {"python": platform.python_version(), "wrk": wrk.version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """The commit that is measured; says where files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!docs")
    return (head or "unknown") + (" with changes" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
