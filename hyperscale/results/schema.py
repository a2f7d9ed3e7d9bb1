"""Every column of every table: its type, its unit and its meaning. docs/results.md is made from here."""

# One line a column, however long, keeps these tables readable as tables.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pyarrow as pa

SCHEMA_VERSION = 6
"""Folders of another version are refused."""


class Column(NamedTuple):
    """Describe one column of a table."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


def _names(columns: list[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


_RUN_KEYS = [
    Column("run_id", pa.string(), "", "Hash of all that decides what is drawn: model, backend, sampling, task prompt."),
    Column("model", pa.string(), "", "Model as given to --model."),
    Column("backend", pa.string(), "", "KV-cache backend."),
    Column("compression_ratio", pa.float64(), "", "Nominal compression ratio (CR); 1 for vanilla; null where a budget B is given, and CR = L / B follows from each L."),
    Column("task", pa.string(), "", "Task."),
]

_STEPS = [
    Column("step_reads", pa.list_(pa.int64()), "tokens", "KV tokens attended at each decode step, summed over layers and KV heads."),
    Column("step_live", pa.list_(pa.int64()), "tokens", "KV tokens held after each decode step, summed over layers and KV heads, prompt included."),
    Column("step_pages", pa.list_(pa.int64()), "pages", "Pages held after each decode step by this thread alone, all layers and KV heads."),
    Column("step_micros", pa.list_(pa.int64()), "microseconds", "Wall-clock time of each decode step divided by the threads that ran in it, as it ran: other work on the machine is in it. No step compiled anything (`torch`, `vllm`): the engine had run one before that is not recorded. The first also bears the time lost where the thread was preempted: gates kept more than was expected, and the memory ran out."),
]
STEP_COLUMNS = _names(_STEPS)
STEP_THREADS = "step_threads"
"""One more list with an entry a decode step, null where the engine does not tell."""

_ROOFLINE = [
    Column("weight_bytes", pa.int64(), "bytes", "Weights that a decode step reads, for all its threads together. This and the next five are the roofline's constants; null where the model or the device is not known."),
    Column("token_flops", pa.float64(), "FLOPs", "Operations that a token takes in a decode step, attention over the cache left out."),
    Column("head_flops", pa.float64(), "FLOPs", "Of these, operations of the unembedding, which a prompt's tokens but the last can spare."),
    Column("read_flops", pa.float64(), "FLOPs", "Operations of attending one KV token in every layer."),
    Column("peak_flops", pa.float64(), "FLOPs/s", "What the devices can compute in a second in this number type: a preset's, or measured. Of whole devices, also where --gpus-per-shard lends a shard a part of one."),
    Column("peak_bandwidth", pa.float64(), "bytes/s", "What the devices can read in a second: a preset's, or measured. Of whole devices, as above."),
]
ROOFLINE_COLUMNS = _names(_ROOFLINE)
"""The fields of `hardware.roofline.Ceiling`."""

SAMPLES = [
    *_RUN_KEYS,
    Column("cache_budget", pa.int64(), "tokens", "KV budget B of a budget-bound backend, a KV head and layer; null where a backend has none."),
    Column("problem_id", pa.string(), "", "Problem."),
    Column("thread", pa.int32(), "", "Index of the thread, from 0."),
    Column("seed", pa.int64(), "", "Seed of the sweep."),
    Column("length_cap", pa.int64(), "tokens", "Cap on this thread's sequence, prompt included: the thread is in the pool of every L up to it. A chain that ended by itself keeps when its cap is raised."),
    Column("prompt_tokens", pa.int64(), "tokens", "Length of the prompt (P)."),
    Column("generated_tokens", pa.int64(), "tokens", "Tokens generated (G), the end-of-sequence token included."),
    Column("finish_reason", pa.string(), "", "`stop`: the model ended the sequence; `length`: the cap did."),
    Column("tokens", pa.list_(pa.int32()), "", "Ids of the generated tokens."),
    Column("chain", pa.string(), "", "Digest of `tokens`: the chain that a grade belongs to."),
    Column("text", pa.string(), "", "The generated tokens decoded, special tokens left out."),
    Column("text_ends", pa.list_(pa.int32()), "characters", "Characters of `text` that stand after each token: where a cut at L cuts the text."),
    Column("permutation", pa.list_(pa.int8()), "", "Order in which a multiple-choice problem shows its choices (dataset's index of A, B, ...); null elsewhere."),
    *_STEPS,
    Column("row_live", pa.list_(pa.int64()), "tokens", "KV tokens that each row held after the last decode step, layer by layer and KV head by KV head: sequence length over these is the compression reached by layer and head."),
    Column("page_shared", pa.list_(pa.int64()), "steps", "For each page of the prefilled prompt, layer by layer and KV head by KV head: after how many of the thread's decode steps the prompt's threads still held it together; the next step wrote to it, and the thread has a copy of its own since."),
    Column("prefill_seconds", pa.float64(), "seconds", "Wall-clock time of the problem's prefill, shared by its threads."),
    Column("batch_threads", pa.float64(), "threads", "Threads that ran together, mean over this thread's decode steps."),
    Column(STEP_THREADS, pa.list_(pa.int64()), "threads", "Threads that ran together in each decode step. Null where that is not known (a server elsewhere)."),
    Column("layers", pa.int32(), "", "Layers of the model."),
    Column("kv_heads", pa.int32(), "", "KV heads a layer."),
    Column("token_bytes", pa.int64(), "bytes", "Bytes of one KV token of one KV head of one layer."),
    Column("page_bytes", pa.int64(), "bytes", "Bytes of one page (of one KV head of one layer), with what the backend keeps beside it (bounds of keys, under quest)."),
    Column("engine", pa.string(), "", "Engine that generated: `torch`, `vllm` or `openai`."),
    Column("accounting", pa.string(), "", "Where the `step_*` counts come from: `measured`, counted where attention ran; `from_lengths`, what a vanilla cache reads and holds at these lengths, by the same meter; `from_text`, the same where a server gave no token ids and its text was tokenized again."),
    Column("device_bytes", pa.int64(), "bytes", "Most memory of its devices that the engine's processes had held by the end of the thread, weights and cache and all. `torch`: since the engine was made; on a GPU what torch's allocator had reserved (the CUDA context, some hundred MB, is not in it), on a CPU the peak of the process's resident memory. `vllm`: on GPUs what NVML says of its processes, on a CPU the sum of their peaks. Null where it is not known (a server elsewhere)."),
    *_ROOFLINE,
]
SAMPLE_KEY = ("run_id", "task", "problem_id", "thread")

GRADES = [
    Column("run_id", pa.string(), "", "As in samples."),
    Column("task", pa.string(), "", "Task."),
    Column("problem_id", pa.string(), "", "Problem."),
    Column("thread", pa.int32(), "", "Thread."),
    Column("length", pa.int64(), "tokens", "L: the chain was cut here before it was graded."),
    Column("chain", pa.string(), "", "As in samples: a grade is void once its sample holds another chain."),
    Column("answer", pa.string(), "", "Answer as it was extracted; null: none found. Missing answers never vote."),
    Column("normal", pa.string(), "", "The answer's cheap normal form, by which equal answers are first grouped."),
    Column("correct", pa.bool_(), "", "The grader's verdict."),
    Column("truncated", pa.bool_(), "", "The cut at L removed the end of the chain."),
    Column("flag", pa.string(), "", "Why a verdict deserves a second look: `timeout`, `error`, `unclosed_think`; of programs also `unclosed_fence` (a last block of code that never ends), and the limit that ended one: `memory`, `output`, `processes`; null otherwise."),
    Column("strict", pa.bool_(), "", "Verdict of the strict grader of code: a real process, its real output; null where the task is no code."),
    Column("official", pa.bool_(), "", "Verdict of the benchmark's own grader, quirks included; null where the task is no code."),
    Column("graders_differ", pa.bool_(), "", "The two disagree; null where the task is no code."),
]
GRADE_KEY = ("run_id", "task", "problem_id", "thread", "length")

_POINT_KEYS = [
    Column("model", pa.string(), "", "Model."),
    Column("task", pa.string(), "", "Task."),
    Column("backend", pa.string(), "", "KV-cache backend."),
    Column("compression_ratio", pa.float64(), "", "Nominal CR; L / B where the backend is bound to a budget B."),
    Column("width", pa.int32(), "threads", "W: parallel reasoning threads a problem."),
    Column("length", pa.int64(), "tokens", "L: cap on a thread's sequence, prompt included."),
]

POINT_KEY = _names(_POINT_KEYS)

OUTCOMES = [
    *_POINT_KEYS,
    Column("problem_id", pa.string(), "", "Problem."),
    Column("accuracy", pa.float64(), "0..1", "maj@W (expected over ties) or pass@W of the problem, mean over W-subsets of its pool of threads."),
    Column("tied", pa.float64(), "0..1", "Share of the W-subsets whose vote was tied; null where nothing is voted."),
    Column("kv_reads", pa.float64(), "tokens", "KV tokens attended, summed over decode steps and the W threads, mean over layers and KV heads; prefill not counted. Expected over W-subsets."),
    Column("peak_tokens", pa.float64(), "tokens", "Most KV tokens that W threads held together after a step (prompt counted in each), mean over layers and KV heads. The threads start together and step together; one that has ended holds nothing. Mean over W-subsets, as votes are. Where the prompt fills L: W times the prompt."),
    Column("peak_tokens_sum", pa.float64(), "tokens", "Sum over W threads of the most that each held, whenever that was: an upper bound of `peak_tokens`. Expected over W-subsets, exactly."),
    Column("peak_bytes", pa.float64(), "bytes", "Most bytes of pages that W threads had in use together after a step, all layers and KV heads, in lockstep as in `peak_tokens`: pages of each thread's own, and once every page of the prompt that at least one running thread still shares. Mean over W-subsets, as votes are. Where the prompt fills L: its pages, once, as nothing evicts them."),
    Column("peak_bytes_sum", pa.float64(), "bytes", "Sum over W threads of each one's most pages of its own, and once every page of the prompt that at least one of them shared after its first step: an upper bound of `peak_bytes`. Expected over W-subsets, exactly."),
    Column("seconds", pa.float64(), "seconds", "Machine time of the problem at the largest batch that the memory budget holds at this L (`max_threads`): its prefill and, for each of W threads, latency(`max_threads`, context) / `max_threads` summed over its steps at contexts P+1, ..., P+G; both from the `latency` table of the run, mean over the pool. Where `timing` is `as_run`, `as_run_seconds`. Null where no latency was measured."),
    Column("max_threads", pa.int32(), "threads", "Threads that the scheduler lets run together at this L where every problem is this one with W threads: those whose blocks `--memory-budget` holds, at most `--max-batch`. Null as `seconds`, and where `timing` is `as_run`."),
    Column("timing", pa.string(), "", "Where `seconds` comes from: `latency`, the latency table; `as_run`, the run itself, after a warm-up, at the batches that it happened to have (engines other than torch). Null where no latency was measured: `hyperscale latency RESULTS` measures it."),
    Column("as_run_seconds", pa.float64(), "seconds", "Machine time of the problem as it ran: its prefill and, for each of W threads, its share of every step that it ran in (`step_micros`). A chain cut at L ran in the batches of the run's largest L, beside whatever else the machine did."),
    Column("prompt_fits", pa.bool_(), "", "The prompt is shorter than L, so that something could be generated. If not, nothing was: accuracy 0, no reads, the prompt as the peak."),
    Column("mean_length", pa.float64(), "tokens", "Sequence length reached (prompt and generated, at most L), mean over threads."),
    Column("truncated_share", pa.float64(), "0..1", "Share of threads that L cut off."),
    Column("realised_ratio", pa.float64(), "", "Tokens seen / tokens live after the last step, mean over threads: the compression reached; null where the prompt leaves L no room."),
    Column("batch_threads", pa.float64(), "threads", "Threads that ran together, mean over the pool."),
    Column("pool", pa.int32(), "threads", "Threads the subsets were drawn from."),
    Column("roofline_seconds", pa.float64(), "seconds", "The least that `seconds` could be on the devices, as if all threads of a batch were alike: the paper's Appendix I. Where `timing` is `latency`: that of the latency table's cells, joined and summed as `seconds` are, at the same batch and contexts. Else of the run: for the prompt and every step at the reads and the batch that it had (`step_threads`; where that is null, their mean batch). A sum of each thread's greater of arithmetic and traffic, it can exceed the greater of their sums where threads differ. What a bound backend feeds of its prompt one by one counts as steps of one thread; of vLLM's prefill, which is within its steps, counts W / pool, as in `seconds`. Quest's page bounds are left out, unless its `count_metadata_reads` counts them (`hyperscale plan` has them). Null where the roofline is not known."),
    Column("device_bytes", pa.float64(), "bytes", "Most over the pool; see samples."),
    Column("engine", pa.string(), "", "See samples."),
    Column("accounting", pa.string(), "", "See samples; the least exact of the pool's."),
]
OUTCOME_KEY = (*POINT_KEY, "problem_id")

POINTS = [
    *_POINT_KEYS,
    Column("aggregate", pa.string(), "", "`majority`, `pass` or `mean`: how W answers become one verdict."),
    Column("accuracy", pa.float64(), "0..1", "Mean over problems of the outcome's accuracy."),
    Column("accuracy_low", pa.float64(), "0..1", "Lower end of its 95 % interval over problems: Agresti and Coull's, extended to fractional accuracies (docs/analysis.md)."),
    Column("accuracy_high", pa.float64(), "0..1", "Upper end."),
    Column("standard_error", pa.float64(), "0..1", "Standard error of `accuracy`: standard deviation over problems (n - 1) over the root of n; null for one problem. 0 where all problems agree, which the interval does not believe."),
    Column("kv_reads", pa.float64(), "tokens", "Mean over problems; see outcomes."),
    Column("peak_tokens", pa.float64(), "tokens", "Mean over problems; see outcomes."),
    Column("peak_tokens_sum", pa.float64(), "tokens", "Mean over problems; see outcomes."),
    Column("peak_bytes", pa.float64(), "bytes", "Mean over problems; see outcomes."),
    Column("peak_bytes_sum", pa.float64(), "bytes", "Mean over problems; see outcomes."),
    Column("throughput", pa.float64(), "problems/min", "60 / mean over problems of `seconds`: at the largest batch of threads that the memory budget holds at this L (`max_threads`), by the latency table, which compilation and other work do not enter. Null where no time was taken or measured."),
    Column("max_threads", pa.float64(), "threads", "Mean over problems; see outcomes."),
    Column("timing", pa.string(), "", "`latency` or `as_run` where that is so of all problems, else null; see outcomes."),
    Column("as_run_seconds", pa.float64(), "seconds", "Mean over problems; see outcomes."),
    Column("roofline_share", pa.float64(), "", "The throughput over the roofline's: mean of `roofline_seconds` over mean of `seconds`. Null where the roofline is not known, or no time was taken."),
    Column("mean_length", pa.float64(), "tokens", "Sequence length reached (at most L), mean over problems and threads."),
    Column("truncated_share", pa.float64(), "0..1", "Share of threads that L cut off."),
    Column("tied_share", pa.float64(), "0..1", "Share of votes that were tied; null where nothing is voted."),
    Column("realised_ratio", pa.float64(), "", "Compression reached, mean over problems."),
    Column("batch_threads", pa.float64(), "threads", "Threads that ran together, mean."),
    Column("chance", pa.float64(), "0..1", "Accuracy of guessing (1/4 for four choices); 0 where guessing is hopeless."),
    Column("prompts_fit", pa.float64(), "0..1", "Share of the problems whose prompts are shorter than L (`prompt_fits`). A point below 1 stands here and on no frontier, gain or figure."),
    Column("draws", pa.int32(), "", "W-subsets of a pool that its vote and its lockstep peaks are averaged over, the least of all problems: every one, or 1000 drawn ones where there are more. 1: a single vote, as noisy as one run. pass@W and sums are exact expectations, whatever stands here."),
    Column("problems", pa.int32(), "", "Problems the point is a mean of."),
    Column("samples", pa.int32(), "", "Threads in their pools, all problems."),
    Column("complete", pa.bool_(), "", "False where problems of the grid still miss threads, or --limit / --problem-id cut the task."),
    Column("device_bytes", pa.float64(), "bytes", "Most over the problems; see samples."),
    Column("engine", pa.string(), "", "See samples."),
    Column("accounting", pa.string(), "", "See samples; the least exact of the problems'."),
]

FRONTIERS = [
    *_POINT_KEYS,
    Column("axis", pa.string(), "", "Cost that the frontier minimises: `kv_reads`, `peak_tokens`, `peak_bytes`, or `throughput`, which it maximises."),
    Column("cost", pa.float64(), "as its axis", "The point's value on that axis."),
    Column("accuracy", pa.float64(), "0..1", "The point's accuracy."),
]

GAINS = [
    Column("model", pa.string(), "", "Model."),
    Column("task", pa.string(), "", "Task."),
    Column("backend", pa.string(), "", "A: the backend whose frontier is praised."),
    Column("baseline", pa.string(), "", "B: the backend it is compared with."),
    Column("axis", pa.string(), "", "Cost axis."),
    Column("interpolation", pa.string(), "", "`step`: at each budget the accuracy of the frontier's best point within it, which was attained; `linear`: straight lines between the frontier's points, as in the paper, in the budget's scale."),
    Column("scale", pa.string(), "", "`linear` or `log2`: how the budget is integrated. The paper's formula as printed is `linear`, with `linear` interpolation; figures and README show `step` with `log2`."),
    Column("gain", pa.float64(), "-1..1", "Average absolute gain of A over B on their common budgets (paper, Appendix G); null: no common budget."),
    Column("gain_low", pa.float64(), "-1..1", "Lower end of its 95 % interval (percentiles of a bootstrap over problems, paired, each resample on the estimate's budgets). Null for one problem, and where `resamples_kept` is below 0.9."),
    Column("gain_high", pa.float64(), "-1..1", "Upper end."),
    Column("resamples_kept", pa.float64(), "0..1", "Share of resamples whose frontiers both begin early enough to cover 80 % of the estimate's budgets, in the scale; the others are left out of the interval."),
    Column("gain_null", pa.float64(), "-1..1", "The same gain between equals: mean over 200 permutations of which run's outcomes of a problem carry which label (a run: a backend at one CR; at the (W, L) that all runs share). What a backend gains by having more points to choose from, on as many problems. Null for one problem, or without shared (W, L)."),
    Column("budget_low", pa.float64(), "as its axis", "Where the common budgets begin."),
    Column("budget_high", pa.float64(), "as its axis", "Where they end."),
]

LATENCY = [
    Column("model", pa.string(), "", "Model as given to --model."),
    Column("backend", pa.string(), "", "KV-cache backend."),
    Column("compression_ratio", pa.float64(), "", "Nominal CR; 1 for vanilla; null where a budget B is given."),
    Column("cache_budget", pa.int64(), "tokens", "KV budget B of a budget-bound backend, a KV head and layer; null where a backend has none."),
    Column("kind", pa.string(), "", "`decode`: one step of `batch` threads; `prefill`: one prompt, alone."),
    Column("batch", pa.int32(), "threads", "Threads that run together, each in blocks of its own."),
    Column("context", pa.int64(), "tokens", "Tokens of each thread after the step, the new one included; of a prefill, of the prompt."),
    Column("row_tokens", pa.float64(), "tokens", "KV tokens held after the step, mean over threads, layers and KV heads: by layer and head what the samples' rows held at this context; without samples B, or the window and 1 / CR of the rest. Null for a prefill."),
    Column("row_reads", pa.float64(), "tokens", "KV tokens attended in the step, mean likewise. Null for a prefill."),
    Column("seconds", pa.float64(), "seconds", "Wall-clock time of the engine's own step (model, policy, attention, counting, sampling) or prefill, median over rounds. Of each round, the median of its steps, after one that is not timed. Everything is compiled before."),
    Column("seconds_low", pa.float64(), "seconds", "Lower quartile over rounds."),
    Column("seconds_high", pa.float64(), "seconds", "Upper quartile over rounds."),
    Column("rounds", pa.int32(), "", "Rounds; in each the backends whose caches fit into memory together take turns."),
    Column("steps", pa.int32(), "", "Steps timed in each round."),
    Column("disturbed", pa.bool_(), "", "The quartiles differ by more than 20 % of the median: short steps vary by themselves, long ones where other work ran beside them."),
    Column("roofline_seconds", pa.float64(), "seconds", "The least that `seconds` could be on the device (paper, Appendix I), at `row_reads`."),
    Column("device", pa.string(), "", "Device: GPU, or CPU and the threads that torch computes with."),
    Column("dtype", pa.string(), "", "Number type of weights and cache."),
    Column("memory_budget", pa.int64(), "bytes", "KV cache of the running threads together: `--memory-budget`, else what was free then."),
    Column("max_batch", pa.int32(), "threads", "`--max-batch`."),
    Column("load_average", pa.float64(), "processes", "Load average of the machine over the last minute, at the end; the measurement is part of it. Null where the system has none."),
    Column("clock_mhz", pa.float64(), "MHz", "Clock of the device at the end; null where it is not known."),
    Column("measured", pa.string(), "", "UTC time of the end, ISO 8601."),
]
LATENCY_KEY = ("model", "backend", "compression_ratio", "cache_budget", "kind", "batch", "context")

TABLES: dict[str, list[Column]] = {
    "samples": SAMPLES, "grades": GRADES, "outcomes": OUTCOMES, "points": POINTS, "frontiers": FRONTIERS,
    "gains": GAINS, "latency": LATENCY,
}
# fmt: on


ACCOUNTINGS = ("measured", "from_lengths", "from_text")
"""Kinds of accounting, the most exact first."""


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Make the arrow schema of a table of TABLES, with units and meanings as metadata."""
    return pa.schema(
        [pa.field(c.name, c.type, metadata={"unit": c.unit, "meaning": c.meaning}) for c in TABLES[table]],
        metadata={"hyperscale_schema": str(SCHEMA_VERSION)},
    )
