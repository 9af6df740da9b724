"""What the tests of the REST stand-in share."""

from tests.integration.local.rest.world import (
    anonymous,
    app,
    films,
    films_template,
    kept_films,
    rest,
    settings,
    shared_films,
    user,
)

__all__ = [
    "anonymous",
    "app",
    "films",
    "films_template",
    "kept_films",
    "rest",
    "settings",
    "shared_films",
    "user",
]
