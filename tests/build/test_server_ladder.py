"""What is done about a fault depends on what was tried before, and when."""

from __future__ import annotations

from tritonsmith_build.server.ladder import Ladder, Limits

LIMITS = Limits(reloads=2, reloads_within=60, restarts=2, restarts_within=600, leaks=3)
STEP, OTHER = ("moods_engine",), ("moods_classify",)


def test_a_step_is_reloaded_until_that_does_not_help() -> None:
    ladder = Ladder(LIMITS)
    for now in (0.0, 1.0):
        assert ladder.measure(STEP, now) == "reload"
        ladder.reloaded(STEP, now)
    assert ladder.measure(STEP, 2.0) == "restart"
    assert ladder.measure(OTHER, 2.0) == "reload"
    assert ladder.measure((*STEP, *OTHER), 2.0) == "restart"
    assert ladder.measure(STEP, 100.0) == "reload"  # long ago


def test_a_server_is_restarted_until_that_does_not_help() -> None:
    ladder = Ladder(LIMITS)
    for now in (0.0, 1.0):
        assert ladder.measure((), now) == "restart"
        ladder.restarted(now)
    assert ladder.measure((), 2.0) == "give up"
    assert ladder.measure((), 700.0) == "restart"


def test_a_restart_gives_each_step_its_reloads_back() -> None:
    ladder = Ladder(LIMITS)
    for now in (0.0, 1.0):
        ladder.reloaded(STEP, now)
    ladder.restarted(2.0)
    assert ladder.measure(STEP, 3.0) == "reload"


def test_reloads_leak_until_the_server_is_a_new_one() -> None:
    ladder = Ladder(LIMITS)
    ladder.reloaded((*STEP, *OTHER), 0.0)
    assert not ladder.leaking
    ladder.reloaded(STEP, 1.0)
    assert ladder.leaking
    ladder.refreshed()
    assert not ladder.leaking
