"""Next-token loss of given answers under each KV-cache backend, and the KL of its predictions from vanilla's.

The engine runs as in a sweep, but each next token is the given answer's. Documents are GSM8K problems with their
solutions, in the model's chat template; only a solution's tokens count. B = L / CR with one L for all, the longest
document allowed. Loss and KL are in nats per token, with intervals over documents, paired with vanilla.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor
from torch.nn.functional import log_softmax

from benchmarks.common import print_table
from hyperscale.backends import backend_class
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.torch.sequence import Thread
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import Model, load_model
from hyperscale.model.source import checkpoint_of, family_of
from hyperscale.tasks.load import load_task

GATED = ("dms", "dmc")


class Forced(TorchEngine):
    """Engine that takes each thread's next token from `answers` and records the model's log-probabilities."""

    answers: dict[str, list[int]]
    log_probs: dict[str, list[Tensor]]

    def _sample(self, threads: list[Thread], logits_nv: Tensor) -> ValueError | None:
        for thread, logits_v in zip(threads, logits_nv.expand(len(threads), -1), strict=True):
            name = thread.prompt.job.problem_id
            self.log_probs[name].append(log_softmax(logits_v.float(), dim=-1))
            thread.tokens.append(self.answers[name][len(thread.tokens)])
        return None


def documents(
    model: Model, rows: Iterable[dict[str, Any]], count: int, length: int
) -> dict[str, tuple[list[int], list[int]]]:
    """Encode prompt and answer of the first `count` documents that fit into `length` tokens."""
    task, found = load_task("gsm8k"), {}
    for index, row in enumerate(rows):
        prompt = encode_prompt(model.tokenizer, task.render(row["question"]), None)
        answer = model.tokenizer.encode(row["answer"], add_special_tokens=False) + sorted(model.eos_ids)[:1]
        if len(prompt) + len(answer) <= length:
            found[str(index)] = (list(prompt), list(answer))
        if len(found) == count:
            break
    return found


def log_probs(
    model: Model, backend: str, budget: int | None, docs: dict[str, tuple[list[int], list[int]]], length: int
) -> tuple[dict[str, Tensor], float]:
    """Return log p of the vocabulary at every position of each answer, and the mean compression reached."""
    engine = Forced(
        model,
        sampling=Sampling(temperature=1.0, top_p=1.0, seed=0),
        length_cap=length,
        policy=backend_class(backend),
        cache_budget=budget,
    )
    engine.answers = {name: answer for name, (_, answer) in docs.items()}
    engine.log_probs = {name: [] for name in docs}
    jobs = [
        Job("gsm8k", name, tuple(prompt), {0: len(prompt) + len(answer)}) for name, (prompt, answer) in docs.items()
    ]
    rows = model.spec.layers * model.spec.kv_heads
    reached = [
        (chain.prompt_tokens + len(chain.tokens)) * rows / chain.step_live[-1] for chain in engine.generate(jobs)
    ]
    return {name: torch.stack(kept[: len(docs[name][1])]) for name, kept in engine.log_probs.items()}, float(
        np.mean(reached)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a model, or a family of its retrofits")
    parser.add_argument("--data", type=Path, required=True, help="GSM8K rows, .jsonl")
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--backends", default="quest,tova,h2o,random,dms,dmc")
    parser.add_argument("--cr", default="2,4")
    parser.add_argument("--dtype", default="bfloat16")
    asked = parser.parse_args()
    with asked.data.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    name, model = asked.model, load_model(asked.model, dtype=asked.dtype, device="cpu")
    docs = documents(model, rows, asked.documents, asked.length)
    answers = {key: torch.tensor(answer) for key, (_, answer) in docs.items()}

    def losses(found: dict[str, Tensor]) -> np.ndarray:
        return np.array([-found[key].gather(1, answers[key][:, None]).mean().item() for key in docs])

    vanilla, _ = log_probs(model, "vanilla", None, docs, asked.length)
    base = losses(vanilla)
    family = family_of(asked.model)
    table = [["vanilla", "", "1.00", f"{base.mean():.4f}", "", ""]]
    for backend in asked.backends.split(","):
        for ratio in map(float, asked.cr.split(",")):
            if backend in GATED and (family is None or (backend, ratio) not in family.members):
                continue
            wanted = checkpoint_of(asked.model, backend, ratio)
            if wanted != name:
                name, model = wanted, load_model(wanted, dtype=asked.dtype, device="cpu")
            budget = round(asked.length / ratio) if backend_class(backend).knows_length else None
            found, reached = log_probs(model, backend, budget, docs, asked.length)
            worse = losses(found) - base
            low, high = bootstrap((worse,), np.mean, n_resamples=5000, rng=np.random.default_rng(0)).confidence_interval
            kl = np.mean([(vanilla[key].exp() * (vanilla[key] - found[key])).sum(1).mean().item() for key in docs])
            table.append(
                [
                    backend,
                    f"{ratio:g}",
                    f"{reached:.2f}",
                    f"{base.mean() + worse.mean():.4f}",
                    f"{worse.mean():+.4f} ({low:+.4f} to {high:+.4f})",
                    f"{kl:.4f}",
                ]
            )
            print(table[-1], flush=True)
    tokens = sum(map(len, answers.values()))
    print_table(
        f"{len(docs)} documents, {tokens:,} tokens of answers, L = {asked.length}",
        ["backend", "CR", "reached", "loss", "over vanilla", "KL"],
        table,
    )


if __name__ == "__main__":
    main()
