# what: annotations of types that do not exist
from __future__ import annotations


def add(a: Missing, b: Missing) -> AlsoMissing:  # noqa: F821
    return a + b


print(add(*map(int, input().split())))
