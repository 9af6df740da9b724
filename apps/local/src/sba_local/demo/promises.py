"""A promise is a sentence that holds or ends the demo."""

from __future__ import annotations

import click


class BrokenPromise(Exception):
    """A promise did not hold.

    Attributes:
        promise: The sentence.
        seen: What was seen instead.
    """

    def __init__(self, promise: str, seen: object) -> None:
        super().__init__(f"broken promise: {promise} (seen: {seen})")
        self.promise = promise
        self.seen = seen


def keep(promise: str, *, held: bool, seen: object = "nothing") -> None:
    """Say that a promise held.

    Raises:
        BrokenPromise: When it did not.
    """
    if not held:
        raise BrokenPromise(promise, seen)
    click.echo(click.style("  ✓ ", fg="green") + promise)


def act(title: str) -> None:
    """Announce the next part of the story."""
    click.secho(f"\n{title}", bold=True)
