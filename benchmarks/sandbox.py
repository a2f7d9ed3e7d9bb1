"""Milliseconds of an empty program in each sandbox, from the request to its end, against a plain process.

The time is that of the sandbox and an interpreter; the plain process starts the same interpreter directly. Two run at
a time, as in the grader on two cores.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

from benchmarks.common import print_table, seconds
from hyperscale.sandbox import SANDBOXES, Limits, Program, open_sandbox
from hyperscale.sandbox.launch import ENVIRONMENT
from hyperscale.sandbox.program import find_runtime

PROGRAMS, TOGETHER = 200, 2


def main() -> None:
    """Measure and print."""
    interpreter = str(find_runtime().interpreter)

    def plain() -> None:
        subprocess.run([interpreter, "-s", "-S", "-c", ""], env=dict(ENVIRONMENT), check=True, capture_output=True)

    calls: dict[str, Callable[[], object]] = {"plain process": plain}
    opened = []
    for name in SANDBOXES:
        try:
            sandbox = open_sandbox(name)  # type: ignore[arg-type]
        except ValueError as error:
            print(f"{name} is skipped: {error}")
            continue
        opened.append(sandbox)
        calls[name] = lambda sandbox=sandbox: sandbox.run(Program.script(""), Limits())
    times: dict[str, list[float]] = {name: [] for name in calls}
    with ThreadPoolExecutor(TOGETHER) as threads:
        for _ in range(PROGRAMS // TOGETHER):
            for name, call in calls.items():  # In turns, so that machine noise hits all of them.
                times[name] += threads.map(lambda _, call=call: seconds(call), range(TOGETHER))
    for sandbox in opened:
        sandbox.close()
    base = median(times["plain process"])
    print_table(
        f"an empty program, {PROGRAMS} times, {TOGETHER} at a time",
        ["in", "median ms", "95 % within ms", "of a plain process"],
        [
            [
                name,
                f"{1e3 * median(taken):.1f}",
                f"{1e3 * quantiles(taken, n=20)[-1]:.1f}",
                f"{median(taken) / base:.2f}x",
            ]
            for name, taken in times.items()
        ],
    )


if __name__ == "__main__":
    main()
