"""Which name was probably meant."""

import pytest

from kew.domain.suggestions import did_you_mean, is_misspelt, nearest


def test_the_most_similar_name_is_suggested():
    known = ["max_workers", "max_size", "max_retries"]
    assert nearest("max_worker", known) == "max_workers"
    assert did_you_mean("retries", known) == "; did you mean 'max_retries'?"
    assert did_you_mean("colour", known) == ""
    assert did_you_mean("concurrency", known, {"concurrency": "max_workers"}).endswith(
        "'max_workers'?"
    )
    assert nearest("anything", []) is None


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("mials", "mails", True),
        ("mail", "mails", True),
        ("ordres", "orders", True),
        ("mails", "mails", False),
        ("Mails", "mails", True),
        ("maills", "mails", True),
        ("nails", "mails", True),
        ("mials-high", "mails-high", True),
        ("mails2", "mails", True),
        ("shard1", "shard2", False),
        ("orders-eu", "orders-us", False),
        ("mails-a", "mails-b", False),
        ("a", "b", False),
        ("shard-1", "shard-2", False),
        ("shard-1", "shard-12", False),
        ("mails", "orders", False),
        ("mails-high", "mails-low", False),
    ],
)
def test_a_misspelling_is_told_from_another_name(name, known, expected):
    assert is_misspelt(name, known) is expected
    assert is_misspelt(known, name) is expected
