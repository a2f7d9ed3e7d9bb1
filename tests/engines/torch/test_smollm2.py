"""The engine on a real model: greedy output against transformers' own `generate`."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import PreTrainedModel

from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import Model
from tests.shared_data import shared_rows

PROMPTS, NEW_TOKENS = 20, 10


def test_greedy_output_is_that_of_generate_token_for_token(smollm2: Model, smollm2_reference: PreTrainedModel) -> None:
    rows = shared_rows("gsm8k/test.jsonl")
    if rows is None:
        pytest.skip("the shared GSM8K rows are not here")
    # Short ones, among them of many lengths: transformers reads them one by one.
    with rows.open() as lines:
        questions = sorted((json.loads(line)["question"] for line in lines), key=len)[: 3 * PROMPTS : 3]
    prompts = [tuple(encode_prompt(smollm2.tokenizer, question)) for question in questions]
    cap = max(map(len, prompts)) + NEW_TOKENS
    jobs = [Job("gsm8k", str(i), p, {0: len(p) + NEW_TOKENS}) for i, p in enumerate(prompts)]
    engine = TorchEngine(smollm2, sampling=Sampling(temperature=0), length_cap=cap, max_batch=8)
    ours = {int(chain.problem_id): chain.tokens.tolist() for chain in engine.generate(jobs)}

    for i, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        out = smollm2_reference.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
            eos_token_id=sorted(smollm2.eos_ids), pad_token_id=0,
        )  # fmt: skip
        assert ours[i] == out[0, len(prompt) :].tolist(), questions[i]
    assert len(ours) == PROMPTS
