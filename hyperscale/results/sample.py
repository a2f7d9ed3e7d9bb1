"""Make rows of the samples table: from a chain, from a prompt that fills its cap, and back from disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from hyperscale.engines.base import Chain
from hyperscale.kvcache.shape import CacheShape
from hyperscale.results.rows import chain_digest
from hyperscale.results.schema import ROOFLINE_COLUMNS, STEP_COLUMNS
from hyperscale.tasks.task import Problem

if TYPE_CHECKING:
    from hyperscale.hardware.roofline import Ceiling

Row = dict[str, Any]


def sample_row(
    problem: Problem, chain: Chain, text: str, text_ends: list[int], shape: CacheShape, ceiling: Ceiling | None
) -> Row:
    """Make the row of a generated chain, without the columns that are constant in a run."""
    known = dict.fromkeys(ROOFLINE_COLUMNS) if ceiling is None else asdict(ceiling)
    return {
        **_of_problem(problem, shape),
        "thread": chain.thread,
        "length_cap": chain.length_cap,
        "prompt_tokens": chain.prompt_tokens,
        "generated_tokens": len(chain.tokens),
        "finish_reason": chain.finish_reason,
        "tokens": chain.tokens,
        "chain": chain_digest(chain.tokens),
        "text": text,
        "text_ends": text_ends,
        **{name: getattr(chain, name) for name in STEP_COLUMNS},
        "row_live": chain.row_live,
        "page_shared": chain.page_shared,
        "prefill_seconds": chain.prefill_seconds,
        "batch_threads": chain.batch_threads,
        "step_threads": chain.step_threads,
        "accounting": chain.accounting,
        "device_bytes": chain.device_bytes,
        **{name: known[name] for name in ROOFLINE_COLUMNS},
    }


def empty_row(problem: Problem, thread: int, length_cap: int, prompt_tokens: int, shape: CacheShape) -> Row:
    """Make the row of a thread whose prompt alone reaches its cap: cut off before its first token."""
    return {
        **_of_problem(problem, shape),
        "thread": thread,
        "length_cap": length_cap,
        "prompt_tokens": prompt_tokens,
        "generated_tokens": 0,
        "finish_reason": "length",
        "tokens": [],
        "chain": chain_digest([]),
        "text": "",
        "text_ends": [],
        **{name: [] for name in STEP_COLUMNS},
        "row_live": [],
        "page_shared": [],
        "prefill_seconds": 0.0,
        "batch_threads": 0.0,
        "step_threads": [],
        # Nothing ran: the counts are exact, and there is no time to compare with a roofline.
        "accounting": "measured",
        "device_bytes": None,
        **dict.fromkeys(ROOFLINE_COLUMNS),
    }


def records(frame: pd.DataFrame) -> list[Row]:
    """Convert a frame to plain dicts, with None where pandas has its own nulls."""

    def plain(value: Any) -> Any:
        return None if pd.api.types.is_scalar(value) and pd.isna(value) else value

    rows: list[dict[Any, Any]] = frame.to_dict("records")
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def _of_problem(problem: Problem, shape: CacheShape) -> Row:
    return {
        "task": problem.task,
        "problem_id": problem.id,
        "permutation": problem.permutation,
        "layers": shape.layers,
        "kv_heads": shape.kv_heads,
        "token_bytes": shape.token_bytes,
        "page_bytes": shape.page_bytes,
    }
