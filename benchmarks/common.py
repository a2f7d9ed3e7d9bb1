"""Shared parts of the benchmarks: the model, its prompts, paired timing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import Model, load_model
from hyperscale.tasks.load import load_problems, load_task

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CONSOLE = Console(width=120)


def smollm2() -> Path:
    """Return the GGUF file that `make model` fetches; SystemExit if it is missing."""
    default = Path(__file__).parents[1] / ".models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path = Path(os.environ.get("HYPERSCALE_SMOLLM2", default))
    if not path.is_file():
        raise SystemExit(f"{path} is missing; run: make model")
    return path


def ours(dtype: str, endless: bool = False) -> Model:
    """Load SmolLM2 into our decoder; `endless` drops its end-of-sequence ids."""
    model = load_model(str(smollm2()), dtype=dtype, device="cpu")
    return replace(model, eos_ids=frozenset()) if endless else model


def theirs(dtype: str) -> Any:
    """Load SmolLM2 into transformers, from the same file."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    path = smollm2()
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
    # `from_pretrained(gguf_file=...)` requires accelerate, which nothing else here needs.
    content = load_gguf_checkpoint(path, return_tensors=True, model_to_load=model)
    model.load_state_dict(content["tensors"], strict=False)
    model.tie_weights()
    return model.eval()


def prompts(model: Model, count: int) -> list[tuple[int, ...]]:
    """Encode `count` prompts of the arithmetic task, repeating them if there are fewer."""
    problems = load_problems(load_task("arithmetic")).problems
    encoded = [tuple(encode_prompt(model.tokenizer, problem.prompt, problem.system)) for problem in problems]
    return [encoded[i % len(encoded)] for i in range(count)]


def seconds(call: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def paired(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each call, measured in turns, so that machine noise hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return {name: median(values) for name, values in times.items()}


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table with right-aligned columns."""
    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)
