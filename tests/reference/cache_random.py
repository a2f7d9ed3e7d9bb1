"""Random: per KV head, any token that is held goes, as a hash of key, layer, head and position says."""

from __future__ import annotations

from tests.reference.cache_bounded import Bounded

_WORD = 2**64


def splitmix64(x: int) -> int:
    """Steele, Lea and Flood's generator: the number that follows state x."""
    x = (x + 0x9E3779B97F4A7C15) % _WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % _WORD
    return x ^ (x >> 31)


class Reference(Bounded):
    """One layer of one sequence. `order[h]` are the positions held, each in the place of the one that it replaced."""

    order: list[list[int]]

    def victim(self, head: int) -> int:
        """Draw places after the protected ones until the token there may go."""
        if not hasattr(self, "order"):
            self.order = [list(range(self.budget or 0)) for _ in self.held]
        order, arriving = self.order[head], len(self.k_skd)
        eligible = self.eligible(head)
        first = max(self.settings.sink_tokens, self.prompt if self.settings.protect_prompt else 0)
        draw = splitmix64(splitmix64(splitmix64(self.key ^ self.layer) ^ head) ^ arriving)
        while (position := order[first + draw % (len(order) - first)]) not in eligible:
            draw = splitmix64(draw)
        order[order.index(position)] = arriving
        return position
