"""Settings read from the environment, all their problems told at once and never a value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final, TypeVar

from pydantic import AliasChoices, AliasPath, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from sba_supabase.errors import SettingProblem, SettingsError

_Settings = TypeVar("_Settings", bound=BaseSettings)
_NOT_DECODED = "must be valid JSON"
_REACH_BROWSERS = (
    *("next_public_", "nuxt_public_", "expo_public_", "react_app_"),
    *("vite_", "public_", "gatsby_", "vue_app_"),
)

EXPOSED: Final = "variables that reach browsers"
"""What the field of `Exposed` is read from: no variable can be named so."""

KEYED_BY_VARIABLE: Final = "keyed by variable"
"""Marks a field whose keys are the variables its values come from."""


class Exposed(PydanticBaseSettingsSource):
    """The variables that frameworks copy into what browsers load, under `EXPOSED`.

    Args:
        settings_cls: the settings they are for.
        sources: those that read the environment, and files that stand for it.
    """

    def __init__(self, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._sources = sources

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - the base class asks for it
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Nothing: no field is read from one variable here."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Name and value of each such variable."""
        readers = [source for source in self._sources if isinstance(source, EnvSettingsSource)]
        variables = chain.from_iterable(reader.env_vars.items() for reader in reversed(readers))
        found = {name: value for name, value in variables if name.lower().startswith(_REACH_BROWSERS)}
        return {EXPOSED: {name.upper(): value for name, value in found.items() if value}}


def _aliases(field: FieldInfo) -> Iterable[str]:
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    for choice in choices:
        name = choice.path[0] if isinstance(choice, AliasPath) else choice
        if isinstance(name, str):
            yield name


def _variables(cls: type[BaseSettings], name: str, field: FieldInfo) -> list[str]:
    """The variables a field is read from, as an operator would write them."""
    prefix = cls.model_config.get("env_prefix") or ""
    return [alias.upper() for alias in _aliases(field)] or [f"{prefix}{name}".upper()]


def _place(cls: type[BaseSettings], location: tuple[int | str, ...]) -> str:
    """The variable an error is about; the settings' own name for a rule over several of them."""
    if not location:
        return cls.__name__
    delimiter = cls.model_config.get("env_nested_delimiter") or "."
    first, *rest = map(str, location)
    inner = "".join(f"{delimiter}{part}".upper() for part in rest if not part.isdigit())
    for name, field in cls.model_fields.items():
        variables = _variables(cls, name, field)
        if first == name or first.upper() in variables:
            if rest and KEYED_BY_VARIABLE in field.metadata:
                return rest[0]
            return " or ".join(f"{variable}{inner}" for variable in variables)
    return first.upper() + inner


def _texts(value: object) -> Iterable[str]:
    """Every text inside an input, for none of it may appear in a message."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return chain.from_iterable(map(_texts, value))
    return (str(value),)


def _rule(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "missing"
    rule = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    told = any(text and text in rule for text in _texts(error["input"]))
    return "not a valid value" if told else rule


def without_values(error: ValidationError) -> ValidationError:
    """The same error, with no value in its message, its `errors()` or its `json()`."""
    details = error.errors(include_url=False, include_context=False)
    return ValidationError.from_exception_data(error.title, list(map(_shown, details)), hide_input=True)


def _shown(error: ErrorDetails) -> InitErrorDetails:
    template = error["msg"] if error["type"] == "missing" else _rule(error)
    rule = PydanticCustomError(error["type"], template)
    return InitErrorDetails(type=rule, loc=error["loc"], input="")


def _problems(cls: type[BaseSettings], error: ValidationError) -> list[SettingProblem]:
    details = error.errors(include_url=False, include_context=False)
    return [SettingProblem(_place(cls, detail["loc"]), _rule(detail)) for detail in details]


def _undecoded(cls: type[BaseSettings], error: SourceError) -> list[SettingProblem]:
    """A variable that should hold JSON and does not, and whatever else is wrong beside it."""
    found = re.search(r'field "([^"]+)"', str(error))
    name = found.group(1) if found else ""
    first = SettingProblem(_place(cls, (name,) if name else ()), _NOT_DECODED)
    lenient = type(
        cls.__name__, (cls,), {"model_config": {"enable_decoding": False}, "__module__": cls.__module__}
    )
    try:
        lenient()
    except ValidationError as others:
        # Undecoded, every JSON variable is text of the wrong type here: only the other rules say anything.
        kept = [detail for detail in others.errors() if not detail["type"].endswith("_type")]
        return [first, *(SettingProblem(_place(cls, detail["loc"]), _rule(detail)) for detail in kept)]
    return [first]


def load_settings(cls: type[_Settings]) -> _Settings:
    """Settings of an application, from its environment.

    Args:
        cls: the settings class; its fields' aliases or prefix name the variables.

    Returns:
        An instance of it.

    Raises:
        SettingsError: naming every variable that is missing or wrong and the rule it breaks, and no value.
    """
    try:
        return cls()
    except ValidationError as error:
        problems = _problems(cls, error)
    except SourceError as error:
        problems = _undecoded(cls, error)
    # Raised out here, so that no traceback or reporter finds the values in the error it came from.
    raise SettingsError(tuple(dict.fromkeys(problems)))
