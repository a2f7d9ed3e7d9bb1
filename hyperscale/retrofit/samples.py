"""The model's own samples as data: before the first step the original, with full attention, answers prompts."""

from __future__ import annotations

import time
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
from hyperscale.retrofit.batches import Batch, padded
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.log import Row
from hyperscale.retrofit.parallel import World
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.text import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLES = "samples"
"""Folder of the run that holds them, as parts that are each written once."""

TASK = "retrofit"
"""Name under which the engine draws."""

_MAX_BATCH = 128

# One line a column keeps the table readable as a table.
# fmt: off
COLUMNS = [
    Column("prompt", pa.int64(), "", "Which of the texts is answered, from 0."),
    Column("thread", pa.int64(), "", "Which of its answers this is, from 0."),
    Column("prompt_tokens", pa.int64(), "tokens", "Length of the prompt."),
    Column("finish_reason", pa.string(), "", "`stop`: the model ended its answer; `length`: --context did."),
    Column("tokens", pa.list_(pa.int32()), "", "Ids of prompt and answer, the end-of-sequence token included."),
]
# fmt: on

_SCHEMA = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])


class Key(NamedTuple):
    """A sample: which prompt, and which of its answers. With the seed it decides every token."""

    prompt: int
    thread: int


class OwnSamples:
    """One sample a row, each a document: the ids that the model was given and those that it drew.

    All prompts are answered once, in a shuffled order, then again in another one. So rows do not depend on how many
    there are: a run that goes on further draws more, and keeps those that it has.
    """

    def __init__(self, prompts: Texts, tokenizer: PreTrainedTokenizerBase, config: RetrofitConfig) -> None:
        """ValueError names a prompt that leaves no room for an answer."""
        self.identity = f"the model's answers to {prompts.identity}, chat template {template_sha(tokenizer)}"
        self._config = config
        self._keys = row_keys(len(prompts.texts), config.rows, config.seed)
        self._prompts: dict[int, tuple[int, ...]] = {}
        self._samples: dict[Key, NDArray[np.int32]] = {}
        for index in dict.fromkeys(key.prompt for key in self._keys):
            tokens = tuple(encode_prompt(tokenizer, prompts.texts[index]))
            if not tokens:
                raise ValueError(f"{prompts.place(index)}: a prompt without tokens")
            if len(tokens) >= config.context:
                raise ValueError(
                    f"{prompts.place(index)}: a prompt of {len(tokens):,} tokens leaves no room for an answer within "
                    f"--context {config.context:,}"
                )
            self._prompts[index] = tokens

    def batch(self, step: int) -> Batch:
        """Rows (step - 1) * batch_size and on; they must have been drawn."""
        size = self._config.batch_size
        return padded([self._samples[key].tolist() for key in self._keys[(step - 1) * size : step * size]])

    def draw(self, model: Model, world: World, progress: Progress, interrupt: Interrupt) -> bool:
        """Read the samples that the run's folder holds, and draw the others; False if a signal broke that off.

        What is drawn is on disk `save_minutes` later at most. ValueError if there is something to draw for several
        processes.
        """
        folder = self._config.output_dir / SAMPLES
        self._samples = _read(folder, set(self._keys))
        if len(self._samples) == len(self._keys):
            return True
        if world.size > 1:
            raise ValueError(
                f"--data-from-model: {len(self._keys) - len(self._samples):,} samples are still to be drawn, which one "
                "process does: begin without torchrun, interrupt it once it trains, and go on with torchrun"
            )
        self._draw(model, Parts(folder, _SCHEMA), progress, interrupt)
        return len(self._samples) == len(self._keys)

    def _draw(self, model: Model, parts: Parts, progress: Progress, interrupt: Interrupt) -> None:
        from hyperscale.engines.torch.engine import TorchEngine

        config, rows = self._config, len(self._keys)
        assert config.sample_temperature is not None
        sampling = Sampling(temperature=config.sample_temperature, top_p=1.0, seed=config.seed)
        # What a killed run had still to draw runs in another batch: it must not come out otherwise.
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
        """A job for each prompt that lacks samples: its threads share the prefilled prompt."""
        lacking: dict[int, dict[int, int]] = {}
        for key in self._keys:
            if key not in self._samples:
                lacking.setdefault(key.prompt, {})[key.thread] = self._config.context
        return [Job(TASK, str(index), self._prompts[index], caps) for index, caps in lacking.items()]


def row_keys(prompts: int, rows: int, seed: int) -> list[Key]:
    """The sample of each row."""
    rounds = -(-rows // prompts)
    keys = [
        Key(int(prompt), thread)
        for thread in range(rounds)
        for prompt in np.random.default_rng([seed, thread]).permutation(prompts)
    ]
    return keys[:rows]


def _read(folder: Path, wanted: set[Key]) -> dict[Key, NDArray[np.int32]]:
    """The samples of a folder that are wanted. Nothing is made where there is none."""
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
    """Write rows as a part, and forget them."""
    if rows:
        parts.append(pa.Table.from_pylist(rows, schema=_SCHEMA))
        rows.clear()
