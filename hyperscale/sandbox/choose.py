"""Choose a sandbox that works on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from hyperscale.sandbox.bare import Bare
from hyperscale.sandbox.base import Sandbox
from hyperscale.sandbox.bubblewrap import Bubblewrap
from hyperscale.sandbox.namespaces import Namespaces
from hyperscale.sandbox.program import Limits, Program, Runtime, find_runtime

Choice = Literal["auto", "bubblewrap", "namespaces"]

SANDBOXES: dict[str, Callable[[Runtime], Sandbox]] = {
    "bubblewrap": Bubblewrap,
    "namespaces": Namespaces,
}
"""Sandboxes that isolate, best first."""


def open_sandbox(choice: Choice = "auto", *, confirm_unsafe: bool = False) -> Sandbox:
    """Open the chosen sandbox, or the first that works here; failing all, `Bare` if `confirm_unsafe`.

    ValueError that says why each fails, and what to do.
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
        f"no sandbox works on this machine for programs that a model wrote ({'; '.join(reasons)}). Install bubblewrap "
        "and allow user namespaces; or, on a machine that may be harmed, add --confirm-run-unsafe-code"
    )


def _checked(sandbox: Sandbox) -> Sandbox:
    try:
        check(sandbox)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def check(sandbox: Sandbox) -> None:
    """Refuse a sandbox that does not run a simple program correctly: ValueError."""
    program = Program.script("import threading; print(sum(map(int, input().split())), threading.active_count())")
    ended = sandbox.run(program, Limits(), b"40 2\n")
    if (ended.code, ended.stdout.split()) != (0, [b"42", b"1"]):
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(said[-1] if said else f"a simple program ended with code {ended.code} ({ended.why})")
