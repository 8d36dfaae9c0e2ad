"""`kew web`: serve the admin API and its page."""

from __future__ import annotations

import logging

import click

from kew import TaskQueueError
from kew.cli import screen

DEFAULT_URL = "redis://localhost:6379"
GRACE = 3  # seconds for open streams, when the server stops


@click.command()
@click.option(
    "--url", envvar="KEW_URL", default=DEFAULT_URL, metavar="URL", help="The store (or KEW_URL)."
)
@click.option("--namespace", default="kew", show_default=True, help="The queues' namespace.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--token", envvar="KEW_WEB_TOKEN", metavar="TOKEN", help="What callers need (or KEW_WEB_TOKEN)."
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
      2    invalid option, or the address is in use
    """
    try:
        import uvicorn

        from kew.web import admin
        from kew.web.guard import is_loopback
    except ImportError as missing:
        screen.refuse(
            f"module {missing.name!r} is not installed; install it: pip install 'kew[web]'"
        )
    is_local = host == "localhost" or is_loopback(host)
    if token is None and not is_local:
        screen.refuse(
            f"without authentication, kew web listens on this machine only, not on {host}: set KEW_WEB_TOKEN"
        )
    try:
        app = admin(
            url, namespace=namespace, token=token, allow_changes=allow_changes, loopback_only=True
        )
    except TaskQueueError as error:
        screen.refuse(error)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvicorn.Server(config).run()
