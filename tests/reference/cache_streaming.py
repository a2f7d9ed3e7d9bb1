"""StreamingLLM: the first `sink_tokens` stay, of the others the oldest goes."""

from __future__ import annotations

from hyperscale.testing.subject import Array, MaskedReference


class Reference(MaskedReference):
    """One layer of one sequence."""

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        """Hold the sinks and the last B - sink_tokens tokens, the arriving one included."""
        assert self.budget is not None
        sinks, arriving = self.settings.sink_tokens, len(self.k_skd)
        oldest = arriving + 1 - (self.budget - sinks)
        for held in self.held:
            held -= {position for position in held if sinks <= position < oldest}
        return super().decode(q_hd, k_kd, v_kd)
