"""Reads a query parameter from left to right; whatever does not fit is PGRST100."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from sba_local.supabase.rest.errors import ParseError

NAME: Final = re.compile(r"[\w $]+(?:-(?!>)[\w $]+)*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BLANKS: Final = re.compile(r" *")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
DEEPEST: Final = 40


class Scanner:
    """A place in a text.

    Args:
        text: the parameter's value.
        kind: what it is, for the error message.
        before: how many characters stood before it, for the place of an error.
    """

    def __init__(self, text: str, kind: str, *, before: int = 0) -> None:
        self._text = text
        self._kind = kind
        self._before = before
        self._at = 0
        self._depth = 0

    @property
    def done(self) -> bool:
        """Whether everything was read."""
        return self._at == len(self._text)

    def fail(self, expected: str) -> NoReturn:
        """Refuse what stands here."""
        found = f'unexpected "{self._text[self._at]}"' if not self.done else "unexpected end of input"
        raise ParseError(
            f'"failed to parse {self._kind} ({self._text})" (line 1, column {self._before + self._at + 1})',
            f"{found} expecting {expected}",
        )

    def take(self, token: str) -> bool:
        """Step over `token` if it stands here."""
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def expect(self, token: str) -> None:
        """Step over `token`, which must stand here."""
        if not self.take(token):
            self.fail(f'"{token}"')

    def punctuate(self, token: str) -> bool:
        """Step over `token` and the blanks on both sides of it if it stands here."""
        mark = self._at
        self.match(_BLANKS)
        if not self.take(token):
            self._at = mark
            return False
        self.match(_BLANKS)
        return True

    def demand(self, token: str) -> None:
        """Step over `token`, which must stand here, and the blanks on both sides of it."""
        if not self.punctuate(token):
            self.fail(f'"{token}"')

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Step over what the pattern matches here."""
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def quoted(self) -> str | None:
        """A text in double quotes, in which a backslash escapes."""
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return _ESCAPED.sub(r"\1", found[1])

    def name(self, plain: re.Pattern[str] = NAME) -> str:
        """An identifier, in double quotes where it has reserved characters.

        Args:
            plain: what it may be without quotes.
        """
        quoted = self.quoted()
        if quoted is not None:
            return quoted
        found = (self.match(plain) or "").strip(" ")
        if not found:
            self.fail("a name")
        return found

    def rest(self) -> str:
        """All that is left."""
        found, self._at = self._text[self._at :], len(self._text)
        return found

    def close(self) -> None:
        """Nothing may be left."""
        if not self.done:
            self.fail("end of input")

    def mark(self) -> int:
        """This place, to come back to."""
        return self._at

    def back(self, mark: int) -> None:
        """Return to a place."""
        self._at = mark

    def enter(self) -> None:
        """Go one bracket deeper."""
        self._depth += 1
        if self._depth > DEEPEST:
            self.fail(f"at most {DEEPEST} levels of brackets")

    def leave(self) -> None:
        """Come back out of a bracket."""
        self._depth -= 1
