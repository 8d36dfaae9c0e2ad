"""The oracle of running code: who runs what where, and under which lease. Called by the tasks' own code."""

from __future__ import annotations

from typing import Final

from kew.domain.requests import holder_of
from kew.simulation.facts import Attempt, Facts
from kew.simulation.hosts import Host
from kew.simulation.processes import current_process

NAME: Final = "runs"
INSTANT: Final = 1e-6


class Runs:
    """Every attempt from its first line to its last."""

    def __init__(self, facts: Facts, hosts: dict[str, Host]) -> None:
        self.facts = facts
        self._hosts = hosts
        self._here: dict[str, list[Attempt]] = {}
        self._once: set[str] = set()
        self._saved: dict[str, list[int]] = {}  # attempt and step

    def began(
        self, task_id: str, token: int, number: int, queue: str, *, in_thread: bool
    ) -> Attempt:
        """Code begins to run: under a lease of this process that can still be live, and for the first time.

        When a thread starts can't be controlled.
        """
        process, facts = str(current_process()), self.facts
        attempt = Attempt(
            host=process, queue=queue, number=number, started_at=facts.loop.world_time()
        )
        attempt.is_stubborn = in_thread
        facts.loop.note(task_id, f"#{number}", "starts")
        lease = facts.leases.get((task_id, token))
        if lease is None:
            facts.fail(NAME, f"{task_id} runs in {process} without a lease")
        if holder_of(lease.identity) != facts.incarnations.get(process):
            facts.fail(NAME, f"{task_id} runs in {process} under a lease of {lease.holder}")
        if (task_id, token) in facts.attempts and not facts.has_forgotten:
            facts.fail(NAME, f"{task_id} runs twice under one lease")
        if facts.loop.world_time() > lease.until + INSTANT and not in_thread:
            facts.fail(
                NAME,
                f"{task_id} starts {facts.loop.world_time() - lease.until:.3f} s after its lease",
            )
        self._run_once(task_id)
        facts.attempts[task_id, token] = attempt
        self._enter(process, attempt)
        return attempt

    def _run_once(self, task_id: str) -> None:
        asked = self.facts.asked.get(task_id)
        if asked is None or not asked.at_most_once:
            return
        is_known = task_id in self._once and task_id not in self.facts.expired_by_leap
        if is_known and not self.facts.has_forgotten:
            self.facts.fail("once", f"{task_id} is at_most_once, but runs again")
        self._once.add(task_id)

    def replayed(self, task_id: str) -> None:
        """A user requested another run of it."""
        self._once.discard(task_id)

    def _enter(self, process: str, attempt: Attempt) -> None:
        here = [one for one in self._here.get(process, ()) if not one.is_over]
        here.append(attempt)
        self._here[process] = here
        mine = sum(one.queue == attempt.queue for one in here)
        slots = self.facts.slots.get(f"{process}/{attempt.queue}")
        if slots is not None and mine > slots:
            self.facts.fail(
                "slots", f"{mine} tasks of {attempt.queue} run in {process}; the limit is {slots}"
            )
        total = self.facts.slots.get(process)
        if total is not None and len(here) > total:
            self.facts.fail("slots", f"{len(here)} tasks run in {process}; the limit is {total}")

    def goes_on(self, task_id: str, token: int, attempt: Attempt) -> None:
        """Code that was waiting runs again: a worker that can't extend has stopped it before its lease ends."""
        lease, now = self.facts.leases[task_id, token], self.facts.loop.world_time()
        if now <= lease.until + INSTANT or attempt.is_stubborn:
            return
        host = self._hosts[attempt.host.partition(".")[0]]
        # One step at the very end of a stall can't be helped.
        if now > host.stalled_until + INSTANT:
            self.facts.fail(
                "fencing", f"{task_id} still runs {now - lease.until:.3f} s after its lease"
            )

    def saved(self, task_id: str, value: list[int]) -> None:
        """The store has acknowledged this checkpoint."""
        self._saved[task_id] = max(value, self._saved.get(task_id, value))
        self.facts.count("checkpoints")

    def resumed(self, task_id: str, value: list[int] | None) -> None:
        """An attempt begins with this checkpoint: none was acknowledged since."""
        saved = self._saved.get(task_id)
        if saved is not None and (value is None or value < saved) and not self.facts.has_forgotten:
            self.facts.fail(NAME, f"{task_id} begins with {value}, although {saved} was saved")
        if value is not None:
            self.facts.count("attempts that go on from a checkpoint")

    def finished(self, attempt: Attempt, value: object) -> None:
        """Code is about to return."""
        attempt.has_finished, attempt.value, attempt.is_over = True, value, True

    def raised(self, attempt: Attempt) -> None:
        """Code is left by an error."""
        attempt.has_raised, attempt.is_over = True, True
