"""What a token costs to verify against bare PyJWT, unknown keys, a hung host, and the scan for service keys.

`python benchmarks/auth.py [--json FILE] [--rounds N] [--tokens N] [--megabytes N]`. The tokens are ES256.
Bare is `jwt.decode` with the same checks (signature, `exp iat nbf iss aud`, required claims) on a key it
holds already; ours has its memory of verified tokens off for the ratio. Contenders alternate; a ratio is
the median of the rounds' ratios. Unknown keys are asked of a JWKS host on loopback that counts. What is
scanned is `client_build.Build`: scripts, source maps, gz and br, images, fonts, wasm, styles and texts.

While that host hangs, `unknown_kid_hung_ms` is the longest that a token with an unknown key waited for its
refusal, and `verify_hung_vs_healthy` what a known one costs against when the host answers.
`tenant_context_first` and `tenant_context_after` are the requests that entering a tenant costs a client, the
first time and all the times after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import jwt
from client_build import Build
from key_issuer import Issuer, open_issuer, open_project
from report import publish

from sba_supabase import (
    KeysUnavailable,
    Pool,
    ProjectSettings,
    TokenError,
    TokenVerifier,
    create_server_client,
    set_tenant_context,
)
from sba_supabase.scan import scan

PEERS = ("pyjwt", "cryptography", "httpx", "brotli")
UNKNOWN = 10_000
TASKS = 50
BUILD_SEED = 7

Figures = dict[str, float]


def decoded(token: str, issuer: Issuer) -> None:
    """The bare decode with the same checks."""
    jwt.decode(
        token,
        issuer.public,
        algorithms=["ES256"],
        audience="authenticated",
        issuer="http://127.0.0.1/auth/v1",
        options={"require": ["exp", "iat", "sub", "iss", "aud"], "strict_aud": True},
    )


async def timed(verifier: TokenVerifier, tokens: list[str]) -> float:
    """Seconds a token."""
    began = time.perf_counter()
    for token in tokens:
        await verifier.verify(token)
    return (time.perf_counter() - began) / len(tokens)


def timed_bare(issuer: Issuer, tokens: list[str]) -> float:
    """Seconds a token."""
    began = time.perf_counter()
    for token in tokens:
        decoded(token, issuer)
    return (time.perf_counter() - began) / len(tokens)


async def verification(rounds: int, count: int) -> Figures:
    """Verification against the bare decode, and of remembered tokens."""
    ratios, ours, cached = [], [], []
    async with open_issuer() as (issuer, keys):
        plain = TokenVerifier(issuer.settings, keys=keys, cache_size=0)
        remembering = TokenVerifier(issuer.settings, keys=keys, cache_size=count)
        tokens = [issuer.token() for _ in range(count)]
        await timed(plain, tokens)
        await timed(remembering, tokens)
        for number in range(rounds):
            if number % 2:
                bare, shipped = timed_bare(issuer, tokens), await timed(plain, tokens)
            else:
                shipped, bare = await timed(plain, tokens), timed_bare(issuer, tokens)
            ratios.append(shipped / bare)
            ours.append(shipped)
            cached.append(await timed(remembering, tokens))
            print(
                f"round {number + 1}: ours {shipped * 1e6:.0f} us, bare {bare * 1e6:.0f} us", file=sys.stderr
            )
    return {
        "verify_vs_bare": statistics.median(ratios),
        "verify_us": statistics.median(ours) * 1e6,
        "verify_cached_us": statistics.median(cached) * 1e6,
    }


async def unknown_keys() -> Figures:
    """Fetches that ten thousand tokens with keys nobody has heard of cause, after the first of all."""
    async with open_issuer() as (issuer, keys):
        verifier = TokenVerifier(issuer.settings, keys=keys)
        known = issuer.token()
        await verifier.verify(known)
        before, began, refused = issuer.hits, time.perf_counter(), 0
        waiting = iter([_renamed(known, f"unknown-{number}") for number in range(UNKNOWN)])

        async def ask() -> int:
            count = 0
            for token in waiting:
                try:
                    await verifier.verify(token)
                except (TokenError, KeysUnavailable):
                    count += 1
            return count

        refused = sum(await asyncio.gather(*(ask() for _ in range(TASKS))))
        assert refused == UNKNOWN
        return {
            "jwks_fetches_10k_unknown": float(issuer.hits - before),
            "unknown_10k_seconds": time.perf_counter() - began,
        }


async def hung_host(rounds: int, count: int) -> Figures:
    """What callers notice of a JWKS host that takes requests and says nothing."""
    ratios, refusals = [], []
    async with open_issuer() as (issuer, keys):
        verifier = TokenVerifier(issuer.settings, keys=keys, cache_size=0)
        tokens = [issuer.token() for _ in range(count)]
        await timed(verifier, tokens)
        for _ in range(rounds):
            healthy = min([await timed(verifier, tokens) for _ in range(3)])
            issuer.hangs = True
            refusals += [await _refused_after(verifier, issuer.token(f"unknown-{n}")) for n in range(5)]
            ratios.append(min([await timed(verifier, tokens) for _ in range(3)]) / healthy)
            issuer.hangs = False
    return {
        "unknown_kid_hung_ms": max(refusals) * 1e3,
        "verify_hung_vs_healthy": statistics.median(ratios),
    }


async def _refused_after(verifier: TokenVerifier, token: str) -> float:
    """Seconds until the refusal."""
    began = time.perf_counter()
    try:
        await verifier.verify(token)
    except (TokenError, KeysUnavailable):
        return time.perf_counter() - began
    raise AssertionError("a token with an unknown key was admitted")


async def tenant_context() -> Figures:
    """Requests that entering a tenant adds to those of the work itself."""
    tenant, times = uuid.uuid4(), 100
    async with open_project() as project, Pool() as pool:
        settings = ProjectSettings(SUPABASE_URL=project.url, SUPABASE_ANON_KEY="sb_publishable_benchmark")
        client = await create_server_client(settings, pool=pool, bearer=Issuer().token())
        before = project.requests
        await set_tenant_context(client, tenant)
        first = project.requests - before
        for _ in range(times):
            mine = await set_tenant_context(client, tenant)
            await mine.table("documents").select("id").execute()
        after = project.requests - before - first - times
    return {"tenant_context_first": float(first), "tenant_context_after": float(after)}


def _renamed(token: str, kid: str) -> str:
    """A token whose header names another key."""
    header = {**jwt.get_unverified_header(token), "kid": kid}
    encoded = jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
    return f"{encoded}{token[token.index('.') :]}"


def scanning(rounds: int, megabytes: int) -> Figures:
    """Megabytes a second, unpacked, of a client's build without findings; of wall and of processor time."""
    rates, busy = [], []
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Build(BUILD_SEED).write(Path(directory), megabytes)
        for _ in range(rounds):
            began, began_busy = time.perf_counter(), time.process_time()
            report = scan([Path(directory)])
            rates.append(report.size / 1e6 / (time.perf_counter() - began))
            busy.append(report.size / 1e6 / (time.process_time() - began_busy))
            assert not report.findings
            assert not report.problems
    return {"scan_mb_per_s": statistics.median(rates), "scan_mb_per_cpu_s": statistics.median(busy)}


def measure(rounds: int, tokens: int, megabytes: int) -> Figures:
    """Every figure."""
    figures = asyncio.run(verification(rounds, tokens))
    figures |= asyncio.run(unknown_keys())
    figures |= asyncio.run(hung_host(rounds, tokens))
    figures |= asyncio.run(tenant_context())
    return figures | scanning(min(rounds, 3), megabytes)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=1_000)
    parser.add_argument("--megabytes", type=int, default=100)
    given = parser.parse_args()
    publish(measure(given.rounds, given.tokens, given.megabytes), PEERS, given.json)


if __name__ == "__main__":
    main()
