"""What a token costs to verify against bare PyJWT, unknown keys, and the scan for service keys.

`python benchmarks/auth.py [--json FILE] [--rounds N] [--tokens N] [--megabytes N]`. The tokens are ES256.
Bare is `jwt.decode` with the same checks (signature, `exp iat nbf iss aud`, required claims) on a key it
holds already; ours has its memory of verified tokens off for the ratio. Contenders alternate; a ratio is
the median of the rounds' ratios. Unknown keys are asked of a JWKS host on loopback that counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from report import publish

from sba_supabase import AuthSettings, KeySet, KeysUnavailable, TokenError, TokenVerifier
from sba_supabase.scan import scan

PEERS = ("pyjwt", "cryptography", "httpx", "brotli")
UNKNOWN = 10_000
TASKS = 50
PIECE = 1_000_000  # bytes of a generated bundle
WORDS = 4_000

Figures = dict[str, float]


class Issuer:
    """A key, the set that publishes it, and tokens signed with it."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = jwt.PyJWK(self.published(), "ES256")
        self.url = ""
        self.hits = 0

    def published(self) -> dict[str, object]:
        """The public half."""
        members = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        return {**members, "kid": "k1", "alg": "ES256", "use": "sig"}

    @property
    def settings(self) -> AuthSettings:
        """What its tokens are held to."""
        return AuthSettings(issuer="http://127.0.0.1/auth/v1", jwks_url=self.url)

    def token(self, kid: str = "k1") -> str:
        """A token of a user's session, as Supabase Auth writes them."""
        now = int(time.time())  # noqa: TID251 - a token's dates are wall-clock
        claims = {
            "iss": "http://127.0.0.1/auth/v1",
            "aud": "authenticated",
            "sub": str(uuid.uuid4()),
            "exp": now + 3600,
            "iat": now,
            "role": "authenticated",
            "aal": "aal1",
            "session_id": str(uuid.uuid4()),
            "email": "someone@example.com",
            "app_metadata": {"provider": "email", "tenant_id": str(uuid.uuid4())},
            "user_metadata": {},
        }
        return jwt.encode(claims, self.private, "ES256", headers={"kid": kid})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Publish the key set once and close."""
        await reader.readuntil(b"\r\n\r\n")
        self.hits += 1
        body = json.dumps({"keys": [self.published()]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def open_issuer() -> AsyncIterator[tuple[Issuer, KeySet]]:
    """An issuer on loopback, and its keys."""
    issuer = Issuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
    async with server, httpx.AsyncClient(trust_env=False) as http:
        keys = KeySet(issuer.url, http=http)
        yield issuer, keys
        await keys.aclose()


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


def _renamed(token: str, kid: str) -> str:
    """A token whose header names another key."""
    header = {**jwt.get_unverified_header(token), "kid": kid}
    encoded = jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
    return f"{encoded}{token[token.index('.') :]}"


def bundle(choose: random.Random, words: list[str]) -> bytes:
    """About a megabyte of minified JavaScript: calls, literals, escapes, a few long runs of base64."""
    parts: list[str] = []
    length = 0
    while length < PIECE:
        first, second, third = choose.choices(words, k=3)
        call = f'{second}.{third}("{first} {third}\\n"+{second},"/{first}")'
        part = f"function {first}({second},{third}){{return {call}}}"
        if choose.random() < 0.01:
            part += (
                f'var {first}="{choose.randbytes(120).hex()}",{third}="\\u00e9\\x41%20{second}"+"{first}";'
            )
        parts.append(part)
        length += len(part)
    return "".join(parts).encode()


def written_tree(folder: Path, megabytes: int) -> None:
    """A build of a client: bundles, their source maps and their packed copies."""
    choose = random.Random(7)  # noqa: S311 - the same tree each time
    words = [
        "".join(choose.choices("abcdefghijklmnopqrstuvwxyz", k=choose.randint(1, 9))) for _ in range(WORDS)
    ]
    for number in range(megabytes):
        text = bundle(choose, words)
        place = folder / f"chunk-{number // 3}"
        match number % 3:
            case 0:
                place.with_suffix(".js").write_bytes(text)
            case 1:
                document = {"version": 3, "sources": ["a.ts"], "sourcesContent": [text.decode()]}
                place.with_suffix(".js.map").write_text(json.dumps(document), encoding="utf-8")
            case _:
                place.with_suffix(".js.gz").write_bytes(gzip.compress(text, 6))


def scanning(rounds: int, megabytes: int) -> Figures:
    """Megabytes a second, unpacked, of a tree without findings."""
    rates = []
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        written_tree(Path(directory), megabytes)
        for _ in range(rounds):
            began = time.perf_counter()
            report = scan([Path(directory)])
            rates.append(report.size / 1e6 / (time.perf_counter() - began))
            assert not report.findings
            assert not report.problems
    return {"scan_mb_per_s": statistics.median(rates)}


def measure(rounds: int, tokens: int, megabytes: int) -> Figures:
    """Every figure."""
    figures = asyncio.run(verification(rounds, tokens))
    figures |= asyncio.run(unknown_keys())
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
