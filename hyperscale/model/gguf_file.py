"""A .gguf file: its config, tokenizer, and weights, dequantized through transformers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hyperscale.model.spec import GATES, ModelSpec, spec_from_config, supported
from hyperscale.model.weights import Span, spans

if TYPE_CHECKING:
    from gguf import GGUFReader
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# llama.cpp stores Mistral as "llama": without a sliding window both compute the same.
ARCHITECTURES = ("llama", "qwen2", "qwen3")
_ROPE_DIVISORS = "rope_freqs.weight"


@cache
def _reader_class() -> type[GGUFReader]:
    import gguf

    own: type[GGUFReader] = gguf.GGUFReader
    return own


@lru_cache(maxsize=1)
def _parsed(path: Path, size: int, modified: int) -> GGUFReader:
    return _reader_class()(path)


def _opened(path: Path | str, *_: object) -> GGUFReader:
    """Parse a file once in a process, as long as it is the same: its vocabulary takes seconds."""
    stat = Path(path).stat()
    return _parsed(Path(path).resolve(), stat.st_size, stat.st_mtime_ns)


@contextlib.contextmanager
def _opened_once() -> Iterator[None]:
    """Let transformers, which opens a file anew for each question, take the parsed one; hide its progress bar."""
    import gguf

    _reader_class()  # Known before it is exchanged.
    own = gguf.GGUFReader
    try:
        gguf.GGUFReader = _opened
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        gguf.GGUFReader = own


class GgufFile:
    """Reader of one file. Raises ValueError if it is damaged or the decoder does not support its model."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if (beside := path.with_name(GATES)).exists():
            raise ValueError(f"{beside}: gates go with a checkpoint folder, not with a GGUF file; move one of them.")
        try:
            self._reader = _opened(path)
            self._architecture = self._field("general.architecture")
        except Exception as error:  # the reader raises many types on bytes that are no GGUF
            raise ValueError(f"{path}: not a readable GGUF file (truncated download?): {error}") from None
        if self._architecture not in ARCHITECTURES:
            raise ValueError(f"{path}: unsupported GGUF architecture {self._architecture!r}. {supported()}")
        self.config = self._read_config()

    @property
    def dtype(self) -> None:
        """None: a quantized file names no dtype to compute in."""
        return None

    def spec(self) -> ModelSpec:
        """Return the model's spec."""
        # GGUF stores the end-of-turn id apart from the end-of-text id.
        spec = spec_from_config(self.config, self._field("tokenizer.ggml.eot_token_id"))
        divisors = [tensor.data for tensor in self._reader.tensors if tensor.name == _ROPE_DIVISORS]
        if not divisors:
            return spec
        # llama.cpp stores the llama3 scaling as divisors of the frequencies, in a tensor instead of metadata.
        scaled = torch.tensor(spec.rope_frequencies) / torch.from_numpy(divisors[0].copy())
        return replace(spec, rope_type="llama3", rope_frequencies=tuple(scaled.tolist()))

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Load the tokenizer with its chat template."""
        from tokenizers import pre_tokenizers
        from transformers import AutoTokenizer

        with _opened_once():
            tokenizer = AutoTokenizer.from_pretrained(
                self.path.parent, gguf_file=self.path.name, trust_remote_code=False
            )
        if self._field("tokenizer.ggml.pre") == "smollm":
            # transformers splits as GPT-2 does; SmolLM first splits off every digit ("\n\n2" is "\n\n", "2").
            split = [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
        return tokenizer

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, float32 tensor) under the names of a checkpoint folder."""
        from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

        names = _Names(self.config, self.spec())
        with _opened_once():
            tensors = load_gguf_checkpoint(self.path, return_tensors=True, model_to_load=names)["tensors"]
        stored = sum(tensor.name != _ROPE_DIVISORS for tensor in self._reader.tensors)
        if len(tensors) != stored:
            raise ValueError(
                f"{self.path}: {stored - len(tensors)} of its tensors do not belong to the model that it declares."
            )
        yield from tensors.items()

    def _read_config(self) -> PretrainedConfig:
        from transformers import AutoConfig

        names = {tensor.name for tensor in self._reader.tensors}
        if self._own("expert_count"):
            raise ValueError(f"{self.path}: a mixture of experts. {supported()}")
        heads, hidden = self._needed("attention.head_count"), self._needed("embedding_length")
        head_dim = self._own("attention.key_length") or hidden // heads
        if (self._own("rope.dimension_count") or head_dim) != head_dim:
            raise ValueError(f"{self.path}: only part of a head is rotated. {supported()}")
        window = self._own("attention.sliding_window")
        length = self._needed("context_length")
        options = {} if self._architecture == "qwen2" else {"attention_bias": "blk.0.attn_q.bias" in names}
        return AutoConfig.for_model(
            self._architecture,
            hidden_size=hidden,
            num_attention_heads=heads,
            num_key_value_heads=self._own("attention.head_count_kv") or heads,
            head_dim=head_dim,
            num_hidden_layers=self._needed("block_count"),
            intermediate_size=self._needed("feed_forward_length"),
            vocab_size=self._own("vocab_size") or len(self._reader.fields["tokenizer.ggml.tokens"].data),
            max_position_embeddings=min(length, window or length),
            rms_norm_eps=self._needed("attention.layer_norm_rms_epsilon"),
            rope_parameters=self._rope(),
            tie_word_embeddings="output.weight" not in names,
            bos_token_id=self._field("tokenizer.ggml.bos_token_id"),
            eos_token_id=self._field("tokenizer.ggml.eos_token_id"),
            **options,
        )

    def _rope(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "rope_type": "default",
            "rope_theta": self._own("rope.freq_base") or 10000.0,
        }
        scaling = self._own("rope.scaling.type")
        if scaling not in (None, "none"):
            parameters |= {"rope_type": scaling, "factor": self._needed("rope.scaling.factor")}
        original = self._own("rope.scaling.original_context_length")
        if original is not None:
            parameters["original_max_position_embeddings"] = original
        return parameters

    def _field(self, key: str) -> Any:
        field = self._reader.get_field(key)
        return None if field is None else field.contents()

    def _own(self, key: str) -> Any:
        return self._field(f"{self._architecture}.{key}")

    def _needed(self, key: str) -> Any:
        value = self._own(key)
        if value is None:
            raise ValueError(f"{self.path}: its metadata have no {self._architecture}.{key}.")
        return value


class _Names:
    """Stand-in model from which transformers learns tensor names; a real one takes seconds to walk."""

    def __init__(self, config: PretrainedConfig, spec: ModelSpec) -> None:
        self.config = config
        self.names = spans(spec)

    def state_dict(self) -> dict[str, Span]:
        return self.names

    def named_children(self) -> tuple[()]:
        return ()
