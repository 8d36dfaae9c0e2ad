"""One live lease per task: granted by a claim, ended by its holder or by time, and never revived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kew.app.ports import Extend, Purge, Sweep
from kew.compat import override
from kew.domain.requests import Word, holder_of
from kew.simulation.facts import Facts, Lease
from kew.simulation.oracle import Alteration, Oracle, Step


class Leases(Oracle):
    """Every lease from its grant to its end."""

    name = "leases"
    judges = (Extend, Purge)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._identities: set[str] = set()
        self._last_token: dict[str, int] = defaultdict(int)
        self._grants: dict[tuple[str, int], int] = defaultdict(int)

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if isinstance(step.operation, Purge):
            self._last_token[step.queue] = 0
            return
        granted = sorted(
            (one for one in step.alterations if one.is_granted),
            key=lambda one: one.new.token,  # type: ignore[union-attr]
        )
        for one in step.alterations:
            if one.ended_lease:
                yield from self._ended(step, one)
            if not one.is_granted:
                yield from self._unchanged(step, one)
        for one in granted:
            yield from self._granted(step, one)
        if isinstance(step.operation, Extend):
            yield from self._extended(step, step.operation)

    def _ended(self, step: Step, one: Alteration) -> Iterator[str]:
        old = one.old
        assert old is not None
        settled = step.settled.get((old.id, old.lease))
        if settled is None:
            if old.lease_until > step.now:
                yield f"{old.id} was taken from {old.lease} {old.lease_until - step.now} ms too early"
        else:
            known = self.facts.incarnations.get(step.caller)
            if known != holder_of(old.lease):
                yield f"{old.id} was settled under {known}, but its lease is {old.lease}"

    def _granted(self, step: Step, one: Alteration) -> Iterator[str]:
        new, request = one.new, step.request
        assert new is not None
        if request is None or not step.is_fresh_claim:
            yield f"{new.id} leased as {new.lease} without a new claim"
            return
        if not new.lease.startswith(f"{request.lane_key}.{request.sequence}."):
            yield f"{new.id} leased as {new.lease} by a claim of {request.lane_key}.{request.sequence}"
        # A store that forgot a grant may give it again when its claim is repeated: to the same worker.
        if new.lease in self._identities and not self.facts.has_forgotten:
            yield f"{new.id}: the lease {new.lease} was granted before"
        if new.token <= self._last_token[step.queue]:
            yield f"{new.id}: token {new.token} after {self._last_token[step.queue]}"
        if new.lease_until != step.now + request.lease_ms:
            yield f"{new.id}: leased for {new.lease_until - step.now} ms, not {request.lease_ms}"
        self._identities.add(new.lease)
        self._last_token[step.queue] = max(new.token, self._last_token[step.queue])
        yield from self._counted(one)
        until = step.at + request.lease_ms / 1000
        self.facts.leases[new.id, new.token] = Lease(
            identity=new.lease, holder=request.incarnation, until=until
        )

    def _counted(self, one: Alteration) -> Iterator[str]:
        new = one.new
        assert new is not None
        self._grants[new.id, new.ticket] += 1
        if new.attempt != self._grants[new.id, new.ticket] and not self.facts.has_forgotten:
            yield f"{new.id}: attempt {new.attempt} after {self._grants[new.id, new.ticket]} grants"

    def _unchanged(self, step: Step, one: Alteration) -> Iterator[str]:
        old, new = one.old, one.new
        if old is None or new is None or one.ended_lease or old.lease_until == new.lease_until:
            return
        if isinstance(step.operation, Sweep) and new.lease_until < old.lease_until:
            return  # after a jump of the clock; the oracle of clocks says how far
        if not isinstance(step.operation, Extend):
            yield f"{new.id}: another operation than extend prolonged its lease"
        elif old.lease_until <= step.now:
            yield f"{new.id}: a lease that ended {step.now - old.lease_until} ms ago was revived"
        elif (left := new.lease_until - step.now) != step.operation.lease_ms:
            yield f"{new.id}: prolonged to {left} ms from now, not {step.operation.lease_ms}"

    def _extended(self, step: Step, extend: Extend) -> Iterator[str]:
        for ref, word in zip(extend.refs, step.reply, strict=True):
            task = step.leased.get(ref.task_id)
            is_live = task is not None and task.lease == ref.lease and task.lease_until > step.now
            if is_live == (word is Word.STALE):
                yield f"{ref.task_id}: extending {ref.lease} was answered {word}"
            if task is not None and is_live:
                if task.cancel_requested != (word is Word.CANCEL):
                    yield f"{ref.task_id}: answered {word}, cancel requested: {task.cancel_requested}"
                lease = self.facts.leases.get((task.id, task.token))
                if lease is not None:
                    lease.until = step.at + extend.lease_ms / 1000

    @override
    def forgot(self) -> None:
        self._last_token.clear()


ORACLE = Leases
