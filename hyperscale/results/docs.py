"""Make docs/results.md from the schema: `python -m hyperscale.results.docs > docs/results.md`."""

from __future__ import annotations

import pyarrow as pa

from hyperscale.results.schema import (
    GRADE_KEY,
    LATENCY_KEY,
    OUTCOME_KEY,
    POINT_KEY,
    SAMPLE_KEY,
    SCHEMA_VERSION,
    TABLES,
    Column,
)

_OPENING = f"""\
<!-- Made by `python -m hyperscale.results.docs > docs/results.md` from hyperscale/results/schema.py. -->

# The results folder

The folder is the experiment: the same command completes it, another configuration in it is refused. It lies on a disk
or behind a URL (`s3://bucket/name`), with the same files in it.

```
results/<name>/
  manifest.json       what was run, of which versions, on what hardware
  samples/            one row a thread of a problem: tokens, text and a trace of every decode step
  grades/             one row a thread and L: the answer of the chain cut at L
  incoming/           samples that a cluster's workers stored and the sweep has not yet moved to samples/
  outcomes.parquet    one row a problem and (backend, CR, W, L)
  points.parquet      one row a task and (backend, CR, W, L): the mean over problems
  frontiers.parquet   the points that no other point beats, on each cost axis
  gains.parquet       the average gain of one frontier over another
  latency.parquet     seconds of a decode step of each run, by batch and context
```

`samples/` and `grades/` grow by parts, each written whole or not at all. Threads that end within a second of each
other share a part, so a killed sweep loses the threads that were still running, and at most those that ended in its
last second. `latency.parquet` is measured on one device (`hyperscale latency`), beside the samples.
The other tables are computed from these three and can be made anew at any time.
While a sweep runs, or after it was killed, a key may stand in several rows: of a sample the greatest
`length_cap` counts, then the latest; of a grade the latest whose `chain` is the one its sample holds. A finished
sweep has removed the others, and `pd.read_parquet("results/<name>/samples")` is right as it stands.

A part's name carries the digest of its bytes (BLAKE2b, 8 bytes), with which they are compared when the folder is
opened. A sweep moves a part that differs by a single byte to `damaged/`, says so, and makes its rows anew; whatever
only reads the folder refuses it by name.

L is read off afterwards: a chain longer than L is cut to its first L - P tokens. The pool at L is the threads
whose `length_cap` is at least L. Threads of a smaller cap that stopped early would fit as well, but taking them
and not their cut-off neighbours would favour short chains. W is read off afterwards too: sums over threads are
exact expectations over the W-subsets of the pool; votes and lockstep peaks are averaged over all subsets, or over
the same 1000 where there are more (`draws`).

**Throughput** is problems per minute at the largest batch of threads that the memory budget holds at this W and L
(`max_threads`): not of the run, which covers many points at once, but of the point. A problem of prompt P takes

    seconds = prefill(P) + W · mean over the pool's threads of Σ latency(max_threads, t) / max_threads

the sum over the thread's steps t = P + 1, ..., P + G, cut at L. Between measured cells latency is linear in the batch
and linear in the context; a batch above the largest measured goes on as the last two. Starting threads, decoding text
and grading are left out. Engines other than torch have no latency table: their throughput is as run, and says so.

A prompt that fills L leaves nothing to generate. The problem counts as wrong and truncated (`prompt_fits` is false):
accuracy 0, no reads, no seconds, the prompt as the peak. A point where this befalls any problem (`prompts_fit` below 1)
stands in outcomes and points, and on no frontier, gain or figure: its costs are not those of an answer.

Intervals of accuracy are 95 %, over problems, not threads: Agresti and Coull's, extended to fractional accuracies
([analysis](analysis.md#intervals-of-accuracy)). A single problem has the interval [0, 1].

Schema version {SCHEMA_VERSION}. A folder of another version is refused.
"""

_TABLES = {
    "samples": ("parts in `samples/`", SAMPLE_KEY),
    "grades": ("parts in `grades/`", GRADE_KEY),
    "outcomes": ("`outcomes.parquet`", OUTCOME_KEY),
    "points": ("`points.parquet`", POINT_KEY),
    "frontiers": ("`frontiers.parquet`", (*POINT_KEY, "axis")),
    "gains": ("`gains.parquet`", ("model", "task", "backend", "baseline", "axis", "interpolation", "scale")),
    "latency": ("`latency.parquet`", LATENCY_KEY),
}


def render() -> str:
    """Render docs/results.md."""
    return "\n".join([_OPENING, *(_table(name, columns) for name, columns in TABLES.items())])


def _table(name: str, columns: list[Column]) -> str:
    place, key = _TABLES[name]
    lines = [
        f"## {name}",
        "",
        f"In {place}. A row is named by {', '.join(f'`{column}`' for column in key)}.",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    for column in columns:
        cells = (f"`{column.name}`", _type(column.type), column.unit, column.meaning)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _type(type_: pa.DataType) -> str:
    return f"list of {type_.value_type}" if pa.types.is_list(type_) else str(type_)


if __name__ == "__main__":
    print(render(), end="")
