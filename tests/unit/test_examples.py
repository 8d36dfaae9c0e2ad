"""The examples of `kew.testing` find the bugs that they are about, and none in what mends them."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples import double_charge, stale_token, stock_counter, welcome_mail
from kew.testing import InvariantBroken, SimulationFailed, crash_at_every_await

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["double_charge", "stale_token", "stock_counter", "welcome_mail"])
def test_an_example_runs_as_it_stands(name):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def charging(task) -> object:
    module = double_charge
    return crash_at_every_await(task, "order-1", 100, setup=module.setup, check=module.check)


def test_a_crash_between_charge_and_mark_charges_twice():
    with pytest.raises(InvariantBroken, match="charged 2 times"):
        charging(double_charge.charge)


def test_an_idempotency_key_mends_it():
    charging(double_charge.charge_with_key)


def welcoming(task) -> object:
    module = welcome_mail
    return crash_at_every_await(task, "ada", setup=module.setup, check=module.check)


def test_send_and_note_sends_twice():
    with pytest.raises(InvariantBroken, match="2 mails arrived"):
        welcoming(welcome_mail.send_then_note)


def test_note_and_send_sends_nothing():
    with pytest.raises(InvariantBroken, match="0 mails arrived"):
        welcoming(welcome_mail.note_then_send)


def test_a_message_id_mends_both():
    welcoming(welcome_mail.send_with_id)


def test_a_counter_that_is_read_and_written_loses_pieces():
    with pytest.raises(SimulationFailed, match=r"AssertionError: \d pieces are left"):
        stock_counter.try_out(stock_counter.read_and_write)


def test_a_piece_is_taken_twice_by_an_order_whose_process_died():
    with pytest.raises(SimulationFailed, match=r"AssertionError: -\d+ pieces are left"):
        stock_counter.try_out(stock_counter.take)


def test_remembering_who_took_mends_it():
    stock_counter.try_out(stock_counter.take_once, seeds=40)


def test_a_token_given_at_submit_has_expired_when_the_retry_gets_through():
    with pytest.raises(PermissionError, match="the token has expired"):
        stale_token.try_out(stale_token.token_at_submit)


def test_a_token_asked_for_in_the_attempt_is_good():
    assert stale_token.try_out(stale_token.token_in_attempt) == ["May"]
