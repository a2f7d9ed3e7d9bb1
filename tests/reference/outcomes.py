"""Outcomes of one problem, thread by thread and subset by subset, straight from the definitions."""

from __future__ import annotations

from itertools import combinations
from math import isnan
from typing import Any


def outcome(
    samples: list[dict[str, Any]], answers: dict[tuple[int, int], tuple[str | None, bool]], width: int, length: int
) -> dict[str, float] | None:
    """Expected outcome of a majority vote of `width` threads at `length`, by listing every subset.

    `answers[thread, length]` is (answer, correct); equal strings agree. None where the pool is too small.
    """
    pool = [sample for sample in samples if sample["length_cap"] >= length and usable(sample, answers, length)]
    if len(pool) < width:
        return None
    subsets = list(combinations(pool, width))
    rows = [subset_outcome(list(subset), answers, length, len(pool)) for subset in subsets]
    expected = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    threads = [thread_outcome(sample, length) for sample in pool]
    for name in ("mean_length", "truncated_share", "realised_ratio"):
        known = [thread[name] for thread in threads if not isnan(thread[name])]
        expected[name] = sum(known) / len(known) if known else float("nan")
    expected["batch_threads"] = sum(sample["batch_threads"] for sample in pool if steps_run(sample, length)) / len(pool)
    expected["pool"] = len(pool)
    held = [sample["device_bytes"] for sample in pool if sample["device_bytes"] is not None]
    expected["device_bytes"] = max(held, default=float("nan"))
    if any(sample["peak_flops"] is None and steps_run(sample, length) for sample in pool):
        expected["roofline_seconds"] = float("nan")
    return expected


def least_exact(samples: list[dict[str, Any]]) -> str:
    """The accounting of a pool."""
    kinds = {sample["accounting"] for sample in samples}
    return next(kind for kind in ("from_text", "from_lengths", "measured") if kind in kinds)


def roofline(sample: dict[str, Any], length: int) -> tuple[float, float]:
    """Least seconds of a thread's prompt and of its steps, token by token (paper, Appendix I)."""
    steps = steps_run(sample, length)
    if not steps or sample["peak_flops"] is None:
        return 0.0, 0.0
    # TOVA, H2O and random prefill no more of a prompt than their budget holds: the rest are steps of one thread.
    at_once = sample["prompt_tokens"]
    if sample["backend"] in ("tova", "h2o", "random"):
        while at_once > sample["cache_budget"]:
            at_once -= 1
    rows = sample["layers"] * sample["kv_heads"]
    flops = sum(sample["token_flops"] + sample["read_flops"] * attended for attended in range(1, at_once + 1))
    flops -= (at_once - 1) * sample["head_flops"]
    traffic = sample["weight_bytes"] + at_once * rows * sample["token_bytes"]
    prompt = max(flops / sample["peak_flops"], traffic / sample["peak_bandwidth"])
    for _ in range(at_once, sample["prompt_tokens"]):
        prompt += step_seconds(sample, reads=at_once * rows, threads=1)
    decode = 0.0
    for step in range(steps):
        threads = sample["batch_threads"] if sample["step_threads"] is None else int(sample["step_threads"][step])
        decode += step_seconds(sample, int(sample["step_reads"][step]), threads)
    return prompt, decode


def step_seconds(sample: dict[str, Any], reads: int, threads: float) -> float:
    """A thread's part of a step of so many like it: the whole step's work, divided among them."""
    rows = sample["layers"] * sample["kv_heads"]
    attended = reads / rows
    if sample["cache_budget"] is not None and attended > sample["cache_budget"]:
        # Read for all heads of a group; each of them attends its own.
        attended = sample["cache_budget"]
    flops = threads * (sample["token_flops"] + sample["read_flops"] * attended)
    traffic = sample["weight_bytes"] + threads * reads * sample["token_bytes"]
    return max(flops / sample["peak_flops"], traffic / sample["peak_bandwidth"]) / threads


def usable(sample: dict[str, Any], answers: dict[tuple[int, int], tuple[str | None, bool]], length: int) -> bool:
    return (sample["thread"], length) in answers or steps_run(sample, length) == 0


def steps_run(sample: dict[str, Any], length: int) -> int:
    count = 0
    while count < sample["generated_tokens"] and sample["prompt_tokens"] + count + 1 <= length:
        count += 1
    return count


def pages_shared(sample: dict[str, Any], length: int) -> set[int]:
    steps = steps_run(sample, length)
    if not steps:
        return set(prompt_pages(sample))
    return {page for page, until in enumerate(sample["page_shared"]) if until >= 1}


def prompt_pages(sample: dict[str, Any]) -> range:
    """Pages of 16 tokens of a prompt from which nothing is evicted."""
    pages = 0
    while pages * 16 < sample["prompt_tokens"]:
        pages += 1
    return range(pages * sample["layers"] * sample["kv_heads"])


def lockstep(subset: list[dict[str, Any]], length: int) -> tuple[float, float]:
    """Most tokens and bytes that the threads hold together after any step, taken all at once."""
    steps = [steps_run(sample, length) for sample in subset]
    rows = subset[0]["layers"] * subset[0]["kv_heads"]
    if not any(steps):
        prompts = sum(sample["prompt_tokens"] for sample in subset)
        return prompts, len(prompt_pages(subset[0])) * subset[0]["page_bytes"]
    tokens, pages = 0, 0
    for step in range(1, max(steps) + 1):
        running = [sample for sample, last in zip(subset, steps, strict=True) if step <= last]
        tokens = max(tokens, sum(int(sample["step_live"][step - 1]) for sample in running))
        own = sum(int(sample["step_pages"][step - 1]) for sample in running)
        shared = {page for sample in running for page, until in enumerate(sample["page_shared"]) if until >= step}
        pages = max(pages, own + len(shared))
    return tokens / rows, pages * subset[0]["page_bytes"]


def thread_outcome(sample: dict[str, Any], length: int) -> dict[str, float]:
    steps = steps_run(sample, length)
    rows = sample["layers"] * sample["kv_heads"]
    reads, peak, pages, micros, ratio = 0, 0, 0, 0, float("nan")
    for step in range(steps):
        reads += int(sample["step_reads"][step])
        peak = max(peak, int(sample["step_live"][step]))
        pages = max(pages, int(sample["step_pages"][step]))
        micros += int(sample["step_micros"][step])
        ratio = (sample["prompt_tokens"] + steps) / (int(sample["step_live"][step]) / rows)
    whole = sample["finish_reason"] == "stop" and steps == sample["generated_tokens"]
    return {
        "kv_reads": reads / rows,
        "peak_tokens_sum": peak / rows if steps else sample["prompt_tokens"],
        "pages": pages,
        "as_run_seconds": micros / 1e6,
        "mean_length": min(sample["prompt_tokens"] + steps, length),
        "truncated_share": 0.0 if whole else 1.0,
        "realised_ratio": ratio,
    }


def subset_outcome(
    subset: list[dict[str, Any]], answers: dict[tuple[int, int], tuple[str | None, bool]], length: int, pool: int
) -> dict[str, float]:
    threads = [thread_outcome(sample, length) for sample in subset]
    shared: set[int] = set()
    for sample in subset:
        shared |= pages_shared(sample, length)
    ballot: dict[str, list[bool]] = {}
    for sample in subset:
        answer, correct = answers.get((sample["thread"], length), (None, False))
        if answer is not None and steps_run(sample, length) > 0:
            ballot.setdefault(answer, []).append(correct)
    most = max((len(votes) for votes in ballot.values()), default=0)
    leaders = [votes[0] for votes in ballot.values() if len(votes) == most]
    prefill = sum(sample["prefill_seconds"] for sample in subset if steps_run(sample, length)) / len(subset)
    # vLLM's prefill is within its steps: a W-subset of the pool bears its part of it.
    whole = sum(roofline(sample, length)[0] for sample in subset) / len(subset)
    if subset[0]["engine"] == "vllm":
        whole *= len(subset) / pool
    return {
        "accuracy": sum(leaders) / len(leaders) if leaders else 0.0,
        "tied": 1.0 if len(leaders) > 1 else 0.0,
        "kv_reads": sum(thread["kv_reads"] for thread in threads),
        "peak_tokens": lockstep(subset, length)[0],
        "peak_bytes": lockstep(subset, length)[1],
        "prompt_fits": float(all(steps_run(sample, length) for sample in subset)),
        "peak_tokens_sum": sum(thread["peak_tokens_sum"] for thread in threads),
        "peak_bytes_sum": (len(shared) + sum(thread["pages"] for thread in threads)) * subset[0]["page_bytes"],
        "as_run_seconds": prefill + sum(thread["as_run_seconds"] for thread in threads),
        "roofline_seconds": whole + sum(roofline(sample, length)[1] for sample in subset),
    }
