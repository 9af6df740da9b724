"""What keeps every service of the stand-in from its database.

DatabaseUnavailable      no connection to work on
├── DatabaseAway         nothing answers, or not so that it can be used
└── DatabaseBusy         all connections are lent for too long
LoginTooPowerful         the database login would see past row-level security
"""

from __future__ import annotations


class DatabaseUnavailable(Exception):
    """There is no connection to work on."""


class DatabaseAway(DatabaseUnavailable):
    """Nothing answers at the database's address, or not so that it can be used."""


class DatabaseBusy(DatabaseUnavailable):
    """All connections are lent, and none came back in time."""


class LoginTooPowerful(RuntimeError):
    """The login is above row-level security: so would requests be, on the slightest mistake.

    Attributes:
        login: its name.
    """

    def __init__(self, login: str) -> None:
        self.login = login
        super().__init__(
            f"{login} is above row-level security; use the login that ensure_authenticator makes"
        )
