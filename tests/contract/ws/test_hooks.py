"""The private hooks of python-socketio, engineio and uvicorn that this app uses still do what it needs."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version
from typing import Any

import engineio
import pytest
import socketio
import uvicorn
from engineio.async_drivers.asgi import WebSocket
from engineio.async_socket import AsyncSocket
from engineio.packet import MESSAGE, OPEN, Packet
from engineio.payload import Payload
from socketio.exceptions import ConnectionRefusedError as SocketRefused
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sba_ws import packets
from sba_ws.gateway import Gateway
from sba_ws.limits import Limits
from sba_ws.link import Link, protocol_with
from sba_ws.outgoing import BATCH, OutgoingQueue


@pytest.mark.parametrize(
    ("name", "pinned"), [("python-socketio", "5.18."), ("python-engineio", "4.15."), ("uvicorn", "0.54.")]
)
def test_the_versions_are_those_the_hooks_were_read_in(name: str, pinned: str) -> None:
    assert version(name).startswith(pinned)


def gateway() -> Gateway:
    return Gateway(limits=Limits(), origins=())


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("_handle_eio_connect", ["eio_sid", "environ"]),
        ("_handle_eio_disconnect", ["eio_sid", "reason"]),
        ("_handle_eio_message", ["eio_sid", "data"]),
        ("_handle_event", ["eio_sid", "namespace", "id", "data"]),
        ("_engineio_server_class", []),
    ],
)
def test_an_overridden_method_is_there_with_its_parameters(method: str, parameters: list[str]) -> None:
    theirs = inspect.signature(getattr(socketio.AsyncServer, method)).parameters
    ours = inspect.signature(getattr(Gateway, method)).parameters
    assert list(theirs) == list(ours) == ["self", *parameters]


def test_the_engine_calls_the_overridden_methods() -> None:
    made = gateway()
    assert made.eio.handlers["connect"] == made._handle_eio_connect
    assert made.eio.handlers["message"] == made._handle_eio_message
    assert made.eio.handlers["disconnect"] == made._handle_eio_disconnect


def test_commands_are_handled_in_the_order_they_come() -> None:
    made = gateway()
    assert not made.async_handlers
    assert not made.eio.async_handlers


async def test_a_socket_takes_its_queue_from_the_engine_and_never_waits_for_it() -> None:
    made = gateway()
    socket = AsyncSocket(made.eio, "sid")
    assert isinstance(socket.queue, OutgoingQueue)
    for _ in range(100):
        step = socket.send(Packet(MESSAGE, "x"))
        with pytest.raises(StopIteration):
            step.send(None)
    assert socket.queue.qsize() == 100


async def test_an_answer_is_queued_in_the_same_step_as_its_handler_returns() -> None:
    made = gateway()
    socket = AsyncSocket(made.eio, "wire")
    made.eio.sockets["wire"] = socket
    sid = await made.manager.pre_connect("wire", "/")
    await made.manager.connect(sid, "/")
    late: list[int] = []

    async def handler(sid: str, data: object) -> dict[str, object]:
        asyncio.get_running_loop().call_soon(lambda: late.append(socket.queue.qsize()))
        return {"ok": True}

    made.on("run:subscribe", handler)
    await made._handle_event("wire", "/", 7, ["run:subscribe", {}])
    await asyncio.sleep(0)
    assert late == [1]
    assert (await socket.queue.get()).data == '37[{"ok":true}]'


async def test_poll_takes_one_batch_and_ends_on_the_end_marker() -> None:
    made = gateway()
    socket = AsyncSocket(made.eio, "sid")
    for _ in range(BATCH + 2):
        socket.queue.put_nowait(Packet(MESSAGE, "x"))
    socket.queue.put_nowait(None)
    assert [len(await socket.poll()) for _ in range(3)] == [BATCH, 2, 0]


def test_a_stock_client_refuses_more_packets_than_a_batch() -> None:
    assert Payload.max_decode_packets == BATCH


def test_the_websocket_driver_is_looked_up_where_the_engine_replaces_it() -> None:
    made = gateway()
    assert made.eio._async["websocket"] is Link
    source = inspect.getsource(AsyncSocket._upgrade_websocket)
    assert "self.server._async['websocket'](" in source
    assert "self._websocket_handler, self.server" in source
    assert engineio.AsyncServer(async_mode="asgi")._async["websocket"] is WebSocket


async def test_a_link_is_told_of_under_its_sockets_id_and_reads_only_what_is_expected() -> None:
    made = gateway()
    told: list[str] = []
    made.eio.linked = lambda sid, link: told.append(sid)
    socket = AsyncSocket(made.eio, "sid")
    frames = asyncio.Queue[dict[str, Any]]()
    said: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    frames.put_nowait({"type": "websocket.receive", "text": "9"})
    link = Link(socket._websocket_handler, made.eio)
    environ = {"asgi.scope": {}, "asgi.receive": frames.get, "asgi.send": send}
    assert await asyncio.wait_for(link(environ), 5) == ""
    assert told == ["sid"]
    assert said[0] == {"type": "websocket.accept"}
    assert said[-1] == {"type": "websocket.close", "code": 1002}
    link.abort()


async def test_closing_a_link_that_is_closed_already_is_quiet_and_a_deaf_one_is_cut() -> None:
    made = gateway()
    link = Link(AsyncSocket(made.eio, "sid")._websocket_handler, made.eio)
    cuts: list[int] = []
    link.abort = lambda: cuts.append(1)  # type: ignore[method-assign]  # to see that it is called
    await link.finish(1012, within=0.01)
    assert cuts == [1]

    async def send(message: object) -> None:
        raise RuntimeError("already closed")

    link.asgi_send = send
    await link.close()
    await link.finish(1012, within=0.01)
    assert cuts == [1]


async def test_the_protocol_puts_itself_in_the_scope_and_bounds_the_kernel_buffer() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            seen.append(scope)
            await send({"type": "websocket.close"})

    kind = protocol_with(65_536)
    assert issubclass(kind, WebSocketsSansIOProtocol)
    config = uvicorn.Config(app, port=0, ws=kind, lifespan="off", log_config=None, log_level="critical")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    writer.write(
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.read()
    writer.close()
    await writer.wait_closed()
    server.should_exit = True
    await running
    protocol = seen[0]["state"]["sba_ws.protocol"]
    assert isinstance(protocol, kind)
    assert callable(protocol.transport.abort)


def test_shutdown_stops_listening_before_it_closes_connections() -> None:
    source = inspect.getsource(uvicorn.Server.shutdown)
    assert source.index("server.close()") < source.index("connection.shutdown()")
    assert source.index("connection.shutdown()") < source.index("lifespan.shutdown()")


def test_a_refusal_reaches_the_client_as_message_and_data() -> None:
    assert SocketRefused("no", {"code": "x"}).error_args == {"message": "no", "data": {"code": "x"}}


def test_packets_are_what_a_stock_client_decodes() -> None:
    said = packets.event("gap", {"from": 1})
    assert Packet(MESSAGE, said.data).encode() == '42["gap",{"from":1}]'
    assert packets.acknowledgement(7, {"ok": True}).data == '37[{"ok":true}]'
    assert packets.goodbye().data == "1"
    assert OPEN == 0


def test_an_empty_list_of_origins_would_switch_the_check_off_so_it_is_a_function() -> None:
    source = inspect.getsource(engineio.AsyncServer.handle_request)
    assert "self.cors_allowed_origins != []" in source
    assert callable(gateway().eio.cors_allowed_origins)
