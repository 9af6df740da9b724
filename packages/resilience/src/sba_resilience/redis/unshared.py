"""Commands that would change, silence or hold up a connection that everyone shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sba_resilience.errors import UnshareableCommand
from sba_resilience.redis.words import Word

_TRANSACTION: Final = "a transaction would take in everyone's commands: use a script"
_STATE: Final = "it would change the connection for everyone: that is for the URL and the settings"
_REPLIES: Final = "its replies would be taken for those to other commands"
_BLOCKING: Final = "everyone would wait for it: ask again, or use `stream_reader()`"

_COMMANDS: Final = (
    (_TRANSACTION, "MULTI EXEC DISCARD WATCH UNWATCH"),
    (_STATE, "SELECT AUTH HELLO RESET QUIT READONLY READWRITE ASKING"),
    (
        _REPLIES,
        "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR SYNC PSYNC REPLCONF",
    ),
    (
        _BLOCKING,
        "BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF",
    ),
)
_SUBCOMMANDS: Final = {
    "CLIENT": {
        "REPLY": _REPLIES,
        **dict.fromkeys(("TRACKING", "CACHING", "NO-EVICT", "NO-TOUCH", "CAPA", "IMPORT-SOURCE"), _STATE),
    },
    "SCRIPT": {"DEBUG": _STATE},
}
_READS: Final = ("XREAD", "XREADGROUP")
_OPERANDS: Final = {"COUNT": 1, "GROUP": 2}
_WHY: Final = {name: why for why, names in _COMMANDS for name in names.split()}
_DOUBTED: Final = {spelling for name in (*_WHY, *_SUBCOMMANDS, *_READS) for spelling in (name, name.encode())}


def check(words: Sequence[Word]) -> None:
    """Let pass what every caller of one connection may send between the commands of others.

    Raises:
        UnshareableCommand: This is not such a command.
        TypeError: Its name is neither text nor bytes.
    """
    name = words[0] if words else ""
    if not isinstance(name, str | bytes):
        raise TypeError("the name of a command is text or bytes")
    if name.upper() in _DOUBTED or not words:
        _check_closely(words)


def _check_closely(words: Sequence[Word]) -> None:
    if not words:
        raise UnshareableCommand("", "a command without words has no reply")
    name, *rest = map(_spelled, words)
    if name in _WHY:
        raise UnshareableCommand(name, _WHY[name])
    if name in _READS and _blocks(rest):
        raise UnshareableCommand(f"{name} BLOCK", _BLOCKING)
    if rest and (why := _SUBCOMMANDS.get(name, {}).get(rest[0])):
        raise UnshareableCommand(f"{name} {rest[0]}", why)


def _blocks(options: Sequence[str]) -> bool:
    """Whether `BLOCK` is an option here, and not the name of a group, a consumer or a stream."""
    left = iter(options)
    for option in left:
        if option in ("BLOCK", "STREAMS"):
            return option == "BLOCK"
        for _ in range(_OPERANDS.get(option, 0)):
            next(left, None)
    return False


def _spelled(word: Word | memoryview) -> str:
    return (str(word, "latin-1") if isinstance(word, bytes | memoryview) else str(word)).upper()
