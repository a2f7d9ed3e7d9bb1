"""Batches of the text that a config names, or of the original's own samples: its answers under full attention."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.model.chat import encode_prompt, template_sha
from hyperscale.model.load import Model
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.parts import Parts
from hyperscale.results.schema import Column
from hyperscale.retrofit.batches import Batch, Batches, padded
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.log import Row
from hyperscale.retrofit.parallel import World
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.text import PackedText, Texts, read_hub, read_jsonl

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLES = "samples"
"""Folder of the samples within the run's, in parts that are written once."""

TASK = "retrofit"
"""Task name in the engine's random numbers."""

_MAX_BATCH = 128

# One line per column keeps this readable as a table.
# fmt: off
COLUMNS = [
    Column("prompt", pa.int64(), "", "Index of the prompt among the texts."),
    Column("thread", pa.int64(), "", "Index of the answer to its prompt."),
    Column("prompt_tokens", pa.int64(), "tokens", "Length of the prompt."),
    Column("finish_reason", pa.string(), "", "`stop`: end of sequence; `length`: cut at --context."),
    Column("tokens", pa.list_(pa.int32()), "", "Ids of prompt and answer, the end-of-sequence token included."),
]
# fmt: on

_SCHEMA = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])

MakeBatches = Callable[["PreTrainedTokenizerBase"], Batches]
"""Maker of batches, called once the model's tokenizer is loaded."""


class Key(NamedTuple):
    """Key of a sample: prompt and answer; with the seed it determines every token."""

    prompt: int
    thread: int


class OwnSamples:
    """Batches of one sample per row: the prompt's ids and those that the model drew.

    All prompts are answered once in a shuffled order, then again in another. So rows do not depend on their number: a
    longer run keeps the samples it has and draws more.
    """

    def __init__(self, prompts: Texts, tokenizer: PreTrainedTokenizerBase, config: RetrofitConfig) -> None:
        """Encode the prompts; ValueError names one that leaves no room for an answer."""
        self.identity = f"the model's answers to {prompts.identity}, chat template {template_sha(tokenizer)}"
        self._config = config
        self._keys = row_keys(len(prompts.texts), config.rows, config.seed)
        self._prompts: dict[int, tuple[int, ...]] = {}
        self._samples: dict[Key, NDArray[np.int32]] = {}
        for index in dict.fromkeys(key.prompt for key in self._keys):
            tokens = tuple(encode_prompt(tokenizer, prompts.texts[index]))
            if not tokens:
                raise ValueError(f"{prompts.place(index)}: a prompt without tokens; remove it")
            if len(tokens) >= config.context:
                raise ValueError(
                    f"{prompts.place(index)}: a prompt of {len(tokens):,} tokens leaves no room for an answer within "
                    f"--context {config.context:,}; raise it or shorten the prompt"
                )
            self._prompts[index] = tokens

    def batch(self, step: int) -> Batch:
        """Return the batch_size rows from (step - 1) * batch_size on, which must be drawn already."""
        size = self._config.batch_size
        return padded([self._samples[key].tolist() for key in self._keys[(step - 1) * size : step * size]])

    def draw(self, model: Model, world: World, progress: Progress, interrupt: Interrupt) -> bool:
        """Read the samples in the run's folder and draw the others; return False if a signal interrupted that.

        Samples are on disk within `save_minutes`. Raise ValueError if several processes lack samples.
        """
        folder = self._config.output_dir / SAMPLES
        self._samples = _read(folder, set(self._keys))
        if len(self._samples) == len(self._keys):
            return True
        if world.size > 1:
            raise ValueError(
                f"--data-from-model: {len(self._keys) - len(self._samples):,} samples are still to be drawn, which one "
                "process does: begin without torchrun, interrupt it once it trains, and resume with torchrun"
            )
        self._draw(model, Parts(folder, _SCHEMA), progress, interrupt)
        return len(self._samples) == len(self._keys)

    def _draw(self, model: Model, parts: Parts, progress: Progress, interrupt: Interrupt) -> None:
        from hyperscale.engines.torch.engine import TorchEngine

        config, rows = self._config, len(self._keys)
        assert config.sample_temperature is not None
        sampling = Sampling(temperature=config.sample_temperature, top_p=1.0, seed=config.seed)
        # Batch-invariant: after a kill, the remaining samples run in another batch and must not change.
        engine = TorchEngine(
            model, sampling=sampling, length_cap=config.context, max_batch=_MAX_BATCH, batch_invariant=True
        )
        unsaved: list[Row] = []
        saved = time.monotonic()
        progress.sampling(len(self._samples), rows)
        for chain in interrupt.take(engine.generate(self._jobs())):
            key = Key(int(chain.problem_id), chain.thread)
            self._samples[key] = np.array([*self._prompts[key.prompt], *chain.tokens], np.int32)
            unsaved.append(_row(key, chain, self._samples[key]))
            if time.monotonic() - saved >= 60 * config.save_minutes:
                _append(parts, unsaved)
                saved = time.monotonic()
            progress.sampling(len(self._samples), rows)
        _append(parts, unsaved)

    def _jobs(self) -> list[Job]:
        """Make a job for each prompt that lacks samples; its threads share the prefilled prompt."""
        lacking: dict[int, dict[int, int]] = {}
        for key in self._keys:
            if key not in self._samples:
                lacking.setdefault(key.prompt, {})[key.thread] = self._config.context
        return [Job(TASK, str(index), self._prompts[index], caps) for index, caps in lacking.items()]


def row_keys(prompts: int, rows: int, seed: int) -> list[Key]:
    """Return the sample key of each row."""
    rounds = -(-rows // prompts)
    keys = [
        Key(int(prompt), thread)
        for thread in range(rounds)
        for prompt in np.random.default_rng([seed, thread]).permutation(prompts)
    ]
    return keys[:rows]


def _read(folder: Path, wanted: set[Key]) -> dict[Key, NDArray[np.int32]]:
    """Read the wanted samples of a folder; create nothing if it does not exist."""
    if not folder.exists():
        return {}
    parts = Parts(folder, _SCHEMA)
    found = {}
    for part in parts:
        columns = (column.to_pylist() for column in parts.read(part, ["prompt", "thread", "tokens"]).columns)
        for prompt, thread, tokens in zip(*columns, strict=True):
            if (key := Key(prompt, thread)) in wanted:
                found[key] = np.array(tokens, np.int32)
    return found


def _row(key: Key, chain: Chain, tokens: NDArray[np.int32]) -> Row:
    return {
        "prompt": key.prompt,
        "thread": key.thread,
        "prompt_tokens": chain.prompt_tokens,
        "finish_reason": chain.finish_reason,
        "tokens": tokens,
    }


def _append(parts: Parts, rows: list[Row]) -> None:
    """Write rows as a part and clear them."""
    if rows:
        parts.append(pa.Table.from_pylist(rows, schema=_SCHEMA))
        rows.clear()


def text_batches(config: RetrofitConfig) -> MakeBatches:
    """Read the text that the config names; return a maker of batches of it, or of the model's answers to it.

    Raise ValueError if it cannot be read.
    """
    texts = _texts_of(config)

    def make(tokenizer: PreTrainedTokenizerBase) -> Batches:
        if config.data_from_model:
            return OwnSamples(texts, tokenizer, config)
        return PackedText(
            texts, tokenizer,
            context=config.context, batch_size=config.batch_size, rows=config.rows, seed=config.seed,
        )  # fmt: skip

    return make


def _texts_of(config: RetrofitConfig) -> Texts:
    if config.data is not None:
        return read_jsonl(config.data, config.text_field)
    if config.dataset is not None:
        return read_hub(config.dataset, config.dataset_config, config.split, config.dataset_revision, config.text_field)
    raise ValueError("say what to train on: --data FILE.jsonl or --dataset HUB_ID")
