"""The main job on a running stack: two tenants' agents at work, and every promise checked aloud."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click

from sba_local.demo.promises import BrokenPromise
from sba_local.demo.story import tell

__all__ = ["run"]


def run(environment: Mapping[str, str]) -> int:
    """Tell the story against the stack that `environment` describes.

    Args:
        environment: The addresses, tenants and users as `sba-local up` writes them to its `env` file.

    Returns:
        0 when every promise held; 1 otherwise, after naming the one that broke.
    """
    try:
        asyncio.run(tell(environment))
    except BrokenPromise as broken:
        click.secho(f"\n✗ {broken}", fg="red", err=True)
        return 1
    return 0
