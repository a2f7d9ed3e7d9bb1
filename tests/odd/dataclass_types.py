# what: dataclasses, enum and typing
from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple


class Kind(enum.IntEnum):
    LEFT = 0
    RIGHT = 1


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(slots=True, order=True)
class Sum:
    pair: Pair
    seen: list[Kind] = field(default_factory=list)

    def value(self) -> int:
        self.seen += list(Kind)
        return sum(self.pair[kind] for kind in self.seen)


print(Sum(Pair(*map(int, input().split()))).value())
