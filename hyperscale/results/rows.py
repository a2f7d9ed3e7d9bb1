"""Rows of tables: the check against the schema, their only way in; samples, from a chain to a row, and from disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from hyperscale.engines.base import Chain
from hyperscale.kvcache.shape import CacheShape
from hyperscale.results.schema import (
    ACCOUNTINGS,
    GRADE_KEY,
    ROOFLINE_COLUMNS,
    SAMPLE_KEY,
    STEP_COLUMNS,
    STEP_THREADS,
    arrow_schema,
)
from hyperscale.tasks.task import Problem

if TYPE_CHECKING:
    from hyperscale.hardware.roofline import Ceiling

KEYS: dict[str, tuple[str, ...]] = {"samples": SAMPLE_KEY, "grades": GRADE_KEY}
"""Tables that grow by appending -> columns that name a row."""

Row = dict[str, Any]


def chain_digest(tokens: ArrayLike) -> str:
    """Hash a chain's generated tokens: BLAKE2b of 8 bytes, hexadecimal."""
    return hashlib.blake2b(np.asarray(tokens, dtype="<i4").tobytes(), digest_size=8).hexdigest()


def rows_to_arrow(table: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Convert rows to `table`'s arrow schema; ValueError naming a column that is missing, extra or wrong."""
    schema = arrow_schema(table)
    for row in rows:
        _check_columns(table, row.keys())
    arrays = []
    for field in schema:
        try:
            arrays.append(pa.array([row[field.name] for row in rows], field.type))
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"{table}.{field.name} must be {field.type}: {error}") from error
    made = pa.Table.from_arrays(arrays, schema=schema)
    for name in KEYS[table]:
        if made[name].null_count:
            raise ValueError(f"{table}.{name} is part of the key and may not be null")
    if table == "samples":
        _check_chains(made)
    return made


def frame_to_arrow(table: str, frame: pd.DataFrame) -> pa.Table:
    """Convert a data frame to `table`'s arrow schema, NaN to null; ValueError as in `rows_to_arrow`."""
    _check_columns(table, frame.columns)
    schema = arrow_schema(table)
    try:
        return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{table} does not fit its schema: {error}") from error


def _check_columns(table: str, names: Iterable[str]) -> None:
    given, wanted = set(names), set(arrow_schema(table).names)
    if given != wanted:
        problems = [f"misses {', '.join(sorted(wanted - given))}"] if wanted - given else []
        problems += [f"has the unknown {', '.join(sorted(given - wanted))}"] if given - wanted else []
        raise ValueError(f"a row of {table} {' and '.join(problems)}")


def _check_chains(samples: pa.Table) -> None:
    """Assert the invariants of a chain, so that an engine's mistake never reaches the folder."""
    generated = samples["generated_tokens"]
    for name in ("tokens", "text_ends", *STEP_COLUMNS):
        steps = pc.list_value_length(samples[name])
        assert steps.equals(generated.cast(pa.int32())), f"samples.{name}: one entry a generated token"
    beside = pc.coalesce(pc.list_value_length(samples[STEP_THREADS]), generated.cast(pa.int32()))
    assert beside.equals(generated.cast(pa.int32())), f"samples.{STEP_THREADS}: one entry a generated token, or null"
    reach = np.add(samples["prompt_tokens"].to_numpy(), generated.to_numpy())
    fits = (reach <= samples["length_cap"].to_numpy()) | (generated.to_numpy() == 0)
    assert fits.all(), "a chain is longer than its length_cap"
    assert set(samples["accounting"].to_pylist()) <= set(ACCOUNTINGS), "unknown accounting"
    assert set(samples["finish_reason"].to_pylist()) <= {"stop", "length"}, "unknown finish_reason"
    digests = [chain_digest(tokens.values.to_numpy()) for chunk in samples["tokens"].chunks for tokens in chunk]
    assert samples["chain"].to_pylist() == digests, "samples.chain is not the digest of its tokens"


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
