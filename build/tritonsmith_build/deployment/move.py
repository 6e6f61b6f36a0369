"""A server moved from one version of a pipeline to another, without a request lost between them.

At every moment the record names the live version, which is whole; ``settle`` brings copy and server to it from wherever a
move was cut off. A move changes the record once, when the new version answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tritonsmith_build.deployment.control import READY, Control, States
from tritonsmith_build.deployment.copy import CONFIG, Copy
from tritonsmith_build.deployment.record import deployed_in, write_record
from tritonsmith_build.deployment.standing import standing_alone
from tritonsmith_build.errors import SmithError

At = Callable[[str], None]
_DRAIN_SECONDS = 60.0
_POLL_SECONDS = 0.05


class Move:
    """Of one pipeline, in a copy and the server that serves it.

    ``at`` is told after each step that changes something.
    """

    def __init__(self, copy: Copy, control: Control, at: At = lambda step: None) -> None:
        self.copy, self._control, self._at = copy, control, at

    @property
    def live(self) -> int:
        """What the record says."""
        return deployed_in(self.copy.folder, self.copy.pipeline).live

    def beside(self, version: int) -> None:
        """Load a version's steps beside those that answer callers."""
        self.copy.bring(version)
        self._at(f"version {version} placed")
        for step in self.copy.steps(version):
            self._load(step, version)

    def stand_alone(self, version: int) -> str:
        """Load an ensemble over a version's steps that callers do not know; its name."""
        name = self.copy.alone(version)
        rendered = self.copy.configs(version)[f"{self.copy.within(version) or self.copy.pipeline}/{CONFIG}"]
        self.copy.put_alone(version, standing_alone(rendered, name, version))
        self._load(name, version)
        return name

    def switch(self, version: int) -> None:
        """Let callers be answered by a version whose steps are loaded, and record that.

        An ensemble within cannot have two versions with different steps at once, so callers pass it by meanwhile.
        """
        copy, pipeline = self.copy, self.copy.pipeline
        through = self.stand_alone(version) if copy.within(version) else None
        copy.put_public(version, through=through)
        self._at("the pipeline's configuration written")
        self._load(pipeline, version)
        deployed = deployed_in(copy.folder, pipeline)
        before = deployed.live if version > deployed.live else None
        write_record(copy.folder, pipeline, deployed.moved(version, before))
        self._at("recorded")

    def settle(self) -> None:
        """Serve what the record calls live, and nothing else of the pipeline; requests in flight are answered first."""
        copy, pipeline, live = self.copy, self.copy.pipeline, self.live
        self.beside(live)
        if live in _ready(self._control.states(), pipeline):
            self._drained(pipeline, live)
        if within := copy.within(live):
            copy.put_within(live)
            self._at("the configuration within written")
            self._load(within, live)
        copy.put_public(live)
        self._at("the pipeline's configuration settled")
        self._load(pipeline, live)
        for model in filter(None, (pipeline, within)):
            self._drained(model, live)
        for name in copy.alones():
            self._control.unload(name)
            self._at(f"{name} unloaded")
        copy.retire(live)
        self._at("other versions retired")
        for step in copy.steps(live):
            self._load(step, live)
        copy.remove_alones()

    def recover(self) -> None:
        """As ``settle``, without what was left behind where that does not load."""
        try:
            self.settle()
        except SmithError:
            self.copy.settle(self.live)
            self.settle()

    def check_served(self) -> None:
        """Raise SmithError where the server does not serve the pipeline."""
        if not _ready(self._control.states(), self.copy.pipeline):
            fix = f"run: tritonsmith serve --repository {self.copy.folder}, or give its --url"
            raise SmithError("the server does not serve it", where=self.copy.pipeline, fix=fix)

    def settled(self) -> bool:
        """Whether nothing is left of a move that was cut off."""
        copy, live, states = self.copy, self.live, self._control.states()
        kept = deployed_in(copy.folder, copy.pipeline).versions
        served = all(_ready(states, model) == [live] for model in copy.models(live))
        return served and copy.kept() == sorted(kept) and copy.is_settled(live)

    def _load(self, model: str, version: int) -> None:
        self._control.load(model)
        if version not in _ready(self._control.states(), model):
            what = f"Triton says that {model} is loaded, and has no version {version} of it"
            raise SmithError(what, where=self.copy.folder, fix="give --deployed the folder that this server serves")
        self._at(f"{model} loaded")

    def _drained(self, model: str, live: int) -> None:
        """Wait until no other version of a model has a request in flight."""
        end = time.monotonic() + _DRAIN_SECONDS
        while busy := [number for number in _busy(self._control.states(), model) if number != live]:
            if time.monotonic() > end:
                what = f"requests of {model} version {busy[0]} are still under way after {_DRAIN_SECONDS:.0f} s"
                raise SmithError(what, where=self.copy.folder, fix="run the command again when they have ended")
            time.sleep(_POLL_SECONDS)


def _ready(states: States, model: str) -> list[int]:
    return sorted(number for number, state in states.get(model, {}).items() if state == READY)


def _busy(states: States, model: str) -> list[int]:
    """Versions that are not unloaded altogether."""
    return sorted(number for number, state in states.get(model, {}).items() if state not in ("UNAVAILABLE", ""))
