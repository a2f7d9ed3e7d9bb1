"""Threads that work on a list of tasks and hand over each result as it is there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, Self, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_FAREWELL = 10.0
"""Seconds that threads get to end: of what `stop` cannot cut, as a connection that is only being opened."""


class Crew(Generic[Task, Result]):
    """Takes the tasks in order, so many at a time. What goes wrong in a thread is raised where results are read."""

    def __init__(
        self, work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, stop: Callable[[], None]
    ) -> None:
        """`stop` makes every `work` that is under way fail soon."""
        self._work = work
        self._tasks = deque(tasks)
        self._expected = len(self._tasks)
        self._stop = stop
        self._done: SimpleQueue[Result | _Failure] = SimpleQueue()
        count = min(workers, self._expected)
        self._threads = [Thread(target=self._run, name=f"request-{n}", daemon=True) for n in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.clear()
        self._stop()
        deadline = time.monotonic() + _FAREWELL
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def __iter__(self) -> Iterator[Result]:
        """Every result, in the order in which they are finished; those that are there before an error is raised."""
        for _ in range(self._expected):
            item = self._done.get()
            if isinstance(item, _Failure):
                yield from self._rest()
                raise item.error
            yield item

    def _rest(self) -> Iterator[Result]:
        while True:
            try:
                item = self._done.get_nowait()
            except Empty:
                return
            if not isinstance(item, _Failure):
                yield item

    def _run(self) -> None:
        while True:
            try:
                task = self._tasks.popleft()
            except IndexError:
                return
            try:
                self._done.put(self._work(task))
            except BaseException as error:
                self._done.put(_Failure(error))
                return


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
