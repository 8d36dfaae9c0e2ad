"""Send exactly one welcome mail to each new user.

Run it: `python examples/welcome_mail.py`. If the task sends the mail and then records it, a crash in between sends two
mails. If it records the mail and then sends it, a crash in between sends none. Neither order works. The solution is to
make sending idempotent: here the mail server drops a message whose id it has seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kew.testing import InvariantBroken, crash_at_every_await

Task = Callable[[str], Awaitable[None]]


class MailServer:
    """A fake mail server. It delivers each message id once."""

    def __init__(self) -> None:
        self.inbox: list[str] = []
        self._ids: set[str] = set()

    async def send(self, to: str, *, message_id: str | None = None) -> None:
        if message_id is None or message_id not in self._ids:
            self.inbox.append(to)
        self._ids.add(message_id or "")


class Users:
    """A fake database of the users who got their mail."""

    def __init__(self) -> None:
        self.welcomed: set[str] = set()

    async def is_welcomed(self, user: str) -> bool:
        return user in self.welcomed

    async def note(self, user: str) -> None:
        self.welcomed.add(user)


mails, users = MailServer(), Users()


async def send_then_note(user: str) -> None:
    """Buggy: a crash between the two steps sends two mails."""
    if not await users.is_welcomed(user):
        await mails.send(user)
        await users.note(user)


async def note_then_send(user: str) -> None:
    """Buggy: a crash between the two steps sends no mail."""
    if not await users.is_welcomed(user):
        await users.note(user)
        await mails.send(user)


async def send_with_id(user: str) -> None:
    """Fixed: it is safe to send again."""
    if not await users.is_welcomed(user):
        await mails.send(user, message_id=f"welcome-{user}")
        await users.note(user)


def setup() -> None:
    """Reset the fakes before each run."""
    global mails, users
    mails, users = MailServer(), Users()


def check() -> None:
    """Exactly one mail must have arrived."""
    assert mails.inbox == ["ada"], f"{len(mails.inbox)} mails arrived"


def main() -> None:
    """Try all three versions."""
    tasks: list[Task] = [send_then_note, note_then_send, send_with_id]
    for task in tasks:
        try:
            print(crash_at_every_await(task, "ada", setup=setup, check=check))
        except InvariantBroken as broken:
            print(broken)


if __name__ == "__main__":
    main()
