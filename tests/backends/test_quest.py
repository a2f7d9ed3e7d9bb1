"""What is special about Quest: which pages a query head attends, their bounds, and what both cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.attention.base import DecodeAttention
from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.backends.base import PolicyContext
from hyperscale.backends.memory import BlockBounds
from hyperscale.backends.quest import Quest, QuestSettings
from hyperscale.backends.vanilla import Vanilla
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.model.load import Model, load_model
from hyperscale.testing.bench import Bench, random_run
from hyperscale.testing.subject import Shape
from tests.backends.subjects import subject
from tests.tiny_models import write_tiny_model

KERNELS: dict[torch.dtype, Callable[[BlockTable, int], DecodeAttention]] = {
    torch.float32: CpuAttention,
    torch.bfloat16: CpuAttention,
    torch.float16: GatheredAttention,
}
HEAD_DIM = 8


def new_quest(
    budget: int, *, kv_heads: int = 1, group: int = 1, seqs: int = 4, max_length: int = 200,
    dtype: torch.dtype = torch.float32, **fields: Any,
) -> Quest:  # fmt: skip
    table = BlockTable(
        layers=1, kv_heads=kv_heads, head_dim=HEAD_DIM, seqs=seqs, max_length=max_length,
        blocks=kv_heads * seqs * blocks_for(max_length), dtype=dtype, device=torch.device("cpu"),
    )  # fmt: skip
    heads = kv_heads * group
    context = PolicyContext(table, Meter(table, seqs), KERNELS[dtype](table, heads), budget)
    return Quest(context, QuestSettings(**fields))


def feed(quest: Quest, k_tkd: torch.Tensor, seq: int | None = None) -> int:
    """A sequence of these keys, token by token, whose values are its keys and whose queries are zero."""
    seq = quest.table.open() if seq is None else seq
    q_1hd = torch.zeros(1, k_tkd.shape[1], HEAD_DIM, dtype=k_tkd.dtype)
    for k_kd in k_tkd:
        quest.decode(0, np.array([seq]), q_1hd, *[k_kd[None]] * 2)
        quest.meter.take(np.array([seq]))
    return seq


def keys(tokens: int, kv_heads: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(tokens, kv_heads, HEAD_DIM, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("kernel", [CpuAttention, GatheredAttention])
@settings(max_examples=12, deadline=None)
@given(
    page_size=st.sampled_from([16, 32, 48]),
    budget=st.integers(1, 130),
    dense_layers=st.integers(0, 2),
    count_metadata_reads=st.booleans(),
    group=st.sampled_from([1, 3, 5]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 2**32),
)
def test_every_step_is_the_references(
    kernel, page_size, budget, dense_layers, count_metadata_reads, group, dtype, seed
):
    fields = QuestSettings(page_size, dense_layers, count_metadata_reads)
    budget = max(budget, page_size)
    bench = Bench(subject("quest", fields), budget, Shape(group=group, dtype=dtype, max_length=160), kernel)
    assert isinstance(bench.backend, Quest)
    bench.backend.bounds.quick = kernel is CpuAttention
    random_run(bench, np.random.default_rng(seed), steps=40)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("page_size", [16, 32])
def test_the_choice_is_by_the_bounds_of_the_keys(dtype, page_size):
    """Bit for bit, over ragged lengths: on a grid of quarters every sum is exact in fp32."""
    quest = new_quest(4 * page_size, kv_heads=2, group=3, max_length=400, dtype=dtype, page_size=page_size)
    lengths = [4 * page_size + 1, 6 * page_size, 7 * page_size + 5, 12 * page_size]
    stored = [(4 * keys(length, 2, seed)).round().div(4) for seed, length in enumerate(lengths)]
    seqs = np.array([feed(quest, k_tkd.to(dtype)) for k_tkd in stored])
    q_nhd = (4 * torch.randn(len(seqs), 6, HEAD_DIM, generator=torch.Generator().manual_seed(9))).round().div(4)
    assert quest.bounds.quick == (dtype != torch.float16)
    for quick in {quest.bounds.quick, False}:
        quest.bounds.quick = quick
        chosen_nhc = quest.bounds.best(0, seqs, q_nhd.to(dtype), 3)
        for i, k_tkd in enumerate(stored):
            full = (len(k_tkd) - 1) // page_size
            k_ptkd = k_tkd[: full * page_size].unflatten(0, (full, page_size))
            for head in range(6):
                products_btd = q_nhd[i, head] * k_ptkd[:, :, head // 3]
                scores_p = products_btd.amax(1).sum(-1)  # The greatest product of a channel is one of its bounds'.
                best = scores_p.sort(descending=True, stable=True).indices[:3]
                assert chosen_nhc[i, head].tolist() == sorted(best.tolist())


@pytest.mark.parametrize("quick", [True, False])
def test_of_pages_that_score_the_same_the_first_are_taken(quick):
    quest = new_quest(64)
    seq = feed(quest, torch.cat([keys(16)] * 8))
    quest.bounds.quick = quick
    assert quest.bounds.best(0, np.array([seq]), torch.zeros(1, 1, HEAD_DIM), 3).tolist() == [[[0, 1, 2]]]
    assert quest.bounds.best(0, np.array([seq]), torch.ones(1, 1, HEAD_DIM), 3).tolist() == [[[0, 1, 2]]]


@pytest.mark.parametrize("quick", [True, False])
def test_nan_is_passed_on_and_breaks_nothing(quick):
    quest = new_quest(64)
    seq = feed(quest, keys(128))
    quest.bounds.quick = quick
    out_nhd = quest.decode(0, np.array([seq]), torch.full((1, 1, HEAD_DIM), torch.nan), keys(1), keys(1))
    assert out_nhd.isnan().all()


@pytest.mark.parametrize("length", [65, 79, 80, 81])
def test_the_newest_page_is_always_attended(length):
    """Its keys are opposed to the query and its values stand out."""
    quest = new_quest(48)
    k_tkd = torch.ones(length, 1, HEAD_DIM)
    newest = (length - 1) // BLOCK_SIZE * BLOCK_SIZE
    k_tkd[newest:] = -1
    seq = feed(quest, k_tkd[:-1])
    out = quest.decode(0, np.array([seq]), torch.full((1, 1, HEAD_DIM), 0.01), k_tkd[-1:], k_tkd[-1:])
    weight, tokens = np.exp(-0.02 * HEAD_DIM / np.sqrt(HEAD_DIM)), length - newest
    expected = (32 - weight * tokens) / (32 + weight * tokens)
    np.testing.assert_allclose(out.numpy(), np.full((1, 1, HEAD_DIM), expected), rtol=1e-5)
    assert quest.meter.take(np.array([seq])).reads.tolist() == [32 + tokens]


def test_the_needle_is_found_in_a_page_that_forks_filled_differently():
    """A page partly filled by the prompt and finished by each fork has bounds of each fork's own keys."""
    quest = new_quest(32, seqs=3)
    prompt = quest.table.open()
    k_tkd = 0.01 * keys(24)
    quest.prefill(0, prompt, torch.zeros(24, 1, HEAD_DIM), k_tkd, k_tkd)
    seqs = np.array([quest.table.fork(prompt) for _ in range(2)])
    needle = torch.zeros(2, 1, HEAD_DIM)
    needle[1, 0, 0] = 100.0  # The second fork's 25th token.
    for token in [needle, *0.01 * keys(40, 2, seed=1)[:, :, None]]:
        quest.decode(0, seqs, torch.zeros(2, 1, HEAD_DIM), token, token)
    q_nhd = torch.zeros(2, 1, HEAD_DIM)
    q_nhd[:, :, 0] = 1.0
    out_nhd = quest.decode(0, seqs, q_nhd, torch.zeros(2, 1, HEAD_DIM), torch.zeros(2, 1, HEAD_DIM))
    assert abs(out_nhd[0, 0, 0]) < 1
    assert out_nhd[1, 0, 0] > 99
    assert quest.bounds.best(0, seqs, q_nhd, 1)[1, 0] == 1


def test_a_page_that_is_used_again_has_bounds_of_its_new_keys():
    quest = new_quest(32, seqs=1, max_length=96)
    first = feed(quest, 100 * keys(96))
    quest.table.close(first)
    seqs = np.array([feed(quest, k_tkd := keys(90, seed=1))])
    for seed in range(10):
        q_d = keys(1, seed=seed)[0, 0]
        scores_p = (q_d * k_tkd[:80, 0].unflatten(0, (5, 16))).amax(1).sum(-1)
        assert quest.bounds.best(0, seqs, q_d[None, None], 1).item() == scores_p.argmax()


@pytest.mark.parametrize(("count", "length", "expected"), [(False, 80, 32), (True, 80, 36), (True, 32, 32)])
def test_reads_of_bounds_are_counted_when_asked(count, length, expected):
    quest = new_quest(32, count_metadata_reads=count)
    seq = feed(quest, keys(length - 1))
    quest.decode(0, np.array([seq]), keys(1), keys(1), keys(1))
    assert quest.meter.take(np.array([seq])).reads.tolist() == [expected]


def test_pages_that_several_heads_attend_are_read_once():
    quest = new_quest(32, group=3)
    k_tkd = torch.zeros(80, 1, HEAD_DIM)
    for page in range(4):
        k_tkd[16 * page + 3, 0, page] = 1.0
    seq = feed(quest, k_tkd)
    for wanted, distinct in (((0, 0, 0), 1), ((0, 2, 2), 2), ((1, 3, 0), 3)):
        q_nhd = torch.eye(HEAD_DIM)[list(wanted)][None]
        fork = quest.table.fork(seq)
        quest.decode(0, np.array([fork]), q_nhd, keys(1), keys(1))
        # The token above went into a sixth page: each head attends it and one more.
        assert quest.meter.take(np.array([fork])).reads.tolist() == [16 * distinct + 1]
        quest.table.close(fork)


@pytest.mark.parametrize(
    ("field", "value"), [("page_size", 24), ("page_size", 0), ("page_size", -16), ("dense_layers", -1)]
)
def test_settings_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        QuestSettings(**{field: value})


def test_a_budget_of_less_than_a_page_is_refused():
    Quest.check_budget(16, QuestSettings())
    for budget, chosen in ((15, QuestSettings()), (32, QuestSettings(page_size=48))):
        with pytest.raises(ValueError, match=rf"budget of {budget} tokens a row is less than a page"):
            Quest.check_budget(budget, chosen)


def test_memory_is_that_of_the_full_sequence():
    vanilla, quest = BlockBounds(4, Vanilla, None), BlockBounds(4, Quest, 32)
    assert quest.prompt(100) == vanilla.prompt(100)
    assert quest.thread(100, 333) == vanilla.thread(100, 333)
    assert quest.least(333) == vanilla.least(333)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = write_tiny_model(tmp_path_factory.mktemp("model") / "qwen3", "qwen3", num_key_value_heads=2)
    return load_model(str(folder), dtype="float32", device="cpu")


def test_a_budget_that_covers_the_cap_gives_vanillas_tokens_and_reads(model):
    options: dict[str, Any] = {"sampling": Sampling(seed=3), "length_cap": 90, "memory_budget": 2**26}
    job = Job("task", "p", tuple(range(20, 60)), dict.fromkeys(range(3), 90))
    vanilla = TorchEngine(model, **options).generate([job])
    for ours, theirs in zip(
        TorchEngine(model, policy=Quest, cache_budget=96, **options).generate([job]), vanilla, strict=True
    ):
        assert ours.tokens.tolist() == theirs.tokens.tolist()
        assert ours.step_reads.tolist() == theirs.step_reads.tolist()


def test_bytes_include_the_bounds_and_tokens_do_not(model):
    options: dict[str, Any] = {"sampling": Sampling(temperature=0.0), "length_cap": 90, "memory_budget": 2**26}
    vanilla = TorchEngine(model, **options)
    quest = TorchEngine(model, policy=Quest, cache_budget=32, **options)
    assert quest.cache_shape.token_bytes == vanilla.cache_shape.token_bytes
    assert quest.cache_shape.page_bytes == 17 * quest.cache_shape.token_bytes
    assert vanilla.cache_shape.page_bytes == 16 * quest.cache_shape.token_bytes
    assert isinstance(quest._backend, Quest)
    pools = (quest._backend.bounds._bounds_b2d, quest._table.k_btd, quest._table.v_btd)
    assert sum(pool.nbytes for pool in pools) == quest._table.blocks * quest.cache_shape.page_bytes
    job = Job("task", "p", tuple(range(20, 60)), dict.fromkeys(range(2), 90))
    for ours, theirs in zip(quest.generate([job]), vanilla.generate([job]), strict=True):
        steps = min(len(ours.tokens), len(theirs.tokens))
        assert (ours.step_live[:steps] == theirs.step_live[:steps]).all()
        assert (ours.step_pages[:steps] == theirs.step_pages[:steps]).all()
        assert (ours.step_reads[:steps] <= theirs.step_reads[:steps]).all()
        assert ours.step_reads[:steps].sum() < 0.8 * theirs.step_reads[:steps].sum()
    assert quest.blocks_in_use == 0
