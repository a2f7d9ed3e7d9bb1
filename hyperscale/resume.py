"""What a folder still lacks: which threads to generate, and which stored chains will do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from hyperscale.results.store import Store


@dataclass(frozen=True)
class Missing:
    """What stands between the stored samples of a run and the caps that it needs."""

    generate: dict[str, dict[int, int]] = field(default_factory=dict)
    """Problem -> thread -> cap: threads not stored, or cut off by a lower cap than is now needed."""
    raised: dict[tuple[str, int], int] = field(default_factory=dict)
    """(problem, thread) -> cap of chains that ended by themselves: a higher cap leaves them as they are."""


def missing(problem_ids: Iterable[str], length_caps: Sequence[int], stored: Iterable[Mapping[str, Any]]) -> Missing:
    """Compare the caps of a run's threads with its rows of samples.

    A chain that its cap cut off is generated again from its start when a higher cap is asked for: its KV
    cache is gone, and reading prompt and old tokens back in would make its `step_*` columns untrue.
    """
    found = {(row["problem_id"], row["thread"]): row for row in stored}
    result = Missing()
    for problem_id in problem_ids:
        for thread, cap in enumerate(length_caps):
            row = found.get((problem_id, thread))
            if row is not None and row["length_cap"] >= cap:
                continue
            if row is not None and row["finish_reason"] == "stop":
                result.raised[problem_id, thread] = cap
            else:
                result.generate.setdefault(problem_id, {})[thread] = cap
    return result


def set_aside(folder: Path) -> Path | None:
    """Move a results folder to the first free NAME.bak-N, so that a sweep starts afresh; None if there is none.

    ValueError while another process works in it.
    """
    if not folder.exists():
        return None
    with Store(folder):
        pass
    taken = (folder.with_name(f"{folder.name}.bak-{n}") for n in count(1))
    target = next(path for path in taken if not path.exists())
    folder.rename(target)
    return target
