"""Public keys that somebody besides their owner can sign for."""

from __future__ import annotations

from functools import cache
from math import gcd, isqrt, prod
from typing import Final

_MODULUS_BITS: Final = range(2048, 8193)
_EXPONENTS: Final = range(65_537, 2**32, 2)
_FERMAT_STEPS: Final = 20
_SMALL_PRIMES: Final = tuple(n for n in range(3, 168, 2) if all(n % d for d in range(3, isqrt(n) + 1, 2)))
_PRIMORIAL: Final = 2 * prod(_SMALL_PRIMES)
_GENERATOR: Final = 65_537

_FIELD: Final = 2**255 - 19
_ORDER_EIGHT: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _FIELD - 1, _ORDER_EIGHT, _FIELD - _ORDER_EIGHT})


def is_strong_rsa(modulus: int, exponent: int) -> bool:
    """Whether an RSA key has 2048 to 8192 bits, an odd exponent from 65537, and none of the known weaknesses.

    Those are a small factor, factors close to each other (CVE-2022-26320) and the shape of the primes that
    Infineon's library made (ROCA, CVE-2017-15361).
    """
    return (
        modulus.bit_length() in _MODULUS_BITS
        and exponent in _EXPONENTS
        and gcd(modulus, _PRIMORIAL) == 1
        and not _has_close_factors(modulus)
        and not _is_roca(modulus)
    )


def is_strong_ed25519(point: bytes) -> bool:
    """Whether an Ed25519 key is a point in canonical form, and not one of the eight that fit any message."""
    height = int.from_bytes(point, "little") & (2**255 - 1)
    return len(point) == 32 and height < _FIELD and height not in _SMALL_ORDER  # noqa: PLR2004 - octets of a point


def _has_close_factors(modulus: int) -> bool:
    """Whether Fermat's method finds the factors at once."""
    middle = isqrt(modulus - 1) + 1
    for candidate in range(middle, middle + _FERMAT_STEPS):
        rest = candidate * candidate - modulus
        if isqrt(rest) ** 2 == rest:
            return True
    return False


def _is_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo every small prime, as one in 2**27 is by chance."""
    return all(modulus % prime in powers for prime, powers in _roca_remainders())


@cache
def _roca_remainders() -> tuple[tuple[int, frozenset[int]], ...]:
    return tuple(
        (prime, frozenset(pow(_GENERATOR, power, prime) for power in range(prime)))
        for prime in _SMALL_PRIMES
        if _GENERATOR % prime
    )
