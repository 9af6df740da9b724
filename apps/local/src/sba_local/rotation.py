"""What `sba-local keys` does: ask a running stack's stand-in for its signing keys, or for the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from sba_local.errors import StackError
from sba_local.layout import DEFAULT_DATA_DIR, read_environment

_PATH = "/auth/v1/admin/signing-keys"


def signing_keys(step: str | None = None, data_dir: Path | None = None) -> dict[str, str]:
    """The published keys, by identifier, and what each is for; after the step, if one is given.

    Args:
        step: `announce`, `rotate` or `retire`.
        data_dir: of the stack; the default one when None.

    Raises:
        StackNotFound: no stack was started there.
        StackError: it does not answer, or does not take the step now.
    """
    environment = read_environment(data_dir or DEFAULT_DATA_DIR)
    key = environment["SUPABASE_SERVICE_ROLE_KEY"]
    headers = {"apikey": key, "Authorization": f"Bearer {key}", "X-Supabase-Api-Version": "2024-01-01"}
    with httpx.Client(base_url=environment["SUPABASE_URL"], headers=headers, trust_env=False) as http:
        try:
            answer = http.post(_PATH, json={"step": step}) if step else http.get(_PATH)
        except httpx.HTTPError:
            raise StackError("the stand-in does not answer: is `sba-local up` running?") from None
    return _read(answer)


def _read(answer: httpx.Response) -> dict[str, str]:
    if "x-sba-stand-in" not in answer.headers:
        raise StackError("the stand-in does not answer, something else does: is `sba-local up` running?")
    body: dict[str, Any] = answer.json()
    if not answer.is_success:
        raise StackError(f"the signing keys are as they were: {body.get('message', answer.status_code)}")
    return {key["kid"]: key["status"] for key in body["keys"]}
