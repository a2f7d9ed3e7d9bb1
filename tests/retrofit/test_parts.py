"""Loss, schedule, batches and text on their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hyperscale.retrofit.batches import Layout, padded
from hyperscale.retrofit.config import Schedule
from hyperscale.retrofit.text import PackedText, read_jsonl
from hyperscale.retrofit.trainer import distillation, shortfall
from tests.retrofit.runs import write_text
from tests.tiny_models import tiny_tokenizer


def test_the_distance_is_from_the_student_to_the_teacher() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 7, dtype=torch.float64, generator=generator) for _ in range(2))
    p, q = student.softmax(-1), teacher.softmax(-1)
    student.requires_grad_(True)
    loss = distillation(student, teacher)
    torch.testing.assert_close(loss, (p * (p / q).log()).sum())
    assert distillation(teacher, teacher) == 0
    assert torch.autograd.gradcheck(lambda x: distillation(x, teacher), [student])


def test_giving_up_too_little_costs_and_too_much_does_not() -> None:
    alphas = [torch.tensor([[[1.0, 0, 0, 9], [0, 0, 1, 9]], [[1.0, 1, 1, 1], [1, 1, 1, 1]]]), torch.zeros(2, 2, 4)]
    alphas[1][1] = 1
    present = torch.tensor([[True, True, True, False], [True] * 4])
    cost, mean_bl = shortfall(alphas, present, 0.5)
    torch.testing.assert_close(mean_bl, torch.tensor([[1 / 3, 0.0], [1.0, 1.0]]))
    torch.testing.assert_close(cost, torch.tensor(0.5 - 1 / 6))


def test_the_papers_schedule() -> None:
    schedule = Schedule(8.0, 100)
    assert schedule.steps == 700
    assert [schedule.step_of(ratio) for ratio in (2, 3, 4, 6, 8)] == [100, 200, 300, 500, 700]
    assert schedule.ratio(300) == 4
    assert schedule.share(300) == 0.75
    assert schedule.ratio(1) == 1.01
    assert schedule.kept(1) == 0
    faded = Schedule(2.5, 10, fade_steps=4)
    assert [faded.ratio(step) for step in (1, 4, 5, 19)] == [1, 1, 1.1, 2.5]
    assert faded.steps == 19
    assert [faded.kept(step) for step in range(7)] == [1, 0.75, 0.5, 0.25, 0, 0, 0]


def test_a_batch_of_sequences() -> None:
    batch = padded([[5, 6, 7], [8]], pad=9)
    assert batch.tokens_bt.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.counted_bt.tolist() == [[True, True, False], [False, False, False]]
    assert batch.tokens == 4
    assert Layout.of(batch).plain
    assert Layout.of(batch).positions_n.tolist()[:4] == [0, 1, 2, 0]


def test_text_is_packed_whole_and_begins_again_in_another_order(tmp_path: Path) -> None:
    texts = read_jsonl(write_text(tmp_path / "text.jsonl", documents=30), "text")
    tokenizer = tiny_tokenizer()
    [end] = tokenizer("<|im_end|>")["input_ids"]

    def packed(rows: int) -> PackedText:
        return PackedText(texts, tokenizer, context=32, batch_size=3, rows=rows, seed=1)

    text, shorter = packed(10_000), packed(9)
    for step in (1, 2, 3):
        assert all(torch.equal(*pair) for pair in zip(text.batch(step), shorter.batch(step), strict=True))
    rows = len(text._tokens)
    streams = []
    for epoch in range(2):
        found = [text.batch(step) for step in range(1 + epoch * rows, 1 + (epoch + 1) * rows)]
        streams.append(torch.cat([batch.tokens_bt for batch in found])[:rows])
    assert sorted(streams[0].tolist()) == sorted(text._tokens.tolist())
    assert streams[0].tolist() != streams[1].tolist()
    documents = tokenizer.decode(streams[0].flatten()).split("<|im_end|>")
    assert set(documents[:-1]) <= set(texts.texts)
    batch = text.batch(1)
    assert not batch.counted_bt[batch.tokens_bt == end].any()
    assert batch.counted_bt[batch.tokens_bt != end].all()
    starts = Layout.of(batch).starts_bt[:, 1:]
    assert torch.equal(starts, batch.tokens_bt[:, :-1] == end)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "No such file"),
        ("", "no documents"),
        ('{"text": "a"}\n{"text": ', "line 2: not JSON"),
        ('{"text": "a"}\n\n{"body": "b"}', "line 3: no text in field 'text'; --text-field"),
        ('["text"]', "line 1: no text"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str | None, match: str) -> None:
    path = tmp_path / "text.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=match):
        read_jsonl(path, "text")


def test_a_text_shorter_than_a_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text(json.dumps({"text": "short"}))
    texts = read_jsonl(path, "text")
    with pytest.raises(ValueError, match="fewer tokens than one row of --context 500"):
        PackedText(texts, tiny_tokenizer(), context=500, batch_size=1, rows=3, seed=0)
