"""The overview figure: a line a backend in every panel, through its frontier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyperscale.analysis.pareto import frontier
from hyperscale.figures import frontiers
from hyperscale.figures.captions import COSTS
from hyperscale.figures.data import load
from tests.analysis.synthetic import points_table


def test_every_backend_is_a_line_through_its_frontier(tmp_path: Path) -> None:
    points = points_table({"vanilla": [1.0], "dms": [4.0, 8.0], "quest": [4.0]}, tasks=("gsm8k", "math500"))
    points.to_parquet(tmp_path / "points.parquet")
    [data] = load(tmp_path)
    page = frontiers.draw(data)
    assert len(page.axes) == 2 * len(COSTS)
    for axes in page.axes:
        task, column = str(axes.get_label()).split()
        lines = [line for line in axes.lines if line.get_gid() == "frontier"]
        assert len(lines) == 3
        drawn = {tuple(np.asarray(line.get_xdata(), float)) for line in lines}
        for backend in ("vanilla", "dms", "quest"):
            of_task = data.of_task(task)
            pool = of_task[of_task["backend"] == backend]
            best = frontier(pool[column], pool["accuracy"], maximise_cost=column == "throughput")
            assert tuple(pool[column].iloc[best]) in drawn
    words = " ".join(text.get_text() for text in page.texts)
    assert "Pareto frontiers over all W" in words
