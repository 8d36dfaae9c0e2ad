"""Who gets in, and what is refused: a refused request changes nothing, and its body isn't read."""

import logging

import httpx
import pytest

from kew import TaskQueueManager
from kew.domain.errors import InvalidConfigError
from kew.web import Identity, admin
from kew.web.guard import MOST_BODY_BYTES
from tests.unit.web.serving import AUTHORIZED, TOKEN, client_of, served

PAUSE = "/api/queues/mails/pause"


async def is_paused(manager: TaskQueueManager) -> bool:
    return bool((await manager.get_queue_status("mails"))["paused"])


def code_of(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:kew:problem:{problem['code']}"
    return str(problem["code"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer a-token-for-the-tests-alonf"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": f"kew_session={TOKEN}"},
        {"Cookie": "kew_session=9999999999.dG9rZW4=.00"},
        {"Cookie": "kew_session=..."},
        {"Cookie": b"kew_session=9999999999.w7w=.\xfc"},
    ],
)
async def test_a_request_without_a_valid_token_is_refused_and_changes_nothing(manager, headers):
    async with client_of(admin(manager, token=TOKEN, allow_changes=True)) as client:
        for method, path in [("GET", "/api/queues"), ("POST", PAUSE), ("GET", "/api/nothing")]:
            response = await client.request(method, path, headers=headers)
            assert response.status_code == 401
            assert code_of(response) == "unauthenticated"
            assert response.headers["www-authenticate"] == 'Bearer realm="kew"'
    assert not await is_paused(manager)


async def test_the_token_lets_a_request_in(client, manager):
    assert (await client.post(PAUSE, json={"note": "ada: too many"})).status_code == 200
    assert await is_paused(manager)


async def test_changes_are_refused_unless_they_are_allowed(manager):
    async with served(manager, allow_changes=False) as client:
        response = await client.post(PAUSE)
        assert (response.status_code, code_of(response)) == (403, "read-only")
        assert (await client.get("/api/info")).json()["read_only"] is True
        assert (await client.get("/api/queues/mails")).status_code == 200
    assert not await is_paused(manager)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:81"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    ],
)
async def test_changes_from_another_site_are_refused(client, manager, headers):
    for method, path in [("POST", PAUSE), ("DELETE", "/api/session"), ("POST", "/api/session")]:
        response = await client.request(method, path, headers=headers)
        assert (response.status_code, code_of(response)) == (403, "cross-site")
    assert not await is_paused(manager)


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}]
)
async def test_changes_from_the_page_itself_are_carried_out(client, manager, headers):
    assert (await client.post(PAUSE, headers=headers)).status_code == 200
    assert await is_paused(manager)


async def test_an_oversized_body_is_refused_before_it_is_read(client, manager):
    class Unread(httpx.AsyncByteStream):
        async def __aiter__(self):
            assert not headers, "the body was read"
            yield b""

    headers = {**AUTHORIZED, "Content-Length": str(MOST_BODY_BYTES + 1)}
    request = client.build_request("POST", PAUSE, headers=headers)
    request.stream = Unread()
    response = await client.send(request)
    assert (response.status_code, code_of(response)) == (413, "too-large")
    assert not await is_paused(manager)


async def test_a_body_of_unknown_length_is_read_no_further_than_is_allowed(client, manager):
    sent = []

    async def pieces():
        for _ in range(1000):
            sent.append(1024)
            yield b" " * 1024

    response = await client.post(
        PAUSE, content=pieces(), headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, code_of(response)) == (413, "too-large")
    assert sum(sent) <= MOST_BODY_BYTES + 2048
    assert not await is_paused(manager)


async def test_a_body_is_not_read_without_a_token(manager):
    async with client_of(admin(manager, token=TOKEN, allow_changes=True)) as client:
        response = await client.post(PAUSE, content=b"{nonsense")
        assert response.status_code == 401


async def test_a_session_begins_with_the_token_and_is_a_cookie_that_scripts_cannot_read(manager):
    async with client_of(admin(manager, token=TOKEN, allow_changes=True)) as client:
        response = await client.post("/api/session", json={"token": TOKEN})
        assert response.status_code == 204
        cookie = response.headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
            assert part in cookie
        assert TOKEN not in cookie
        assert (await client.post(PAUSE)).status_code == 200
        assert (await client.delete("/api/session")).status_code == 204
        assert (await client.get("/api/queues")).status_code == 401


async def test_a_session_does_not_begin_with_a_wrong_token(manager):
    async with client_of(admin(manager, token=TOKEN)) as client:
        response = await client.post("/api/session", json={"token": "x" * 20})
        assert (response.status_code, code_of(response)) == (401, "unauthenticated")
        assert "set-cookie" not in response.headers


async def cookie_of(manager: TaskQueueManager) -> dict[str, str]:
    """A session, as a browser sends it that keeps cookies for ever."""
    async with client_of(admin(manager, token=TOKEN)) as client:
        response = await client.post("/api/session", json={"token": TOKEN})
        return {"Cookie": response.headers["set-cookie"].partition(";")[0]}


async def test_a_session_ends_with_its_token_and_after_its_time(manager, time_machine_at):
    cookie = await cookie_of(manager)
    async with client_of(admin(manager, token=TOKEN)) as client:
        assert (await client.get("/api/queues", headers=cookie)).status_code == 200
        time_machine_at(12 * 3600 - 1)
        assert (await client.get("/api/queues", headers=cookie)).status_code == 200
        time_machine_at(12 * 3600 + 1)
        assert (await client.get("/api/queues", headers=cookie)).status_code == 401
        time_machine_at(0)
    async with client_of(admin(manager, token=TOKEN[::-1])) as client:
        assert (await client.get("/api/queues", headers=cookie)).status_code == 401


async def test_a_wrong_token_is_refused_though_a_session_is_there(manager):
    headers = {**await cookie_of(manager), "Authorization": "Bearer not-the-token-of-the-tests"}
    async with client_of(admin(manager, token=TOKEN)) as client:
        assert (await client.get("/api/queues", headers=headers)).status_code == 401


async def test_a_cookie_is_for_https_alone_if_the_page_is(manager):
    async with client_of(admin(manager, token=TOKEN)) as client:
        response = await client.post("https://localhost/api/session", json={"token": TOKEN})
        assert "Secure" in response.headers["set-cookie"]


async def test_tokens_have_names_that_the_log_gives_with_each_change(manager, caplog):
    caplog.set_level(logging.INFO, "kew")
    tokens = {"ada": "the-token-that-ada-has", "ben": "the-token-that-ben-has"}
    async with client_of(admin(manager, token=tokens, allow_changes=True)) as client:
        for token in tokens.values():
            await client.post(
                PAUSE, json={"note": "disk full"}, headers={"Authorization": f"Bearer {token}"}
            )
        await client.post(PAUSE)
    lines = [line for line in caplog.messages if line.startswith("admin: ")]
    details = "{'note': 'disk full'}"
    assert lines == [
        f"admin: ada (127.0.0.1): POST '/api/queues/mails/pause' {details}: done",
        f"admin: ben (127.0.0.1): POST '/api/queues/mails/pause' {details}: done",
        "admin: an unknown caller (127.0.0.1): POST '/api/queues/mails/pause': refused with 401",
    ]
    assert "the-token" not in caplog.text


async def test_a_name_cannot_forge_a_line_of_the_log(manager, caplog):
    caplog.set_level(logging.INFO, "kew")
    app = admin(manager, authorize=lambda request: "ada\nadmin: root", allow_changes=True)
    async with client_of(app) as client:
        await client.post(PAUSE)
    [line] = [line for line in caplog.messages if line.startswith("admin: ")]
    assert "\n" not in line


async def test_a_path_cannot_forge_a_line_of_the_log(client, caplog):
    caplog.set_level(logging.INFO, "kew")
    await client.post("/api/queues/x%0Aadmin: root: done/pause")
    [line] = [line for line in caplog.messages if line.startswith("admin: ")]
    assert "\n" not in line


# --- the host's own rule


async def test_the_hosts_rule_says_who_makes_the_request(manager):
    async def rule(request):
        return {"1": "ada", "2": Identity("ben", may_change=False)}.get(request.headers["x-user"])

    app = admin(manager, authorize=rule, allow_changes=True)
    async with client_of(app) as client:
        info = await client.get("/api/info", headers={"x-user": "1"})
        assert info.json()["who"] == {"name": "ada", "may_change": True}
        info = await client.get("/api/info", headers={"x-user": "2"})
        assert info.json()["who"] == {"name": "ben", "may_change": False}
        assert info.json()["read_only"] is True
        refused = await client.post(PAUSE, headers={"x-user": "2"})
        assert (refused.status_code, code_of(refused)) == (403, "forbidden")
        assert (await client.get("/api/info", headers={"x-user": "3"})).status_code == 401
        assert (await client.post(PAUSE, headers={"x-user": "1"})).status_code == 200


async def test_the_hosts_rule_may_forbid_and_its_bugs_let_no_request_in(manager, caplog):
    def rule(request):
        if "x-bug" in request.headers:
            raise ZeroDivisionError
        raise PermissionError("a secret reason")

    async with client_of(admin(manager, authorize=rule)) as client:
        response = await client.get("/api/queues")
        assert (response.status_code, code_of(response)) == (403, "forbidden")
        assert "secret" not in response.text
        response = await client.get("/api/queues", headers={"x-bug": "1"})
        assert (response.status_code, code_of(response)) == (500, "unexpected")
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("answer", [True, 7, ["ada"]])
async def test_a_rule_that_answers_no_identity_lets_no_request_in(manager, answer):
    async with client_of(admin(manager, authorize=lambda request: answer)) as client:
        assert (await client.get("/api/queues")).status_code == 500


# --- without authentication


def test_without_authentication_it_does_not_start():
    with pytest.raises(InvalidConfigError, match=r"token= or authorize=, or loopback_only=True"):
        admin("memory://")


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "with a space in the middle", "ü" * 20, {}, {"": "x" * 20}]
)
def test_a_token_that_can_be_guessed_is_refused_without_quoting_it(token):
    with pytest.raises(InvalidConfigError) as caught:
        admin("memory://", token=token)
    assert "short" not in str(caught.value).replace("shorter", "")


async def test_for_this_machine_alone_no_other_is_answered(manager):
    app = admin(manager, loopback_only=True, allow_changes=True)
    async with client_of(app) as client:
        assert (await client.get("/api/info")).json()["who"]["name"] == "local"
        for headers in [
            {"Host": "evil.example"},  # a name that another page has pointed to this machine
            {"X-Forwarded-For": "10.0.0.1"},
            {"Forwarded": "for=10.0.0.1"},
        ]:
            response = await client.get("/api/queues", headers=headers)
            assert (response.status_code, code_of(response)) == (403, "not-local")
    transport = httpx.ASGITransport(app, client=("10.0.0.1", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.post(PAUSE)
        assert (response.status_code, code_of(response)) == (403, "not-local")
    assert not await is_paused(manager)


# --- responses


async def test_every_response_has_the_security_headers(client):
    for path in ("/api/queues", "/api/nothing", "/", "/static/nothing.js"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "'unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("no-store" if path.startswith("/api/") else "no-cache")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("GET", "/static/nothing.js", 404, "not-found"),
        ("GET", "/static/../app.py", 404, "not-found"),
        ("GET", "/static/%2e%2e/app.py", 404, "not-found"),
        ("PUT", "/api/queues", 405, "method-not-allowed"),
        ("OPTIONS", "/api/queues", 405, "method-not-allowed"),
        ("GET", "/api/queues/mial", 404, "queue-not-found"),
        ("GET", "/api/queues/a%20b", 404, "queue-not-found"),
        ("GET", "/api/tasks/nothing", 404, "task-not-found"),
        ("GET", f"/api/tasks/{'x' * 300}", 404, "task-not-found"),
    ],
)
async def test_every_error_is_a_problem(client, method, path, status, code):
    response = await client.request(method, path)
    assert (response.status_code, code_of(response)) == (status, code)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"notes": "x"}', b'{"note": 7}', b'{"note": null}', b"\xff"]
)
async def test_a_body_that_is_not_understood_is_refused_without_quoting_it(
    client, manager, content
):
    response = await client.post(
        PAUSE, content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)
    code_of(response)
    assert not await is_paused(manager)


async def test_a_bug_becomes_a_problem_that_says_nothing_of_it(
    client, manager, monkeypatch, caplog
):
    async def broken():
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(manager, "get_queue_statuses", broken)
    response = await client.get("/api/queues")
    assert (response.status_code, code_of(response)) == (500, "unexpected")
    assert "secret" not in response.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "path", ["/api/queues?x=1", "/api/queues/mails/dead-letters?limit=1&limit=2"]
)
async def test_a_parameter_that_is_unknown_or_given_twice_is_refused(client, path):
    response = await client.get(path)
    assert (response.status_code, code_of(response)) == (422, "invalid-request")


async def test_fields_for_an_endpoint_that_takes_none_are_refused(client, manager):
    await manager.pause_queue("mails")
    resume = "/api/queues/mails/resume"
    for content in (b'{"note": "x"}', b"[]", b"nonsense"):
        response = await client.post(resume, content=content)
        assert (response.status_code, code_of(response)) == (422, "invalid-request")
    assert await is_paused(manager)
    assert (await client.post(resume, json={})).status_code == 200
    assert not await is_paused(manager)
