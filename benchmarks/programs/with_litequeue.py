"""litequeue: a queue of messages, without workers or results. A thread takes them, runs the task and marks them done.

It sets `synchronous=NORMAL` on its connection; `full` is set afterwards.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

import tasks
from litequeue import LiteQueue, MessageStatus
from peer import MISSING, POLL, Peer, main, polled


class Lite(Peer):
    """Its calls block. A result is what the message says, once it is marked done."""

    readers = 100

    async def open(self, url: str) -> None:
        self.url = url
        self.queue = self.connected()

    def connected(self) -> LiteQueue:
        parts = urlsplit(self.url)
        made = LiteQueue(parts.path)
        made.conn.execute(f"PRAGMA {parts.query}")
        return made

    async def work(self) -> None:
        tasks.tally.run_in_threads()
        threading.Thread(target=self.consume, args=[self.connected()], daemon=True).start()

    def consume(self, queue: LiteQueue) -> None:
        while True:
            message = queue.pop()
            if message is None:
                time.sleep(POLL)
                continue
            tasks.echo_in_thread(int(message.data))
            queue.done(message.message_id)

    async def submit(self, n: object) -> str:
        return str(self.queue.put(str(n)).message_id)

    async def result(self, handle: str) -> Any:
        async def read() -> Any:
            message = self.queue.get(handle)
            is_done = message is not None and message.status == MessageStatus.DONE
            return int(message.data) if is_done else MISSING

        return await polled(read)


if __name__ == "__main__":
    main(Lite())
