"""Commands from configs: an option for each flag that a config's fields declare."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hyperscale.config.flag import Flag, flags_of
from hyperscale.plugins import unknown

T = TypeVar("T")
_CONTEXT = "context_"
"""Name of the parameter for typer's context: no flag's key ends in an underscore."""


@dataclass(frozen=True)
class FileFlag(Flag):
    """Names a TOML file whose keys are the command's other flags; flags and variables win over it."""


def option(panel: str, help: str, *flags: str, **more: Any) -> Any:
    """An option in a help panel, mirrored as HYPERSCALE_<FLAG>."""
    envvar = "HYPERSCALE_" + flags[0].split("/")[0].lstrip("-").replace("-", "_").upper()
    return typer.Option(*flags, help=help, rich_help_panel=panel, envvar=envvar, show_envvar=False, **more)


def takes(
    make: Callable[..., T],
    config: type[BaseModel],
    beside: type[BaseModel] = BaseModel,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn f(made, **own) into a command with an option for each flag of `config` and `beside`, and f's own.

    `made` is make(**typed), with the values given as flags, as variables or in a file, by the flags' keys. `defaults`
    are shown in place of the fields' own; `...` makes a flag required.
    """
    flags = list(_in_order(config, beside))
    known = [flag for _, flag in flags if not isinstance(flag, FileFlag)]
    shared = [_parameter(info, flag, known, defaults) for info, flag in flags]
    context = Parameter(_CONTEXT, Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for parameter in list(signature(function, eval_str=True).parameters.values())[1:]
        ]

        @wraps(function)
        def command(**given: Any) -> Any:
            source = given.pop(_CONTEXT).get_parameter_source
            values = {flag.key: given.pop(flag.key) for _, flag in flags}
            # typer makes None of an empty list in a file.
            typed = {key: of for key, of in values.items() if of is not None and source(key).name != "DEFAULT"}
            return function(make(**typed), **given)

        command.__signature__ = Signature([context, *shared, *own])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in [context, *shared, *own]}
        return command

    return decorate


def _in_order(config: type[BaseModel], beside: type[BaseModel]) -> Iterator[tuple[FieldInfo, Flag]]:
    """Yield flags in the order of the help, each with its field."""
    flags, added = flags_of(config), flags_of(beside)
    for field, info in config.model_fields.items():
        for name, flag in added.items():
            if flag.before == field:
                yield beside.model_fields[name], flag
        if field in flags:
            yield info, flags[field]


def _parameter(info: FieldInfo, flag: Flag, known: list[Flag], defaults: Mapping[str, Any]) -> Parameter:
    default = defaults.get(flag.key, None if info.is_required() else flag.default(info.default))
    kind = _kind(info.annotation, flag)
    spelling = f"--{flag.name}/{flag.off}" if flag.off else f"--{flag.name}"
    file = {"is_eager": True, "callback": _reader(flag, known)} if isinstance(flag, FileFlag) else {}
    asked = option(flag.panel, flag.help, *filter(None, (spelling, flag.short)), metavar=flag.metavar, **file)
    return Parameter(
        flag.key,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if default is ... else default,
        annotation=Annotated[kind if default is ... else kind | None, asked],
    )


def _kind(annotation: Any, flag: Flag) -> Any:
    """Type that typer checks a flag's text against."""
    if flag.repeated:
        return list[str]
    if flag.read is not None:
        return str
    within = {part for outer in (annotation, *get_args(annotation)) for part in (outer, *get_args(outer)[:1])}
    return next((kind for kind in (bool, int, float, Path) if kind in within), str)


def _reader(file: Flag, flags: list[Flag]) -> Callable[[typer.Context, Path | None], Path | None]:
    """Make a callback that reads defaults of `flags` from a TOML file; ValueError for a key that is no flag's name."""
    known = {flag.name: flag for flag in flags}

    def read(context: typer.Context, path: Path | None) -> Path | None:
        if path is None:
            return None
        shown = repr(str(path))[1:-1]  # A name may hold line breaks.
        try:
            keys = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise ValueError(f"--{file.name} {shown}: {error}") from None
        for key in keys:
            if key not in known:
                raise ValueError(f"--{file.name} {shown}: {unknown('key', key, known)}")
        context.default_map = {known[key].key: _typed(known[key], value) for key, value in keys.items()}
        return path

    return read


def _typed(flag: Flag, value: Any) -> Any:
    """Write a TOML value as it would be typed."""
    entries = [str(entry) for entry in (value if isinstance(value, list) else [value])]
    if flag.repeated:
        return entries
    return value if isinstance(value, bool) else ",".join(entries)
