"""Bad times: several failures in a row open the breaker, and good tasks wait behind it."""

from __future__ import annotations

from kew.simulation.feature import ANY_END, RISKY, Feature, User, Workload


async def submit_bad_ones(user: User) -> None:
    """Failures, and a good task after them."""
    for _ in range(user.random.randrange(1, 4)):
        await user.submit(user.expect(RISKY, ANY_END), user.script(failures=2))
    await user.submit(user.expect(RISKY, ANY_END), user.script())


async def submit_polite_ones(user: User) -> None:
    """Answers: asking for a retry or giving up, as often as it takes to open a breaker that counted them."""
    for _ in range(user.random.randrange(1, 4)):
        raises = user.random.choice(("retry", "give up"))
        await user.submit(user.expect(RISKY, ANY_END), user.script(failures=2, raises=raises))


async def record_failures(user: User) -> None:
    """A person saw failures elsewhere, and asks whether tasks may pass."""
    breaker = user.breaker(RISKY)
    for _ in range(user.random.randrange(1, 3)):
        await breaker.record_failure()
    await breaker.check_state()


async def reset(user: User) -> None:
    """A person closes it."""
    await user.breaker(RISKY).reset()


async def open_by_hand(user: User) -> None:
    """A person opens it, since a downstream is about to be stopped."""
    await user.manager.open_breaker(RISKY)


FEATURES = (
    Feature("bad times", submit_bad_ones, 1.5),
    Feature("answers", submit_polite_ones, 1.0),
    Feature("recorded failures", record_failures, 0.5),
    Feature("breaker opened", open_by_hand, 0.2),
    Feature("breaker reset", reset, 0.3),
)
WORKLOADS = (Workload("breaker", FEATURES),)
