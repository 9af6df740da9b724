"""What the machine's environment says; the only place that reads it."""

import os


def inherited_environment() -> dict[str, str]:
    """A copy of the environment we were started with."""
    return dict(os.environ)  # noqa: TID251  # an app's settings are where the environment is read
