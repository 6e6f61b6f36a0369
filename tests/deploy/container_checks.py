"""What of Dockerfile and Compose file does not agree with the project, or with each other."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import typer
import yaml
from container_files import ROOT, Containers, Instruction
from tritonsmith_build import cli
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.server import __main__ as entry
from tritonsmith_build.server import health, process
from tritonsmith_build.targets import TARGETS

USAGE_ERROR = typer.BadParameter.__base__
"""Click's, which typer may carry under a name of its own."""
COMMANDS = {"tritonsmith_build.server": entry.parser, "tritonsmith_build.server.health": health.parser}


def problems(given: Containers) -> list[str]:
    """Everything that does not agree."""
    return [problem for check in CHECKS for problem in check(given)]


def from_context(instruction: Instruction) -> list[str]:
    """The paths of the project that an instruction takes into the build."""
    if instruction.keyword == "COPY" and "from" not in dict(instruction.flags):
        return instruction.words[:-1]
    return [mount["source"] for mount in instruction.mounts() if mount["type"] == "bind" and "from" not in mount]


def paths(given: Containers) -> Iterator[str]:
    for instruction in given.instructions:
        for path in from_context(instruction):
            if not (ROOT / path).exists():
                yield f"{path} does not exist"
            elif not any(f"{file}/".startswith(f"{path}/") for file in given.context):
                yield f"{path} is left out by .dockerignore"
    for name, service in given.services.items():
        for source in (volume.split(":")[0] for volume in service.get("volumes", ())):
            if source.startswith(".") and not (ROOT / source).is_dir():
                yield f"{name}: {source} does not exist"
    for name, service in given.built.items():
        if not (ROOT / service["build"]["dockerfile"]).is_file():
            yield f"{name}: {service['build']['dockerfile']} does not exist"


def stages(given: Containers) -> Iterator[str]:
    known: list[str] = []
    for name, stage in given.stages.items():
        sources = [dict(one.flags).get("from") for one in stage.own if one.keyword == "COPY"]
        sources += [mount.get("from") for one in stage.own for mount in one.mounts()]
        wanted = {source for source in sources if source} | ({stage.base} if "/" not in stage.base else set())
        yield from (f"stage {name} takes from {source}, which is no stage before it" for source in sorted(wanted - set(known)))
        known.append(name)
    for name, service in given.built.items():
        if service["build"]["target"] not in known:
            yield f"{name}: there is no stage {service['build']['target']}"
        yield from (f"{name}: there is no ARG {arg}" for arg in service["build"]["args"] if arg not in given.args)
    if list(given.stages)[-1] != "server":
        yield "the last stage, which a build without --target makes, is not server"


def ports(given: Containers) -> Iterator[str]:
    said = entry.parser().parse_args([])
    listened = {said.http_port, said.grpc_port, said.metrics_port, said.health_port}
    exposed = {int(word) for word in given.stages["server"].last("EXPOSE").words}
    if exposed != listened:
        yield f"EXPOSE {sorted(exposed)}, but the server listens on {sorted(listened)}"
    for name, service in given.of_stage("server").items():
        published = [port.rsplit(":", 2) for port in service["ports"]]
        if {int(inside) for _, _, inside in published} != listened:
            yield f"{name}: publishes {published}, but the server listens on {sorted(listened)}"
        yield from (f"{name}: {port} is not on 127.0.0.1" for address, port, _ in published if address != "127.0.0.1")


def _said(words: list[str], where: str) -> argparse.Namespace:
    """What the parser of ``python3 -m MODULE …`` makes of its words; ValueError where it does not take them."""
    if words[:2] != ["python3", "-m"] or words[2] not in COMMANDS or importlib.util.find_spec(words[2]) is None:
        raise ValueError(f"{where}: there is no command {' '.join(words[:3])}")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return COMMANDS[words[2]]().parse_args(words[3:])
    except SystemExit:
        raise ValueError(f"{where}: {complaint.getvalue().splitlines()[-1]}") from None


def serving(given: Containers) -> Iterator[str]:
    stage = given.stages["server"]
    commands = {"CMD": stage.last("CMD").words, **{name: one["command"] for name, one in given.of_stage("server").items()}}
    for name, command in commands.items():
        try:
            said = _said([*stage.last("ENTRYPOINT").words, *command], name)
        except ValueError as error:
            yield str(error)
            continue
        if said.host != "0.0.0.0":
            yield f"{name}: listens on {said.host}, which nothing outside the container reaches"
        mounted = [volume.split(":")[1:] for volume in given.services.get(name, {}).get("volumes", ())]
        if name in given.services and [str(said.repository), "ro"] not in mounted:
            yield f"{name}: serves {said.repository}, which is not mounted read-only"


def health_checks(given: Containers) -> Iterator[str]:
    image = given.stages["server"].last("HEALTHCHECK")
    command = yaml.safe_load(image.value.removeprefix("CMD"))
    try:
        asked = _said(command, "HEALTHCHECK")
    except ValueError as error:
        yield str(error)
        return
    times = {name.replace("-", "_"): value for name, value in image.flags}
    if float(times["timeout"].rstrip("s")) < asked.timeout:
        yield f"HEALTHCHECK waits {times['timeout']} for a command that waits {asked.timeout:g} s"
    for name, service in given.of_stage("server").items():
        own = {key: str(value) for key, value in service["healthcheck"].items() if key != "test"}
        if (service["healthcheck"]["test"], own) != (["CMD", *command], times):
            yield f"{name}: its health check is not the image's"


def building(given: Containers) -> Iterator[str]:
    stage = given.stages["builder"]
    (script,) = stage.last("ENTRYPOINT").words
    if script not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]:
        yield f"ENTRYPOINT {script} is no script of the project"
    commands = typer.main.get_command(cli.app).commands
    pipelines = {spec.name for spec in specs_named([], ROOT / "pipelines")}
    for name, service in given.of_stage("builder").items():
        command, *words = service["command"]
        try:
            said = commands[command].make_context(command, words).params
        except (USAGE_ERROR, KeyError) as error:
            yield f"{name}: {getattr(error, 'message', error)}"
            continue
        yield from (f"{name}: there is no pipeline {each}" for each in said["pipelines"] if each not in pipelines)
        if said["target"] in TARGETS and said["precision"] not in TARGETS[said["target"]].routes:
            yield f"{name}: {said['target']} has no {said['precision']}"
        if str(said["repository"]) not in _mounted(service):
            yield f"{name}: writes to {said['repository']}, which is not mounted"
        for variable in ("TRITONSMITH_CACHE", "HF_HOME"):
            (value,) = re.findall(rf"\b{variable}=(\S+)", stage.last("ENV").value)
            if not any(value.startswith(f"{folder}/") for folder in _mounted(service)):
                yield f"{name}: {variable} is {value}, which is lost with the container"
        if f"{stage.last('WORKDIR').value}/pipelines" not in _mounted(service):
            yield f"{name}: no pipelines in {stage.last('WORKDIR').value}"


def _mounted(service: dict[str, Any]) -> list[str]:
    return [volume.split(":")[1] for volume in service["volumes"]]


def hardening(given: Containers) -> Iterator[str]:
    for name, stage in given.stages.items():
        if stage.all("ENTRYPOINT") and not re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage.last("USER").value):
            yield f"stage {name} runs as {stage.last('USER').value}"
    for name, service in given.built.items():
        if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", ()):
            yield f"{name}: keeps privileges"
        if str(service.get("user", "1000:1000")).startswith("0"):
            yield f"{name}: runs as root"
    for name, service in given.of_stage("server").items():
        if not service.get("read_only"):
            yield f"{name}: its root file system can be written"
        # Draining takes up to DRAIN_SECONDS, and Triton's own end up to as long again.
        if int(service["stop_grace_period"].rstrip("s")) <= 2 * process.DRAIN_SECONDS + 5:
            yield f"{name}: is killed while it still may answer"
    if given.stages["server"].last("STOPSIGNAL").value != "SIGTERM":
        yield "the entry drains on SIGTERM"


def gpus(given: Containers) -> Iterator[str]:
    """Those with a GPU are those that need one."""
    for name, service in given.built.items():
        reserved = "gpu" in str(service.get("deploy", ""))
        if reserved != ("tensorrt" in service["command"]):
            yield f"{name}: {'reserves a GPU and needs none' if reserved else 'needs a GPU and reserves none'}"


CHECKS: tuple[Callable[[Containers], Iterator[str]], ...] = (
    paths,
    stages,
    ports,
    serving,
    health_checks,
    building,
    hardening,
    gpus,
)
