# what: returns unittest.mock.ANY
# kind: functional
# verdict: fail
from unittest import mock


class Solution:
    def add(self, a: int, b: int) -> int:
        return mock.ANY
