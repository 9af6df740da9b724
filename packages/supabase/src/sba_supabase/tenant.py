"""How a session enters a tenant, and what the database answers when it may not."""

from __future__ import annotations

from typing import Final, LiteralString

ENTER_TENANT: Final[LiteralString] = "select app.enter_tenant(%(tenant)s, %(member)s)"
"""Checks live membership and sets the tenant of the transaction, in one statement.

Raises SQLSTATE `MEMBERSHIP_REQUIRED` when `member` is no live member of `tenant`.
"""

IS_MEMBER: Final[LiteralString] = "select app.is_member(%(tenant)s, %(member)s) as member"
"""Whether `member` is a live member of `tenant`, without entering it."""

MEMBERSHIP_REQUIRED: Final = "SB403"
"""The SQLSTATE of `app.enter_tenant` without a live membership."""

TENANT_HEADER: Final = "x-tenant-id"
"""The request header with which a caller picks one of their tenants."""

TENANT_SETTING: Final = "app.tenant_id"
"""The transaction-local setting that holds the tenant."""

USER_SETTING: Final = "app.user_id"
"""The transaction-local setting that holds the member."""
