"""Adds up what a step counts."""

from collections import Counter


class Tally(Counter[str]):
    def __call__(self, name: str, amount: int) -> None:
        self[name] += amount
