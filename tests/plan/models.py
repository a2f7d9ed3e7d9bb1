"""Configs of models without weights: all that a plan needs."""

from __future__ import annotations

import json
from pathlib import Path


def write_llama(folder: Path, **changes: int) -> Path:
    """A folder with the config of a tiny llama."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "head_dim": 16,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
        "vocab_size": 100, "max_position_embeddings": 4096, "eos_token_id": 1, "bos_token_id": 0,
        "tie_word_embeddings": False,
    } | changes  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder
