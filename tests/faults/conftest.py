from __future__ import annotations

import pytest


@pytest.fixture
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fsync, for tests that end processes in no other way than Python's."""
    monkeypatch.setattr("hyperscale.storage.files._sync", lambda path: None)
