"""A TLS server on loopback that speaks HTTP/2 alone and answers with the headers it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(EPOCH)
        .not_valid_after(EPOCH + datetime.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path


class H2Server:
    """Counts connections, and answers nothing before `quorum` requests are under way at once."""

    def __init__(self, quorum: int = 1) -> None:
        self.connections = 0
        self.url = ""
        self._quorum = quorum
        self._waiting = 0
        self._enough = asyncio.Event()
        self.heard = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        answers: set[asyncio.Task[None]] = set()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        answers.add(asyncio.create_task(self._answer(connection, writer, event)))
                writer.write(connection.data_to_send())
                self.heard.set()
                self.heard.clear()
        for task in answers:
            task.cancel()
        writer.close()

    async def _answer(
        self,
        connection: h2.connection.H2Connection,
        writer: asyncio.StreamWriter,
        event: h2.events.RequestReceived,
    ) -> None:
        self._waiting += 1
        if self._waiting >= self._quorum:
            self._enough.set()
        await self._enough.wait()
        headers = {bytes(name).decode(): bytes(value).decode() for name, value in event.headers}
        body = json.dumps([headers]).encode()
        connection.send_headers(
            event.stream_id,
            [(":status", "200"), ("content-type", "application/json"), ("set-cookie", "a=b; Path=/")],
        )
        connection.send_data(event.stream_id, body, end_stream=True)
        writer.write(connection.data_to_send())

    @contextlib.asynccontextmanager
    async def running(self, pem: Path) -> AsyncIterator[H2Server]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
