"""Prometheus' own tools on our rules, and Prometheus itself on a real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from drifting import drifting
from faults.drills import stub_of, triton_of
from load.serving import Serving
from monitor.load import light_load
from monitor.native import Prometheus, targets
from monitor.native import prometheus as prometheus_on
from monitor.queries import panels, recorded
from served import ROOT, Served, serving
from tritonsmith import Client, InvalidInputError
from tritonsmith_build.examples import examples_from_file
from waiting import until

FOLDER = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RECORDED = [rule for group in RULES["groups"] for rule in group["rules"] if "record" in rule]
TEXTS = examples_from_file(ROOT / "pipelines" / "sentiment" / "gate.tsv").texts
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="prometheus is not installed (apt-get install prometheus)")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_configuration_and_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_every_alert_is_raised_and_kept_quiet_where_it_should() -> None:
    promtool("test", "rules", "rules_test.yml")
    cases = yaml.safe_load((FOLDER / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    tried = [(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]]
    assert set(tried) == {(alert["alert"], raised) for alert in ALERTS for raised in (True, False)}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    name = alert["alert"]
    anchor = name.lower() + ("-1" if headings.count(name) > 1 else "")
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{anchor}"
    assert f"\n### {name}\n" in PAGE
    assert alert["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize("rule", RECORDED, ids=lambda rule: rule["record"])
def test_every_recorded_figure_is_on_the_page(rule: dict[str, Any]) -> None:
    name = re.sub(r"(30m|1h|6h)$", "5m", rule["record"])
    assert (
        name.startswith("tritonsmith:objective:") or name.removeprefix("pipeline:failed:") == "share5m" or f"`{name}`" in PAGE
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    repository = drifting(folder, ["sentiment"], TEXTS, window=40)
    with serving(repository, folder / "log", "--canary-every=1", faults=True) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with asking(served, tmp_path_factory.mktemp("prometheus")) as made:
        yield made


def asking(served: Served, folder: Path) -> AbstractContextManager[Prometheus]:
    """One that asks a server of ours every quarter of a second; a test does not last five minutes."""
    return prometheus_on(targets(served.said), folder, every="250ms", rates="10s")


def test_a_callers_mistakes_are_no_failures_and_triton_counts_them_twice(served: Served, prometheus: Prometheus) -> None:
    """Where this fails after an upgrade of Triton, the halves in ``rules.yml`` are to go."""

    def counted(query: str) -> float:
        return sum(value for _, value in prometheus.values(query))

    failed, refused = 'nv_inference_request_failure{model="sentiment"}', 'tritonsmith_requests_total{outcome="refused"}'
    with Client(served.grpc) as client:
        for text in TEXTS[:10]:
            client.pipeline("sentiment")(text)
            with pytest.raises(InvalidInputError):
                client.pipeline("sentiment")("x" * 70_000)
    until(lambda: counted(refused) == 10, "the mistakes are not counted")
    until(lambda: counted(failed) == 20, "the failures are not counted twice")
    # Triton's count is there a second before the step's.
    until(lambda: counted("pipeline:failed:share5m") == 0, "mistakes are taken for failures")
    until(lambda: prometheus.raised() == set(), "mistakes raise an alert")


def test_every_rule_and_every_panel_has_data_under_load(served: Served, prometheus: Prometheus) -> None:
    asked = [query for query in (*recorded(), *panels("sentiment")) if not query.needs_gpu and not query.may_be_empty]
    assert len(asked) > 30
    with light_load(served.grpc, "sentiment", TEXTS):
        for query in asked:
            until(lambda query=query: prometheus.values(query.expression), f"{query.where}, {query.name}: no data")
    assert {rule["health"] for rule in prometheus.rules().values()} == {"ok"}
    assert prometheus.rules().keys() >= {alert["alert"] for alert in ALERTS}


def test_a_step_that_died_raises_its_alert_though_it_is_mended_at_once(served: Served, prometheus: Prometheus) -> None:
    os.kill(stub_of(triton_of(Serving(served.process, served.said)), "sentiment_classify"), signal.SIGKILL)
    until(lambda: "StepDied" in prometheus.raised(), "no alert")
    until(lambda: served.events[-1]["event"] == "healed", "not mended")


def test_a_step_that_nobody_mends_is_not_ready_and_raises_its_alert(fp32_repository: Path, tmp_path: Path) -> None:
    options = ("--pipelines=sentiment", "--no-heal", "--canary-every=0.2")
    with serving(fp32_repository, tmp_path / "log", *options, faults=True) as server, asking(server, tmp_path) as watching:
        until(lambda: watching.values("tritonsmith_pipeline_answers == 1"), "it does not answer")
        os.kill(stub_of(triton_of(Serving(server.process, server.said)), "sentiment_classify"), signal.SIGKILL)
        until(lambda: watching.raised() >= {"StepDied", "PipelineDoesNotAnswer"}, "no alert")
        assert {event["event"] for event in server.events} == {"fault"}
        assert not watching.values("tritonsmith_pipeline_answers == 1")
