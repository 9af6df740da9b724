"""The same client through TLS, with the server's certificate checked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sba_resilience.redis import RedisSettings, RedisUnavailable, open_redis


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = tmp_path / "server.pem"
    path.write_bytes(made.public_bytes(form) + key.private_bytes(form, shape, plain))
    return path


@asynccontextmanager
async def tls_in_front_of(redis_url: str, certificate: Path) -> AsyncIterator[str]:
    """The URL of a TLS end that passes bytes on to the server."""
    target = urlsplit(redis_url)
    pumps: list[asyncio.Task[None]] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        except ConnectionError:
            pass
        finally:
            sink.transport.abort()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pumps.append(asyncio.ensure_future(join(reader, writer)))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    user = target.netloc.rpartition("@")[0]
    try:
        yield f"rediss://{user + '@' if user else ''}127.0.0.1:{port}/0"
    finally:
        server.close()
        await asyncio.gather(*pumps, return_exceptions=True)
        await asyncio.sleep(0)


async def test_commands_and_large_replies_pass_through_tls(redis_url: str, certificate: Path) -> None:
    async with tls_in_front_of(redis_url, certificate) as url:
        settings = RedisSettings(f"{url}?ssl_ca_certs={quote(str(certificate))}", command_timeout=5.0)
        async with open_redis(settings) as redis:
            value = b"x" * 1_000_000
            await redis.execute("SET", "large", value)
            assert await redis.execute("GET", "large") == value
            replies = await asyncio.gather(*(redis.execute("ECHO", n) for n in range(300)))
            assert replies == [str(n).encode() for n in range(300)]


async def test_a_certificate_nobody_vouches_for_is_refused(redis_url: str, certificate: Path) -> None:
    async with (
        tls_in_front_of(redis_url, certificate) as url,
        open_redis(RedisSettings(url, command_timeout=5.0)) as redis,
    ):
        with pytest.raises(RedisUnavailable, match="refused"):
            await redis.ping()
