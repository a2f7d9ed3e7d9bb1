"""A server that speaks OpenAI's protocol, and the tokenizer of what it serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hyperscale.model.load import Text, load_text
from tests.engines.openai.client import clean_environment
from tests.engines.openai.server import FakeServer
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return load_text(str(write_tiny_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture
def server(text: Text) -> Iterator[FakeServer]:
    with clean_environment(), FakeServer(text.tokenizer) as started:
        yield started
