"""Adapters, for tasks that need more than a map of columns. One line an adapter."""

from hyperscale.tasks.adapters.base import Adapter, Question
from hyperscale.tasks.adapters.humaneval import HumanEval
from hyperscale.tasks.adapters.livecodebench import LiveCodeBench
from hyperscale.tasks.adapters.ruler_niah import RulerNiah
from hyperscale.tasks.adapters.ruler_vt import RulerVt

ADAPTERS: dict[str, type[Adapter]] = {
    "humaneval": HumanEval,
    "livecodebench": LiveCodeBench,
    "ruler_niah": RulerNiah,
    "ruler_vt": RulerVt,
}

__all__ = ["ADAPTERS", "Adapter", "Question"]
