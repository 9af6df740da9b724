"""From an empty Postgres to one the services can use; quick when there is nothing to do."""

from sba_agents import jobs
from sba_db import DatabaseError
from sba_db import migrate as internal
from sba_db.bootstrap import RolePasswords, bootstrap
from sba_local.errors import StackError
from sba_local.layout import DATABASE, Secrets
from sba_local.postgres import EmbeddedPostgres
from sba_local.residents import ACME, GLOBEX, Resident, seed
from sba_local.supabase.auth.seeding import Seedling, plant
from sba_local.supabase.installing import install, install_policies
from sba_supabase import migrate as public
from sba_supabase.errors import MigrationError


async def prepare(server: EmbeddedPostgres, secrets: Secrets) -> None:
    """Make the roles and the database, bring its schemas up to date, seed two tenants; safe to repeat.

    Raises:
        StackError: naming the migration or the step that did not work.
    """
    admin_url = server.url(DATABASE)
    owner_url = server.url(DATABASE, "sba_migrator", secrets.migrator)
    passwords = RolePasswords(migrator=secrets.migrator, app=secrets.app, worker=secrets.worker)
    try:
        await bootstrap(server.url(), database=DATABASE, passwords=passwords)
        await public.ensure_platform_roles(admin_url)
        await install(admin_url, secrets.service_key)
        await internal.migrate(owner_url)
        await public.migrate(owner_url)
        await install_policies(admin_url)
        await jobs.install(owner_url)
    except (DatabaseError, MigrationError) as error:
        raise StackError(f"the database could not be made ready: {error}") from error
    await seed(admin_url)
    await plant(admin_url, [_seedling(resident, secrets) for resident in (ACME, GLOBEX)])


def _seedling(resident: Resident, secrets: Secrets) -> Seedling:
    metadata = {"tenant_id": str(resident.tenant_id), "role": resident.role}
    return Seedling(resident.user_id, resident.email, secrets.user_password, metadata)
