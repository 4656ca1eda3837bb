"""Playhead's packages have plain names: nothing else installed may go by them."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
each = pytest.mark.parametrize("name", ["topics", "models", "agents", "config", "playhead"])


@each
def test_no_other_distribution_owns_the_name(name: str) -> None:
    assert set(packages_distributions().get(name, ())) <= {"playhead"}


@each
def test_the_name_leads_to_this_checkout(name: str) -> None:
    spec = find_spec(name)

    assert spec is not None
    assert spec.origin == str(ROOT / name / "__init__.py")
