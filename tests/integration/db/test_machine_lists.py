"""Lists of runs by status, user and time of creation: the filters agree with filtering by hand."""

from __future__ import annotations

import itertools
import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from sba_db import InvalidValue, RunStatus, agent_runs, new_id
from sba_db.moments import greatest_id, least_id

SINCE, UNTIL = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)
INSERT = """
insert into service.agent_runs (tenant_id, id, user_id, prompt, status, created_at, finished_at)
values (%s, %s, %s, 'x', %s, %s, case when %s = 'cancelled' then now() end)
"""


def id_of(at: datetime, chance: random.Random) -> uuid.UUID:
    """A version 7 id made at that time."""
    tail = (7 << 76) | (chance.getrandbits(12) << 64) | (0b10 << 62) | chance.getrandbits(62)
    return uuid.UUID(int=(round(at.timestamp() * 1000) << 80) | tail)


@pytest.fixture
def users() -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(3)]


@pytest.fixture
def made(superuser, a, b, users) -> list[dict]:
    """Runs over a month, the database's clock up to half an hour off the one that made the ids."""
    chance = random.Random(11)
    rows = []
    for tenant in (a, b):
        for _ in range(150):
            at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(30 * 86400))
            off = timedelta(seconds=chance.randrange(-1800, 1800))
            status, user = chance.choice(["queued", "cancelled"]), chance.choice(users)
            row = {"id": id_of(at, chance), "user": user, "status": status, "at": at + off}
            superuser.execute(INSERT, (tenant.id, row["id"], user, status, row["at"], status))
            rows += [row] if tenant is a else []
    return sorted(rows, key=lambda row: row["id"], reverse=True)


async def walked(reader, **filters) -> list[uuid.UUID]:
    seen, cursor = [], None
    while True:
        page = await agent_runs.list_runs(reader, limit=7, cursor=cursor, **filters)
        seen += [run.id for run in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return seen


async def test_every_combination_of_filters_walks_what_filtering_by_hand_finds(database, a, made, users):
    reader = database.reader(a.id)
    choices = itertools.product((None, RunStatus.QUEUED), (None, users[0]), (None, SINCE), (None, UNTIL))
    for status, user, since, until in choices:
        expected = [
            row["id"]
            for row in made
            if (status is None or row["status"] == status)
            and (user is None or row["user"] == user)
            and (since is None or row["at"] >= since)
            and (until is None or row["at"] < until)
        ]
        found = await walked(reader, status=status, user_id=user, since=since, until=until)
        assert found == expected
        assert expected


async def test_a_span_begins_at_its_start_and_ends_before_its_end(database, a, made):
    at = made[70]["at"]
    reader = database.reader(a.id)

    assert made[70]["id"] in await walked(reader, since=at)
    assert made[70]["id"] not in await walked(reader, until=at)
    assert await walked(reader, since=at, until=at) == []


@pytest.mark.parametrize("field", ["since", "until"])
async def test_a_time_without_a_zone_is_refused(database, a, field):
    with pytest.raises(InvalidValue) as refused:
        await agent_runs.list_runs(database.reader(a.id), **{field: datetime(2026, 3, 1)})  # noqa: DTZ001 - the point

    assert refused.value.field == field


async def test_the_ends_of_time_are_times_too(database, a, made):
    least, most = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    assert len(await walked(database.reader(a.id), since=least, until=most)) == len(made)


def test_ids_of_a_moment_lie_within_its_bounds_and_the_bounds_are_not_far_off():
    now = datetime.now(UTC)

    assert least_id(now) < new_id() < greatest_id(now)
    assert least_id(now + timedelta(hours=2)) > new_id() > greatest_id(now - timedelta(hours=2))


PLAN = "explain (costs off) "


async def test_a_users_list_is_read_from_the_index_of_users_and_a_span_from_ids(database, superuser, a):
    superuser.execute(
        "insert into service.agent_runs (tenant_id, id, user_id, prompt)"
        " select case n %% 20 when 0 then %s else gen_random_uuid() end, gen_random_uuid(),"
        " gen_random_uuid(), 'x' from generate_series(1, 20000) n",
        (a.id,),
    )
    superuser.execute("analyze service.agent_runs")
    params = {"before": uuid.UUID(int=2**127), "limit": 51, "user_id": uuid.uuid4()}
    query = f"{PLAN}{agent_runs._listing(params)}"
    plan = str(await database.reader(a.id).fetch_all(query, params))
    assert "agent_runs_tenant_id_user_id_id_idx" in plan

    spanned = {"before": uuid.UUID(int=2**127), "limit": 51, "least": uuid.UUID(int=2**126)}
    times = {"since": SINCE, "until": None}
    query = f"{PLAN}{agent_runs._listing(spanned)}"
    plan = str(await database.reader(a.id).fetch_all(query, spanned | times))
    assert "Index Cond" in plan
    assert "id >= " in plan.split("Index Cond")[1].split("Filter")[0]
    assert "Seq Scan" not in plan
