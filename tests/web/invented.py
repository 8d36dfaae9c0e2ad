"""An admin server with invented data: every state of every page at once, for layouts, pictures and hostile texts.

It answers as the real one does, from dictionaries. What the pages *do* is tested with the real one.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import kew.web
from tests.web.invented_schedules import schedules

STATIC = Path(kew.web.__file__).with_name("static")
CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

Values = dict[str, Any]

TRACEBACK = """Traceback (most recent call last):
  File "/app/shop/crm.py", line 41, in sync
    response.raise_for_status()
  File "/app/.venv/lib/python3.12/site-packages/httpx/_models.py", line 829, in raise_for_status
    raise HTTPStatusError(message, request=request, response=self)
httpx.HTTPStatusError: Server error '502 Bad Gateway' for url 'https://api.crm.example/v2/accounts/acme'
"""

TIMEOUT = """Traceback (most recent call last):
  File "/app/shop/payments/charge.py", line 88, in charge
    answer = await client.post("/v1/charges", json=charge)
  File "/app/.venv/lib/python3.12/site-packages/httpx/_client.py", line 1859, in post
    return await self.request("POST", url, json=json)
httpx.ConnectTimeout: timed out after 5.0 s while connecting to pay.example:443
"""


class Invented:
    """The data. `hostile`: a text that stands in every field that comes from users."""

    def __init__(
        self,
        *,
        hostile: str = "",
        read_only: bool = False,
        empty: bool = False,
        broken: bool = False,
    ) -> None:
        self.hostile = hostile
        self.read_only = read_only
        self.is_empty = empty
        self.is_broken = broken
        self.posted: list[tuple[str, Values]] = []

    # --- words

    def user(self, text: str) -> str:
        """A text that users choose."""
        return self.hostile or text

    def ago(self, **duration: float) -> str:
        """An instant in the past."""
        return (datetime.now(UTC) - timedelta(**duration)).isoformat()

    def ahead(self, seconds: float) -> str:
        """An instant in the future."""
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()

    # --- answers

    def info(self) -> Values:
        return {
            "version": "0.3.0",
            "store": "redis://redis.shop.internal:6379/0",
            "namespace": "shop-prod",
            "read_only": self.read_only,
            "who": {"name": "eve", "may_change": not self.read_only},
        }

    def queues(self) -> Values:
        if self.is_empty:
            return {"queues": [], "attention": []}
        rows = [
            self.row(
                "payments",
                8,
                0,
                212,
                5000,
                circuit_breaker_status="open",
                consecutive_failures=5,
                breaker=self.breaker(),
            ),
            self.row("reports", 4, 4, 500, 500),
            self.row("emails", 8, 7, 96, 10_000),
            self.row("thumbnails", 12, 11, 41, 10_000),
            self.row("crm-sync", 4, 2, 1204, 5000),
            self.row(
                "search-index",
                6,
                0,
                5310,
                50_000,
                paused=True,
                pause_note=self.user("reindex tonight"),
                pause_by=self.user("ada"),
                pause_since=self.ago(hours=2),
            ),
            self.row("webhooks", 16, 3, 12, 10_000),
            self.row("nightly", 2, 0, 0, 1000),
        ]
        attention = [
            (
                "critical",
                "breaker_open",
                "payments",
                "the circuit breaker has been open since 19:42:10 UTC, and lets a probe through in 41 s",
                "kew breaker close payments",
            ),
            (
                "critical",
                "full",
                "reports",
                "the queue is full: 500 of 500 tasks wait, and submits are refused",
                "kew queue set reports max_size=1000",
            ),
            (
                "warning",
                "paused",
                "search-index",
                "paused since 17:40:12 UTC: " + self.user("ada, reindex tonight"),
                "kew queue resume search-index",
            ),
        ]
        return {
            "queues": rows,
            "attention": [
                dict(zip(("severity", "code", "queue", "text", "action"), each, strict=True))
                for each in attention
            ],
        }

    def breaker(self) -> Values:
        error = self.user("ConnectTimeout: timed out after 5.0 s")
        return {
            "state": "open",
            "opens_after": 5,
            "opened_at": self.ago(seconds=19),
            "probe_at": self.ahead(41),
            "failures": [
                {
                    "at": self.ago(seconds=30 - place),
                    "task_id": self.user(f"pay-{88117 + place}"),
                    "error": error,
                }
                for place in range(5)
            ],
        }

    def row(self, name: str, limit: int, used: int, waiting: int, most: int, **more: Any) -> Values:
        return {
            "name": name,
            "max_workers": limit,
            "current_workers": used,
            "queued_tasks": waiting,
            "circuit_breaker_status": "closed",
            "queued_by_priority": {"high": 0, "medium": waiting, "low": 0},
            "max_size": most,
            "paused": False,
            "pause_note": "",
            "pause_since": None,
            "draining": False,
            "drain_note": "",
            "drain_since": None,
            "overrides": {},
            "snoozed_until": None,
            "consecutive_failures": 0,
            "processes": ["worker-1:881", "worker-2:907"],
            "stuck_functions": {},
            "unreadable_tasks": 0,
            "newer_tasks": 0,
            "settings_version": 3,
            "notifications": "ok",
            "dead_letters": sum(each["count"] for each in self.groups(name)),
            **more,
        }

    def queue(self, name: str) -> Values | None:
        row = next((each for each in self.queues()["queues"] if each["name"] == name), None)
        if row is None:
            return None
        rate = [{"count": 100, "per": 60.0, "burst": None}] if name == "crm-sync" else []
        declared = {
            "max_workers": 2 if name == "crm-sync" else row["max_workers"],
            "rate": rate,
            "per_key.max_workers": 1 if name == "crm-sync" else None,
            "max_size": row["max_size"],
            "max_retries": 3,
            "retry_delay": 1.0,
            "max_circuit_breaker_failures": 5,
            "circuit_breaker_reset_timeout": 60.0,
            "circuit_breaker_probes": 1,
            "task_ttl": 86_400.0,
            "dead_letter_ttl": 2_592_000.0,
        }
        overrides = {}
        if name == "crm-sync":
            overrides["max_workers"] = {
                "value": 4,
                "declared": 2,
                "by": self.user("ops"),
                "set_time": self.ago(hours=2),
            }
        busiest = {"acme": 2, "initech": 1, "umbrella": 1} if name == "crm-sync" else {}
        delayed = {"acme": 38.2, "initech": 31.0, "umbrella": 12.4} if name == "crm-sync" else {}
        return {
            **row,
            "overrides": overrides,
            "settings": {
                key: {
                    "declared": value,
                    "value": overrides.get(key, {}).get("value", value),
                    "overridden": key in overrides,
                }
                for key, value in declared.items()
            },
            "keys": {
                "busiest": [{"key": self.user(key), "running": n} for key, n in busiest.items()],
                "delayed": [{"key": self.user(key), "delay": s} for key, s in delayed.items()],
            },
        }

    def history(self, name: str, span: int) -> Values:
        step = 60 if span <= 86_400 else 3600
        count = span // step
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        passed = (datetime.now(UTC) - now).total_seconds()
        level = {
            "payments": 60,
            "reports": 24,
            "emails": 400,
            "thumbnails": 1900,
            "crm-sync": 100,
            "search-index": 240,
            "webhooks": 650,
        }.get(name, 4)
        chance = random.Random(name)
        points = []
        for place in range(count):
            share = place / count
            stops = (name == "payments" and share > 0.72) or (
                name == "search-index" and share > 0.45
            )
            wave = 0.85 + 0.3 * math.sin(share * 7 + len(name)) + chance.uniform(-0.12, 0.12)
            if name == "nightly":
                wave = 6.0 if place in (3, 4) else 0.0
            done = 0 if stops else max(0, round(level * wave * step / 60))
            if name == "crm-sync":
                done = min(done + 12, 100)
            failed = round(
                done * (0.06 if name == "payments" and share > 0.6 else 0.004) * chance.random()
            )
            retried = round(done * (0.03 + 0.1 * share * share) * chance.random())
            wait = (0.2 + level / 900) * (1 + wave) * (60 if name in ("reports", "crm-sync") else 1)
            arrivals = (
                round(level * 1.18 * step / 60) if name == "crm-sync" else round(level * wave)
            )
            if place == count - 1:  # it has only begun
                done, failed, retried, arrivals = (
                    round(n * passed / step) for n in (done, failed, retried, arrivals)
                )
            points.append(
                {
                    "at": (now - timedelta(seconds=step * (count - 1 - place))).isoformat(),
                    "submitted": arrivals,
                    "started": done,
                    "completed": done,
                    "failed": failed,
                    "retried": retried,
                    "lost": 0,
                    "wait_p50": None
                    if stops or not done
                    else round(wait * 0.3 * chance.uniform(0.8, 1.2), 3),
                    "wait_p95": None
                    if stops or not done
                    else round(wait * chance.uniform(0.8, 1.2), 3),
                    "run_p50": None
                    if stops or not done
                    else round(0.25 * chance.uniform(0.9, 1.1), 3),
                    "run_p95": None
                    if stops or not done
                    else round(0.9 * chance.uniform(0.8, 1.3), 3),
                }
            )
        return {"step": step, "points": points}

    def breaker_changes(self) -> list[Values]:
        """Opened by failures, after an operator closed it."""
        error = self.user("ConnectError: [Errno 111] Connection refused")
        return [
            {
                "time": self.ago(minutes=minutes),
                "state": state,
                "cause": cause,
                "error": error if cause == "failures" else None,
                "task_id": self.user("pay-1041") if cause == "failures" else None,
                "by": self.user("ops") if cause == "operator" else None,
            }
            for minutes, state, cause in (
                (1, "open", "failures"),
                (9, "closed", "operator"),
                (10, "half_open", "reset_timeout"),
                (11, "open", "failures"),
            )
        ]

    def key_limits(self) -> list[Values]:
        """Limits of two keys."""
        rate = [{"count": 10, "per": 1.0, "burst": None}]
        return [
            {
                "key": self.user("acme"),
                "max_workers": 2,
                "rate": rate,
                "max_size": None,
                "expires": None,
            },
            {
                "key": "initech",
                "max_workers": None,
                "rate": [],
                "max_size": 500,
                "expires": self.ahead(10_800),
            },
        ]

    def task(self, task_id: str, status: str = "retry", queue: str = "crm-sync") -> Values:
        message = self.user(
            "Server error '502 Bad Gateway' for url 'https://api.crm.example/v2/accounts/acme'"
        )
        attempts = [
            {
                "number": number,
                "failed_time": self.ago(seconds=95 - 30 * number),
                "seconds": seconds,
                "process": "worker-3:881",
                "how": how,
                "group": self.user("HTTPStatusError@shop.crm:sync"),
                "error_type": self.user("httpx.HTTPStatusError"),
                "message": message,
                "traceback": (self.hostile + "\n" if self.hostile else "") + TRACEBACK,
            }
            for number, seconds, how in ((1, 2.1, "failed"), (2, 0.4, "failed"))
        ]
        is_ended = status in ("failed", "completed", "cancelled")
        return {
            "task_id": task_id,
            "task_type": self.user("sync_account"),
            "function": self.user("shop.crm:sync"),
            "queue_name": queue,
            "key": self.user("acme"),
            "priority": 2,
            "status": status,
            "queued_time": self.ago(seconds=99),
            "started_time": self.ago(seconds=40),
            "completed_time": self.ago(seconds=30) if is_ended else None,
            "result": {"synced": 12, "note": self.user("ok")} if status == "completed" else None,
            "error": None
            if status in ("queued", "processing", "completed")
            else f"HTTPStatusError: {message}",
            "retry_count": 2,
            "attempt": 2,
            "due_time": self.ahead(11),
            "process": None,
            "snooze_count": 0,
            "attempts": attempts if status in ("retry", "failed") else [],
            "progress": {
                "value": 0.4,
                "message": self.user("page 12 of 30"),
                "time": self.ago(seconds=3),
            },
            "checkpoint": {"attempt": 2, "size": 1240},
            "args": [self.user("acme")],
            "kwargs": {
                "full": False,
                "note": self.user("from the shop"),
                "since": None,
                "page": 12,
            },
        }

    def why(self, task_id: str) -> Values:
        return {
            "task_id": task_id,
            "status": "retry",
            "now": self.ago(),
            "text": "it waits: ...",
            "sure": "estimate",
            "earliest": self.ahead(11),
            "reasons": [
                {
                    "code": "rate",
                    "text": "crm-sync has started 100 tasks in the last 60 s",
                    "sure": "exact",
                    "until": self.ahead(11),
                    "position": None,
                    "holders": [],
                },
                {
                    "code": "key_full",
                    "text": self.user("acme") + " has 1 of 1 running:",
                    "sure": "unknown",
                    "until": None,
                    "position": None,
                    "holders": [
                        {
                            "task_id": self.user("sync-acme-9911"),
                            "process": "worker-3:881",
                            "started": self.ago(seconds=2),
                        }
                    ],
                },
                {
                    "code": "behind",
                    "text": "4 tasks of its queue come first",
                    "sure": "unknown",
                    "until": None,
                    "position": 4,
                    "holders": [],
                },
            ],
        }

    def tasks(self, queue: str, *, state: str = "", limit: int = 50) -> Values:
        kinds = [
            "processing",
            "processing",
            "retry",
            "queued",
            "queued",
            "queued",
            "queued",
            "failed",
            "failed",
            "queued",
        ]
        wanted = {
            "running": ["processing"],
            "waiting": ["queued", "retry"],
            "failed": ["failed"],
        }.get(state, kinds)
        found = [
            {
                **self.task(
                    self.user(f"sync-{9900 + place}") + (f" {place}" if self.hostile else ""),
                    kind,
                    queue,
                ),
                "attempts": [],
            }
            for place, kind in enumerate(kinds)
            if kind in wanted
        ]
        return {"tasks": found[:limit], "cursor": "next" if state in ("", "waiting") else None}

    def groups(self, queue: str) -> list[Values]:
        named = {
            "payments": [("ConnectTimeout@shop.payments.charge:charge", 31, "pay-88121")],
            "emails": [("SMTPRecipientsRefused@shop.mails:send", 2, "mail-511")],
            "thumbnails": [
                ("UnidentifiedImageError@shop.images:resize", 3, "img-7"),
                ("lost@", 1, "img-9"),
            ],
        }.get(queue, [])
        return [
            {
                "name": self.user(name) + (str(place) if self.hostile else ""),
                "count": count,
                "first_time": self.ago(hours=3),
                "last_time": self.ago(minutes=2 + place),
                "example": self.user(example),
            }
            for place, (name, count, example) in enumerate(named)
        ]

    def dead_letters(self, queue: str, limit: int) -> Values:
        attempt = {
            "number": 4,
            "failed_time": self.ago(minutes=2),
            "seconds": 5.0,
            "process": "worker-1:881",
            "how": "failed",
            "group": "",
            "error_type": "httpx.ConnectTimeout",
            "message": self.user("timed out after 5.0 s"),
            "traceback": (self.hostile + "\n" if self.hostile else "") + TIMEOUT,
        }
        found = [
            {
                **self.task(
                    self.user(f"pay-{88121 - place}") + (f" {place}" if self.hostile else ""),
                    "failed",
                    queue,
                ),
                "error": self.user(
                    "ConnectTimeout: timed out after 5.0 s while connecting to pay.example:443"
                ),
                "completed_time": self.ago(minutes=2 + 3 * place),
                "attempts": [attempt],
            }
            for place in range(min(limit, 6))
        ]
        return {"tasks": found, "cursor": None}

    def processes(self) -> Values:
        if self.is_empty:
            return {"processes": []}
        kinds = [
            ("worker-1", 881, ["payments", "reports"], 0.004, 2),
            ("worker-2", 907, ["emails", "thumbnails", "webhooks"], 0.011, 2),
            ("worker-3", 881, ["crm-sync", "search-index"], 0.72, 1),
            ("web-1", 4102, ["emails"], None, 40),
        ]
        return {
            "processes": [
                {
                    "id": f"{host}:{pid}.1",
                    "name": self.user(f"{host}:{pid}"),
                    "host": host,
                    "pid": pid,
                    "version": "0.3.0",
                    "heartbeat_time": self.ago(seconds=heard),
                    "started_time": self.ago(hours=9),
                    "queues": [{"queue": queue, "slots": 8, "running": 3} for queue in queues],
                    "functions": [self.user("shop.crm:sync")],
                    "function_count": 1,
                    "loop_lag": lag,
                    "long_tasks": [
                        {
                            "task_id": self.user("img-31"),
                            "queue": "thumbnails",
                            "function": self.user("shop.images:resize"),
                            "seconds": 41.2,
                            "where": self.user("/app/shop/images.py:88 (resize)"),
                        }
                    ]
                    if pid == 907
                    else [],
                }
                for host, pid, queues, lag, heard in kinds
            ]
        }

    # --- the application

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._index),
                Mount("/static", StaticFiles(directory=STATIC)),
                Route("/api/events", self._events),
                Route("/api/{path:path}", self._answer, methods=["GET", "POST", "PUT", "DELETE"]),
            ]
        )

    async def _index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": CSP})

    async def _events(self, _: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            yield f"event: queues\ndata: {json.dumps(self.queues())}\n\n"
            while True:
                await asyncio.sleep(2)
                yield ": heard\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode().split("?")[0]  # ids may contain slashes
        parts = [unquote(part) for part in path.removeprefix("/api/").split("/")]
        if request.method != "GET":
            body = await request.json() if await request.body() else {}
            self.posted.append(("/".join(parts), body))
            return JSONResponse({"count": 3, "sample": [], "task_ids": [], "dry_run": True})
        found = self._get(parts, request)
        if self.is_broken and parts[0] != "info":
            problem = {
                "title": "The store doesn't answer",
                "status": 503,
                "detail": "Redis at redis.shop.internal:6379 refused the connection.",
            }
            return JSONResponse(problem, 503, media_type="application/problem+json")
        if found is None:
            problem = {"title": "Not found", "status": 404, "detail": f"there is no {parts[-1]}"}
            return JSONResponse(problem, 404, media_type="application/problem+json")
        return JSONResponse(found)

    def _get(self, parts: list[str], request: Request) -> Any:
        query = request.query_params
        limit = int(query.get("limit", 50))
        match parts:
            case ["info"]:
                return self.info()
            case ["queues"]:
                return self.queues()
            case ["queues", name]:
                return self.queue(name)
            case ["queues", name, "history"]:
                return self.history(name, int(query.get("span", 3600)))
            case ["queues", name, "tasks"]:
                return self.tasks(name, state=query.get("state", ""), limit=limit)
            case ["queues", name, "dead-letter-groups"]:
                return {"groups": self.groups(name)}
            case ["queues", name, "breaker-history"]:
                return {"changes": self.breaker_changes() if name == "payments" else []}
            case ["queues", name, "key-limits"]:
                limits = self.key_limits() if name == "crm-sync" else []
                return {"limits": limits, "cursor": None}
            case ["queues", name, "dead-letters"]:
                return self.dead_letters(name, limit)
            case ["tasks", task_id, "arguments"]:
                return {name: self.task(task_id)[name] for name in ("args", "kwargs")} | {
                    "unreadable": None
                }
            case ["tasks", task_id, "explain"]:
                return self.why(task_id)
            case ["tasks", task_id]:
                return self.task(task_id, "failed" if task_id.startswith("pay") else "retry")
            case ["schedules"]:
                return {"schedules": [] if self.is_empty else schedules(self.user)}
            case ["schedules", name]:
                return {**schedules(self.user, 10)[0], "name": name}
            case ["processes"]:
                return self.processes()
        return None
