"""The uncompressed cache: the reference that every other one masks (hyperscale/testing/subject.py)."""

from __future__ import annotations

from hyperscale.testing.subject import Array, MaskedReference, mix, weights

__all__ = ["Array", "Reference", "mix", "weights"]

Reference = MaskedReference
