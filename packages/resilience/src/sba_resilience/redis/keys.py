"""Which words of a command are keys, and the one hash slot they must share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from redis.crc import key_slot

from sba_resilience.errors import RedisCommandError
from sba_resilience.redis.words import Word

_Finder: TypeAlias = Callable[[Sequence[Word]], Sequence[Word]]


def _none(_words: Sequence[Word]) -> Sequence[Word]:
    return ()


def _first(words: Sequence[Word]) -> Sequence[Word]:
    return words[1:2]


def _second(words: Sequence[Word]) -> Sequence[Word]:
    return words[2:3]


def _two(words: Sequence[Word]) -> Sequence[Word]:
    return words[1:3]


def _all(words: Sequence[Word]) -> Sequence[Word]:
    return words[1:]


def _all_but_one(words: Sequence[Word]) -> Sequence[Word]:
    return words[2:]


def _pairs(words: Sequence[Word]) -> Sequence[Word]:
    return words[1::2]


def _counted(at: int) -> _Finder:
    def found(words: Sequence[Word]) -> Sequence[Word]:
        return words[at + 1 : at + 1 + int(words[at])]

    return found


def _stored(words: Sequence[Word]) -> Sequence[Word]:
    return (words[1], *words[3 : 3 + int(words[2])])


def _streams(words: Sequence[Word]) -> Sequence[Word]:
    begin = [_name(word) for word in words].index("STREAMS") + 1
    return words[begin : begin + (len(words) - begin) // 2]


_BY_FINDER: Final[tuple[tuple[_Finder, str], ...]] = (
    (
        _first,
        "APPEND BITCOUNT BITFIELD BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOPOS "
        "GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HEXPIRE HGET HGETALL HGETDEL HGETEX "
        "HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE HPTTL HRANDFIELD HSCAN HSET HSETEX "
        "HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE "
        "LREM LSET LTRIM PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL RESTORE RPOP RPUSH RPUSHX "
        "SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER SPOP SPUBLISH SRANDMEMBER "
        "SREM SSCAN STRLEN TTL TYPE XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE XSETID "
        "XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX "
        "ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX "
        "ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE",
    ),
    (_second, "OBJECT XGROUP XINFO"),
    (_two, "COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE"),
    (
        _all,
        "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE TOUCH UNLINK",
    ),
    (_all_but_one, "BITOP"),
    (_pairs, "MSET MSETNX"),
    (_counted(1), "LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION"),
    (_counted(2), "EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO"),
    (_stored, "ZDIFFSTORE ZINTERSTORE ZUNIONSTORE"),
    (_streams, "XREAD XREADGROUP"),
    (
        _none,
        "ACL CLIENT CLUSTER COMMAND CONFIG DBSIZE ECHO FLUSHALL FLUSHDB FUNCTION INFO LATENCY PING PUBLISH "
        "PUBSUB RANDOMKEY ROLE SCAN SCRIPT SLOWLOG TIME WAIT",
    ),
)
_FINDERS: Final = {name: finder for finder, names in _BY_FINDER for name in names.split()}


def keys_of(words: Sequence[Word]) -> Sequence[Word] | None:
    """The keys of a command; None for one that is not in the table.

    A command that lacks what its keys are found by has none: any server refuses it.
    """
    name = words[0]
    finder = _FINDERS.get(name) if isinstance(name, str) else None
    finder = finder or _FINDERS.get(_name(name))
    if finder is None:
        return None
    try:
        return finder(words)
    except (ValueError, LookupError):
        return ()


def common_slot(keys: Sequence[Word]) -> int | None:
    """The hash slot all keys are in; None without keys.

    Raises:
        RedisCommandError: `CROSSSLOT`: they are not in the same one.
    """
    if not keys:
        return None
    slot = _slot(keys[0])
    for key in keys[1:]:
        if _slot(key) != slot:
            raise RedisCommandError(
                "CROSSSLOT", "the keys of one command are not in one hash slot: give them a {tag} in common"
            )
    return slot


def _slot(key: Word) -> int:
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _name(word: Word) -> str:
    return (word.decode("latin-1") if isinstance(word, bytes) else str(word)).upper()
