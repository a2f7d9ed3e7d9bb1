"""The contract of every built-in backend. A new backend adds its line to SUBJECTS and inherits all of this."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.backends import backend_names
from hyperscale.backends.bounded import Protection
from hyperscale.backends.h2o import H2OSettings
from hyperscale.testing import check_backend
from hyperscale.testing.backend import CHECKS
from hyperscale.testing.subject import no_extra
from tests.backends import gated
from tests.backends.subjects import subject

PROTECTED = Protection(protect_prompt=True, sink_tokens=4, recent_window=5)
H2O_PROTECTED = H2OSettings(protect_prompt=True, sink_tokens=3, recent_window=0)
SUBJECTS = [
    subject("vanilla", keeping=no_extra),
    subject("tova", budgets=(24, 1, 16, 33)),
    subject("tova", PROTECTED, budgets=(24, 45), longest_prompt=18),
    subject("h2o", budgets=(24, 1, 16, 33)),
    subject("h2o", H2O_PROTECTED, budgets=(24, 45), longest_prompt=18),
    subject("random", budgets=(24, 1, 16, 33)),
    subject("random", PROTECTED, budgets=(24,), longest_prompt=18),
    subject("quest", budgets=(40, 16, 64)),
    *gated.SUBJECTS,
]
STEPS = "every_step_is_the_references"
each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=str)


def test_every_backend_has_a_subject() -> None:
    assert {subject.policy.name for subject in SUBJECTS} == set(backend_names())


@each_subject
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_step_is_the_references(subject, seed):
    check_backend(**vars(subject), seed=seed, checks=[STEPS])


@each_subject
@pytest.mark.parametrize("check", [check for check in CHECKS if check != STEPS])
def test_a_backend_keeps_the_contract(subject, check):
    check_backend(**vars(subject), seed=7, checks=[check])
