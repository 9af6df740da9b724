from __future__ import annotations

import asyncio
import uuid

import pytest

from sba_telemetry import bind, current


def test_fields_are_bound_inside_the_block_only():
    assert current() == {}
    with bind(request_id="r1", tenant_id=uuid.UUID(int=1)) as bound:
        assert bound == current() == {"request_id": "r1", "tenant_id": str(uuid.UUID(int=1))}
    assert current() == {}


def test_inner_fields_add_to_and_win_over_outer_ones():
    with bind(a="1", b="2"):
        with bind(b="3", c=None):
            assert current() == {"a": "1", "b": "3"}
        assert current() == {"a": "1", "b": "2"}


def test_the_fields_cannot_be_changed_by_a_reader():
    with bind(a="1"), pytest.raises(TypeError):
        current()["a"] = "2"


def test_fields_are_restored_when_the_block_fails():
    with pytest.raises(ValueError, match="boom"), bind(a="1"):
        raise ValueError("boom")
    assert current() == {}


async def test_tasks_see_what_was_bound_when_they_started_and_not_each_other():
    both_inside = asyncio.Barrier(2)

    async def task(name: str) -> dict[str, str]:
        with bind(task=name):
            await both_inside.wait()
            return dict(current())

    with bind(request_id="r"):
        seen = await asyncio.gather(task("one"), task("two"))
    assert seen == [{"request_id": "r", "task": "one"}, {"request_id": "r", "task": "two"}]


async def test_threads_see_the_fields_of_the_task_that_sent_them():
    with bind(request_id="r"):
        assert dict(await asyncio.to_thread(current)) == {"request_id": "r"}
