"""The peers' folders hold what the harness reads, and nothing that would make a run differ from the next."""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from bench.templates import answer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PEERS = Path(__file__).parents[2] / "loadtest" / "peers"
NAMES = sorted(file.parent.name for file in PEERS.glob("*/peer.toml"))
NEEDED = {
    **{"title": str, "packages": list, "engine": str, "source": str, "note": str},
    **{"path": str, "request": str, "answer": str, "ready": str, "variants": list},
}
ALLOWED = {"width": int, "request_single": str, "answer_single": str}
VARIANT_NEEDED, VARIANT_ALLOWED = {"name": str, "command": list}, {"environment": dict, "engine": str}
PLACEHOLDERS = {"python", "bin", "model", "port", "cores"}
SERVER_LINES = 60


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest) -> Path:
    return PEERS / request.param


@pytest.fixture
def peer(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "peer.toml").read_text(encoding="utf-8"))


def requirements(folder: Path) -> list[Requirement]:
    return [Requirement(line) for line in (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()]


def wrong_types(table: dict[str, Any], needed: dict[str, type], allowed: dict[str, type]) -> dict[str, Any]:
    types = {**needed, **allowed}
    return {key: value for key, value in table.items() if type(value) is not types.get(key)}


def words_of(variant: dict[str, Any]) -> list[str]:
    return [*variant["command"], *variant.get("environment", {}).values()]


def test_the_seven_peers_are_there() -> None:
    assert [
        *("bentoml", "fastapi_onnxruntime", "fastapi_sentence_transformers", "infinity"),
        *("litserve", "mlserver", "ray_serve"),
    ] == NAMES


def test_keys_are_the_known_ones_and_of_their_types(peer: dict[str, Any]) -> None:
    assert NEEDED.keys() <= peer.keys()
    assert wrong_types(peer, NEEDED, ALLOWED) == {}
    assert peer["variants"]
    for variant in peer["variants"]:
        assert VARIANT_NEEDED.keys() <= variant.keys()
        assert wrong_types(variant, VARIANT_NEEDED, VARIANT_ALLOWED) == {}
        assert [word for word in words_of(variant) if not isinstance(word, str)] == []


def test_variants_have_names_of_their_own(peer: dict[str, Any]) -> None:
    names = [variant["name"] for variant in peer["variants"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("texts", [["one"], ['with "quotes"', "and\nlines"]], ids=["one", "two"])
def test_a_request_is_json_that_holds_the_texts(peer: dict[str, Any], texts: list[str]) -> None:
    assert peer["request"].count("$texts") == 1
    filled = json.dumps(json.loads(peer["request"].replace("$texts", json.dumps(texts))))
    assert json.dumps(texts) in filled
    assert ("request_single" in peer) == ("answer_single" in peer)
    assert "$text" in peer.get("request_single", "$text")


def test_paths_and_pages_are_addresses(peer: dict[str, Any]) -> None:
    assert peer["path"].startswith("/")
    assert peer["ready"].startswith("/")
    assert peer["source"].startswith("https://")


def test_placeholders_are_known_and_the_port_is_taken(peer: dict[str, Any]) -> None:
    for variant in peer["variants"]:
        found = {name for word in words_of(variant) for name in re.findall(r"\{(\w*)\}", word)}
        assert found <= PLACEHOLDERS
        assert {"port", "model"} <= found


def test_every_requirement_is_pinned(folder: Path) -> None:
    found = requirements(folder)
    assert found
    for requirement in found:
        assert [pin.operator for pin in requirement.specifier] == ["=="], requirement
        assert "*" not in str(requirement.specifier), requirement


def test_torch_is_the_build_for_cpus(folder: Path) -> None:
    torch = [str(requirement) for requirement in requirements(folder) if requirement.name == "torch"]
    assert torch in ([], ["torch==2.13.0"])


def test_the_packages_that_a_page_names_are_pinned(folder: Path, peer: dict[str, Any]) -> None:
    pinned = {canonicalize_name(requirement.name) for requirement in requirements(folder)}
    assert {canonicalize_name(name) for name in peer["packages"]} <= pinned


def test_nothing_asks_a_model_hub_where_torch_loads_the_model(folder: Path, peer: dict[str, Any]) -> None:
    if "torch" in {requirement.name for requirement in requirements(folder)}:
        assert [variant.get("environment", {}).get("HF_HUB_OFFLINE") for variant in peer["variants"]] == ["1"] * len(
            peer["variants"]
        )


def test_a_server_is_small_and_says_what_it_is(folder: Path) -> None:
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text, str(file))), file
        assert len(text.splitlines()) <= SERVER_LINES, file


def test_a_command_runs_a_file_that_is_there(folder: Path, peer: dict[str, Any]) -> None:
    for variant in peer["variants"]:
        for word in variant["command"]:
            module = re.fullmatch(r"(\w+)(\.py|:\w+)", word)
            assert module is None or (folder / f"{module[1]}.py").is_file(), word


def test_servers_listen_on_this_machine_alone(folder: Path, peer: dict[str, Any]) -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    for variant in peer["variants"]:
        assert "127.0.0.1" in " ".join([*words_of(variant), code])
    assert "0.0.0.0" not in (folder / "peer.toml").read_text(encoding="utf-8") + code


def test_a_star_reaches_into_each_of_a_list() -> None:
    reply = b'{"data": [{"embedding": [1, 2]}, {"embedding": [3, 4]}]}'
    assert answer("data.*.embedding")(reply, {}).tolist() == [[1, 2], [3, 4]]
