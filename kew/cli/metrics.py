"""`kew metrics`: serve what the store says of all queues to Prometheus."""

from __future__ import annotations

import click

from kew import TaskQueueError
from kew.cli.exits import Exit, code_of
from kew.cli.screen import Terminated, run
from kew.cli.session import fail, manager_of, store_options


@click.command()
@store_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=9464, show_default=True, type=click.IntRange(0, 65535))
@click.option("--dashboard", is_flag=True, help="Print a Grafana dashboard (JSON) and exit.")
@click.option("--alerts", is_flag=True, help="Print alert rules for Prometheus (YAML) and exit.")
def metrics(url: str, namespace: str, host: str, port: int, dashboard: bool, alerts: bool) -> None:
    """Serve metrics of all queues to Prometheus, at /metrics.

    One such exporter serves all processes. It answers this machine only, unless --host says
    otherwise; it has no authentication, and changes nothing.

    \b
    Exit codes:
      0    stopped by Ctrl-C or SIGTERM
      2    invalid option, or the address is in use
      4    the store can't be reached
    """
    try:
        from kew import metrics as package
    except ImportError as missing:
        fail(missing, Exit.USAGE)
    if dashboard or alerts:
        click.echo(package.dashboard() if dashboard else package.alert_rules(), nl=False)
        return
    try:
        run(_serve(url, namespace, host, port))
    except TaskQueueError as error:
        fail(error, code_of(error))
    except OSError as error:
        fail(error, Exit.USAGE)
    except (KeyboardInterrupt, Terminated):
        return


async def _serve(url: str, namespace: str, host: str, port: int) -> None:
    from kew.metrics import exposition
    from kew.metrics.serving import serve

    async with manager_of(url, namespace) as manager:
        server = await serve(lambda: exposition(manager), host, port)
        at = server.sockets[0].getsockname()
        click.echo(f"kew metrics: http://{at[0]}:{at[1]}/metrics", err=True)
        async with server:
            await server.serve_forever()
