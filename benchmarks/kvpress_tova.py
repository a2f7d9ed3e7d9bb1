"""Record the tokens that kvpress' TOVA evicts on a tiny model, the reference of tests/backends/test_kvpress.py.

kvpress 0.5.5 requires transformers below 5.3 and pandas below 3, so it lives in an environment of its own:

    python -m venv /some/place && /some/place/bin/pip install kvpress==0.5.5
    PYTHONPATH=. /some/place/bin/python -m benchmarks.kvpress_tova > tests/backends/kvpress_tova.json

Agreements and differences of the two definitions:

* Score: both take the last query's attention, over all heads of the layer (kvpress their mean, we their sum), and
  keep one set for all KV heads.
* The newest token: kvpress never drops it, which is our `recent_window=2` (the paper does not require it).
* While decoding, `DecodingPress(TOVAPress(), compression_interval=1, target_size=B - 1)` attends B tokens and drops
  one of them after each step. That is our budget B: an evicted token stays in its place until the next one
  overwrites it. (kvpress' own default drops 512 tokens at once every 512 steps, by one query's attention.)
* A prompt: kvpress attends it densely at any length and drops the excess at once, by the last query's attention; ours
  is dense up to B and then token by token, as in the paper. The two agree if the excess is one token: a prompt of B
  tokens cut to B - 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from kvpress import DecodingPress, TOVAPress
from transformers import AutoModelForCausalLM, DynamicCache

from tests.tiny_models import write_tiny_model

BUDGET, PROMPT, STEPS = 24, 16, 60


class Recorded(TOVAPress):
    """TOVA that records the positions each layer holds, and the least margin of its choices."""

    def __init__(self, layers: int, held: int, compression_ratio: float = 0.0) -> None:
        super().__init__(compression_ratio)
        self.positions = [list(range(held)) for _ in range(layers)]
        self.seen = [held] * layers
        self.dropped: list[list[int]] = [[] for _ in range(layers)]
        self.gap = float("inf")

    def score(self, *args):
        scores = super().score(*args)
        low, high = scores[0, 0].sort().values[:2].tolist()
        self.gap = min(self.gap, (high - low) / high)
        return scores

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        layer = module.layer_idx
        while len(self.positions[layer]) < keys.shape[2]:
            self.positions[layer].append(self.seen[layer])
            self.seen[layer] += 1
        kept, kept_values = super().compress(module, hidden_states, keys, values, attentions, kwargs)
        places = [(keys[0] == kept[0, :, i : i + 1]).all(-1) for i in range(kept.shape[2])]
        assert all((place.sum(-1) == 1).all() and (place == place[0]).all() for place in places)
        before = self.positions[layer]
        self.positions[layer] = [before[int(place[0].int().argmax())] for place in places]
        self.dropped[layer] += sorted(set(before) - set(self.positions[layer]))
        return kept, kept_values


@torch.inference_mode()
def main() -> None:
    """Run kvpress while decoding and on a prompt; print the record as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_model(Path(folder), "llama", seed=3)
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    layers = model.config.num_hidden_layers
    tokens = [20 + (37 * t * t + 11 * t) % 229 for t in range(PROMPT + STEPS)]

    decoding = Recorded(layers, PROMPT)
    cache = DynamicCache()
    with DecodingPress(decoding, compression_interval=1, target_size=BUDGET - 1, hidden_states_buffer_size=1)(model):
        model(torch.tensor([tokens[:PROMPT]]), past_key_values=cache)
        for t in range(PROMPT, len(tokens)):
            at = torch.tensor([t])
            out = model(torch.tensor([[tokens[t]]]), past_key_values=cache, cache_position=at, position_ids=at[None])
    assert [layer.keys.shape[2] for layer in cache.layers] == [BUDGET - 1] * layers

    prefill = Recorded(layers, 0, compression_ratio=0.5 / BUDGET)
    with prefill(model):
        model(torch.tensor([tokens[:BUDGET]]), past_key_values=DynamicCache())

    print(f"least gap: {decoding.gap:.1e} decoding, {prefill.gap:.1e} prefill", file=sys.stderr)
    assert min(decoding.gap, prefill.gap) > 1e-4, "the margin is too small for fp32; use another seed"
    record = {
        "made_by": "benchmarks/kvpress_tova.py, kvpress 0.5.5",
        "budget": BUDGET,
        "prompt": PROMPT,
        "tokens": tokens,
        "dropped_while_decoding": decoding.dropped,
        "dropped_from_a_prompt_of_the_budget": prefill.dropped,
        "last_logits": [round(x, 6) for x in out.logits[0, -1, :8].tolist()],
    }
    print("{\n" + ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in record.items()) + "\n}")


if __name__ == "__main__":
    main()
