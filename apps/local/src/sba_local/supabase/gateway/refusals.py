"""A token that is none, answered as each service answers it."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from sba_local.supabase.gateway.identity import Identity


def refuse_token(service: str, identity: Identity) -> Response:
    """The service's own answer to a bad bearer token."""
    if service == "rest":
        return _of_rest(identity)
    if service == "storage":
        message = '"exp" claim timestamp check failed' if identity.expired else "Invalid Compact JWS"
        return JSONResponse(
            {"statusCode": "403", "error": "Unauthorized", "message": message}, status_code=400
        )
    return JSONResponse({"code": 401, "message": "Invalid JWT"}, status_code=401)


def _of_rest(identity: Identity) -> Response:
    code, message = (
        ("PGRST303", "JWT expired") if identity.expired else ("PGRST301", "JWT could not be decoded")
    )
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    document = {"code": code, "details": None, "hint": None, "message": message}
    return JSONResponse(document, status_code=401, headers={"www-authenticate": challenge})
