"""Which sandbox this machine can give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from hyperscale.sandbox.bare import Bare
from hyperscale.sandbox.base import Sandbox
from hyperscale.sandbox.bubblewrap import Bubblewrap
from hyperscale.sandbox.namespaces import Namespaces
from hyperscale.sandbox.program import Limits, Program
from hyperscale.sandbox.runtime import Runtime, find_runtime

Choice = Literal["auto", "bubblewrap", "namespaces"]

SANDBOXES: dict[str, Callable[[Runtime], Sandbox]] = {
    "bubblewrap": Bubblewrap,
    "namespaces": Namespaces,
}
"""Sandboxes that isolate, the best first."""


def open_sandbox(choice: Choice = "auto", *, confirm_unsafe: bool = False) -> Sandbox:
    """The chosen sandbox, or the first that works here; without any, none if that is confirmed.

    ValueError that says why none works, and what to do.
    """
    reasons = []
    for name, make in SANDBOXES.items():
        if choice in ("auto", name):
            try:
                return _checked(make(find_runtime()))
            except (ValueError, OSError) as error:
                reasons.append(f"{name}: {error}")
    if confirm_unsafe:
        return _checked(Bare(find_runtime()))
    raise ValueError(
        f"this machine gives no sandbox for programs that a model wrote ({'; '.join(reasons)}). Install bubblewrap and "
        "allow user namespaces; or, on a machine that may be harmed, add --confirm-run-unsafe-code"
    )


def _checked(sandbox: Sandbox) -> Sandbox:
    try:
        check(sandbox)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def check(sandbox: Sandbox) -> None:
    """ValueError where the sandbox does not run a simple program right."""
    program = Program.script("import threading; print(sum(map(int, input().split())), threading.active_count())")
    ended = sandbox.run(program, Limits(), b"40 2\n")
    if (ended.code, ended.stdout.split()) != (0, [b"42", b"1"]):
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(said[-1] if said else f"a simple program ended with code {ended.code} ({ended.why})")
