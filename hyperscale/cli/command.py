"""Commands from dataclasses: a flag for each field, so that commands share their flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def takes(options: type[T]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn f(options, **own) into a command with a flag for each field of `options` and f's own parameters.

    sweep and plan share their flags; typer knows a command's flags only from its signature.
    """
    hints = get_type_hints(options, include_extras=True)
    shared = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)  # type: ignore[arg-type]
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for parameter in list(signature(function, eval_str=True).parameters.values())[1:]
        ]

        @wraps(function)
        def command(**given: Any) -> Any:
            chosen = {parameter.name: given.pop(parameter.name) for parameter in shared}
            return function(options(**chosen), **given)

        command.__signature__ = Signature([*shared, *own])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*shared, *own]}
        return command

    return decorate
