"""Prisma's own schema parser, which npm delivers as WebAssembly, run in Python."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "node_modules" / "@prisma" / "prisma-schema-wasm"


class SchemaRejected(Exception):
    """Prisma refuses the schema; the message is Prisma's."""


class ParserMissing(Exception):
    """The parser, or wasmtime to run it with, is not installed."""


def parser_version(package: Path = PACKAGE) -> str:
    """The version that npm installed.

    Raises:
        ParserMissing: None is installed.
    """
    try:
        return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        raise ParserMissing("the parser is not installed: run `python -m tools.prisma install`") from None


def reason(message: str) -> str:
    """What Prisma says is wrong: its errors come as JSON with the text in `message`."""
    try:
        return str(json.loads(message)["message"])
    except (ValueError, KeyError, TypeError):
        return message


class Parser:
    """One instance of the parser.

    It speaks wasm-bindgen's calling convention: text goes in as address and length, and comes back as
    address, length, and a handle of the error, if there was one.

    Args:
        package: The folder of `@prisma/prisma-schema-wasm`.

    Raises:
        ParserMissing: It, or wasmtime, is not installed.
    """

    def __init__(self, package: Path = PACKAGE) -> None:
        parser_version(package)
        try:
            wasmtime: Any = importlib.import_module("wasmtime")
        except ModuleNotFoundError:
            raise ParserMissing("wasmtime is not installed: use the dependency group `prisma`") from None
        self._store: Any = wasmtime.Store(wasmtime.Engine())
        module = wasmtime.Module.from_file(
            self._store.engine, str(package / "src" / "prisma_schema_build_bg.wasm")
        )
        linker = wasmtime.Linker(self._store.engine)
        for wanted in module.imports:
            function = wasmtime.Func(self._store, wanted.type, self._host(wanted.name))
            linker.define(self._store, wanted.module, wanted.name, function)
        self._exports: Any = linker.instantiate(self._store, module).exports(self._store)
        self._exports["__wbindgen_start"](self._store)

    def datamodel(self, schema: str) -> dict[str, Any]:
        """What the schema declares, as Prisma describes it to its generators.

        Raises:
            SchemaRejected: The schema is not valid.
        """
        request = {"prismaSchema": [["schema.prisma", schema]], "noColor": True}
        described: dict[str, Any] = json.loads(self._call("get_dmmf", json.dumps(request)))["datamodel"]
        return described

    def _call(self, function: str, text: str) -> str:
        raw = text.encode()
        sent: int = self._exports["__wbindgen_malloc"](self._store, len(raw), 1)
        self._exports["memory"].write(self._store, raw, sent)
        address, length, error, failed = self._exports[function](self._store, sent, len(raw))
        if failed:
            raise SchemaRejected(reason(str(self._exports["__wbindgen_externrefs"].get(self._store, error))))
        answer = self._text(address, length)
        self._exports["__wbindgen_free"](self._store, address, length, 1)
        return answer

    def _text(self, address: int, length: int) -> str:
        return bytes(self._exports["memory"].read(self._store, address, address + length)).decode()

    def _host(self, name: str) -> Callable[..., object]:
        """The function of the host's that the module imports under this name, its digest left aside."""
        provided: dict[str, Callable[..., object]] = {
            "__wbg_set_message": self._forget,
            "__wbg_Error": self._error,
            "__wbg___wbindgen_throw": self._throw,
            "__wbindgen_init_externref_table": self._grow,
        }
        for prefix, function in provided.items():
            if name.startswith(prefix):
                return function
        raise ParserMissing(f"this version of the parser wants {name}, which nothing here provides")

    def _forget(self, _address: int, _length: int) -> None:
        """A panic's text arrives by `_throw` as well."""

    def _error(self, address: int, length: int) -> str:
        return self._text(address, length)

    def _throw(self, address: int, length: int) -> None:
        raise SchemaRejected(reason(self._text(address, length)))

    def _grow(self) -> None:
        self._exports["__wbindgen_externrefs"].grow(self._store, 4, None)
