"""One form for every benchmark's figures: `{"figures": …, "peers": …, "machine": …}`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path


def publish(figures: Mapping[str, float], peers: Iterable[str], path: Path | None) -> None:
    """Print the figures and, when a path is given, write them there.

    Args:
        figures: Numbers by the name that the documents use.
        peers: Distributions whose versions matter.
        path: A file for the JSON.
    """
    document = {
        "figures": {name: round(value, 3) for name, value in figures.items()},
        "peers": {name: version(name) for name in peers},
        "machine": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
        },
    }
    text = json.dumps(document, indent=2)
    print(text)
    if path:
        path.write_text(f"{text}\n", encoding="utf-8")
