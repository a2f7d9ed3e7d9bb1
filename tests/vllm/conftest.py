"""These tests run in the environment that has vLLM (`make test-vllm`); in any other there is nothing to collect."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = ["test_*.py"] if find_spec("vllm") is None else []
