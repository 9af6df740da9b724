"""What a request to the auth stand-in says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from sba_local.supabase.auth import errors


async def body_of(request: Request) -> Mapping[str, Any]:
    """The JSON object in the body, an empty one where there is none.

    Raises:
        AuthRefusal: it is something else.
    """
    raw = await request.body()
    try:
        body = json.loads(raw or b"{}")
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise errors.bad_json() from None
    if not isinstance(body, dict):
        raise errors.bad_json()
    return body
