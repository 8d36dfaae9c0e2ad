"""`kew web`: serve the admin API and its page."""

from __future__ import annotations

import contextlib
import logging
import signal
from typing import NoReturn

import click

from kew import TaskQueueError
from kew.cli.exits import Exit
from kew.cli.session import fail, store_options

GRACE = 3  # seconds for open streams, when the server stops


@click.command()
@store_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--token", envvar="KEW_WEB_TOKEN", metavar="TOKEN", help="What callers need [KEW_WEB_TOKEN]."
)
@click.option("--allow-changes", is_flag=True, help="Let callers pause, replay, cancel and so on.")
def web(
    url: str, namespace: str, host: str, port: int, token: str | None, allow_changes: bool
) -> None:
    """Serve the admin API and its page.

    Without a token it answers this machine only, and listens on 127.0.0.1. It is read-only unless
    you allow changes. Prefer KEW_WEB_TOKEN to --token, which other users of the machine can see.

    \b
    Exit codes:
      0    stopped by Ctrl-C or SIGTERM
      1    the address is in use
      2    invalid option
    """
    try:
        import uvicorn

        from kew.web import admin
        from kew.web.guard import is_loopback
    except ImportError as missing:
        advice = "install it: pip install 'kew[web]'"
        fail(f"module {missing.name!r} is not installed; {advice}", Exit.USAGE)
    is_local = host == "localhost" or is_loopback(host)
    if token is None and not is_local:
        fail(
            f"without authentication, kew web listens on this machine only, not on {host}: set KEW_WEB_TOKEN",
            Exit.USAGE,
        )
    try:
        app = admin(
            url, namespace=namespace, token=token, allow_changes=allow_changes, loopback_only=True
        )
    except TaskQueueError as error:
        fail(error, Exit.USAGE)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _stopped)  # uvicorn raises the signal again once it has stopped
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()


def _stopped(*_: object) -> NoReturn:
    raise SystemExit(Exit.OK)
