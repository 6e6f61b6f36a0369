"""What is done when Locust begins, starts a run, ends it, and quits."""

from __future__ import annotations

import logging
import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust import events
from locust.env import Environment
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner, WorkerRunner
from tritonsmith.errors import TritonsmithError
from tritonsmith_build.errors import SmithError

from load.callers import TIMEOUT, Callers
from load.collecting import result_of, sample_of
from load.counters import Counters, counters_at, step_times
from load.recording import Sample
from load.report import write
from load.results import Result
from load.scenario import scenario_from_file

_DEFAULT = Path(__file__).parents[1] / "scenarios" / "steady.toml"
_METRICS_PORT = 8002
_SAMPLE_SECONDS = 1.0
_REPORT_SECONDS = 3 * WORKER_REPORT_INTERVAL
log = logging.getLogger("tritonsmith.load")


def listen() -> None:
    """Have Locust tell when these things happen."""
    events.init_command_line_parser.add_listener(_add_options)
    events.init.add_listener(_begin)
    events.test_start.add_listener(_start)
    events.test_stop.add_listener(_end)
    events.quitting.add_listener(_quit)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--scenario", default=str(_DEFAULT), help="the scenario's TOML; on every worker under the same path")
    parser.add_argument("--metrics-url", default="", help="Triton's metrics page; port 8002 of the host where it is left out")
    parser.add_argument("--report", default="", help="folder for report.html, result.json and seconds.csv")


def _begin(environment: Environment, **_: Any) -> None:
    options = _options(environment)
    try:
        scenario = scenario_from_file(Path(options.scenario))
    except SmithError as error:
        log.error("%s", error)
        raise SystemExit(2) from None
    environment.scenario = scenario  # type: ignore[attr-defined]
    environment.run = None  # type: ignore[attr-defined]
    # What is under way at the end is waited for, so that its answers count.
    environment.stop_timeout = environment.stop_timeout or TIMEOUT
    if environment.host:  # a worker hears of it later, and of the class from its master
        scheme = urlsplit(environment.host).scheme
        fitting = [user for user in environment.user_classes if scheme in user.schemes]  # type: ignore[attr-defined]
        if not fitting:
            log.error("--host %s: write for example grpc://localhost:8001 or http://localhost:8000", environment.host)
            raise SystemExit(2)
        environment.user_classes = fitting


def _options(environment: Environment) -> Namespace:
    options = environment.parsed_options
    assert isinstance(options, Namespace)
    return options


class Run:
    """What is watched while a run is under way, by the process that adds up all figures."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._metrics_url = _options(environment).metrics_url or _metrics_of(environment.host or "")
        self._before = self._counters()
        self._begun, self._processor = time.perf_counter(), time.process_time()
        self._samples: list[Sample] = [self._sample(self._begun)]
        self._ended: float | None = None
        self._users: dict[str, int] = {}
        environment.events.worker_report.add_listener(self._hear)
        self._watching = gevent.spawn(self._watch)

    def _sample(self, now: float) -> Sample:
        runner = self._environment.runner
        assert runner is not None
        return sample_of(runner.stats, now - self._begun, runner.user_count)

    def _watch(self) -> None:
        while True:
            gevent.sleep(_SAMPLE_SECONDS)
            self._samples.append(self._sample(time.perf_counter()))

    def _counters(self) -> Counters | None:
        try:
            return counters_at(self._metrics_url)
        except SmithError as error:
            log.warning("%s; the report has no figures of the steps", error)
            return None

    def end(self) -> None:
        """The users are told to stop."""
        if self._ended is None:
            self._ended, self._ended_at = time.perf_counter(), time.time()
            self._watching.kill()

    @property
    def told(self) -> bool:
        """Whether every worker has said that its users have stopped, and with that what they counted at last."""
        runner = self._environment.runner
        workers = runner.worker_count if isinstance(runner, MasterRunner) else 0
        return len(self._users) >= workers and not any(self._users.values())

    def _hear(self, client_id: str, data: Mapping[str, Any]) -> None:
        self._users[client_id] = data["user_count"]

    def result(self) -> Result:
        """When they have stopped."""
        assert self._ended is not None
        with gevent.Timeout(_REPORT_SECONDS, exception=False):
            while not self.told:
                gevent.sleep(0.1)
        self._samples.append(self._sample(self._ended))
        cores = (time.process_time() - self._processor) / (self._ended - self._begun)
        after = self._counters() if self._before is not None else None
        steps = step_times(self._before, after) if self._before is not None and after is not None else []
        runner = self._environment.runner
        assert runner is not None
        scenario = self._environment.scenario  # type: ignore[attr-defined]
        return result_of(scenario, self._environment.host or "", runner.stats, self._samples, steps, self._ended_at, cores)


def _metrics_of(url: str) -> str:
    return f"http://{urlsplit(url).hostname or 'localhost'}:{_METRICS_PORT}/metrics"


def _start(environment: Environment, **_: Any) -> None:
    environment.callers = None  # type: ignore[attr-defined]
    if not isinstance(environment.runner, MasterRunner):
        try:
            environment.callers = Callers(environment.scenario, environment.host)  # type: ignore[attr-defined]
        except (SmithError, TritonsmithError, ValueError) as error:
            log.error("%s", error)
            if environment.web_ui is None:
                raise SystemExit(2) from None
            gevent.spawn(environment.runner.stop)  # type: ignore[union-attr]
            return  # somebody can correct the address on the page
    if not isinstance(environment.runner, WorkerRunner):
        environment.run = Run(environment)  # type: ignore[attr-defined]
        assert environment.shape_class is not None
        environment.shape_class.reset_time()  # which began before all this


def _end(environment: Environment, **_: Any) -> None:
    if environment.callers is not None:  # type: ignore[attr-defined]
        environment.callers.close()  # type: ignore[attr-defined]
    run: Run | None = getattr(environment, "run", None)
    if run is not None:
        run.end()
        _tell(environment, run)


def _tell(environment: Environment, run: Run) -> None:
    environment.run = None  # type: ignore[attr-defined]
    result = run.result()
    environment.result = result  # type: ignore[attr-defined]
    for gate in result.gates:
        log.log(logging.INFO if gate.holds else logging.ERROR, "%s: %.4g, limit %.4g", gate.name, gate.value, gate.limit)
    if folder := _options(environment).report:
        write(result, Path(folder))
        log.info("report: %s", os.path.join(folder, "report.html"))  # noqa: PTH118


def _quit(environment: Environment, **_: Any) -> None:
    """The exit code is the gates'; an error that they allow is none."""
    result: Result | None = getattr(environment, "result", None)
    if environment.process_exit_code is not None or isinstance(environment.runner, WorkerRunner):
        return
    if result is not None:
        environment.process_exit_code = 0 if result.holds else 1
    elif environment.web_ui is None:
        log.error("the run ended before anything was measured")
        environment.process_exit_code = 2
