"""What a login must not be able to do, since no row level security would hold it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, LiteralString

_LOGIN: Final[LiteralString] = "select r.oid, r.rolsuper, r.rolbypassrls from pg_catalog.pg_roles r"
_SELF: Final[LiteralString] = """
    select r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolreplication, r.rolcreaterole
    from pg_catalog.pg_roles r
    where exists (select from login l where pg_has_role(l.oid, r.oid, 'member'))
"""
_COLUMNS: Final[LiteralString] = """
       exists (select from login l where l.rolsuper) as is_superuser,
       exists (select from login l where l.rolbypassrls) as bypasses_rls,
       exists (select from self s where s.rolname = 'sba_owner') as is_owner,
       exists (select from self s where s.rolsuper or s.rolbypassrls) as may_become_one,
       exists (select from self s where s.rolname = 'sba_sealer') as is_sealer,
       exists (select from self s where s.rolcreaterole) as makes_roles,
       exists (select from self s where s.rolreplication) as replicates,
       exists (
           select from self s
           where s.rolname in (
               'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'
           )
       ) as reaches_files,
       exists (
           select from pg_catalog.pg_class c join self s on s.oid = c.relowner
           where c.relnamespace = to_regnamespace('service')
           union all
           select from pg_catalog.pg_namespace n join self s on s.oid = n.nspowner where n.nspname = 'service'
       ) as owns
"""
ROLE: Final[LiteralString] = f"""
with login as ({_LOGIN} where r.rolname in (session_user, current_user)), self as ({_SELF})
select session_user::text as role, {_COLUMNS}
"""
"""What this session's login can do, itself or as a role that it may become: one row, a column a power."""

ROLE_NAMED: Final[LiteralString] = f"""
with login as ({_LOGIN} where r.rolname = %(login)s), self as ({_SELF})
select {_COLUMNS}
"""
"""The same of the login `%(login)s`."""

POWERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "is_superuser": "is a superuser",
        "bypasses_rls": "bypasses row level security",
        "is_owner": "may act as sba_owner",
        "may_become_one": "may act as a role that bypasses row level security",
        "is_sealer": "may act as sba_sealer, which sees the audit rows of all",
        "makes_roles": "may make itself a member of other roles",
        "replicates": "may replicate, which reads every row",
        "reaches_files": "may reach the server's files or programs",
        "owns": "owns a table of the schema, or the schema itself",
    }
)
"""Each power that is refused, and how it is told."""
