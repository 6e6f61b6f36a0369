from __future__ import annotations

import numpy as np
import pytest
from monitor.cost import Cost


def rounds(share: float, noise: float) -> Cost:
    """Sixty of a machine that is up to three times slower at times, where a share of throughput is lost."""
    chance = np.random.default_rng(3)
    machine = chance.uniform(100, 300, 60)
    watched, unwatched = (machine * factor * np.exp(chance.normal(0, noise, 60)) for factor in (1 - share, 1.0))
    return Cost(watched.tolist(), unwatched.tolist())


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
def test_the_share_is_told_whatever_the_machine_does_meanwhile_and_its_bounds_hold_it(share: float) -> None:
    cost = rounds(share, noise=0.03)
    low, high = cost.bounds
    assert low < share < high
    assert low < cost.share < high
    assert high - low < 0.04


def test_more_noise_is_wider_bounds() -> None:
    widths = [high - low for low, high in (rounds(0.02, noise).bounds for noise in (0.01, 0.1))]
    assert widths[1] > 3 * widths[0]
