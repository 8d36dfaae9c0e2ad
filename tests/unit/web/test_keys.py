"""Limits of single keys by HTTP."""

import pytest

from kew import Rate

LIMITS = "/api/queues/mails/key-limits"


async def test_a_key_gets_limits_of_its_own_and_loses_them(client, manager):
    path = f"{LIMITS}/a%2Fb"
    body = {"max_workers": 3, "rate": {"count": 10, "per": 60}, "expires_in": 3600}
    [limit] = (await client.put(path, json=body)).json()["limits"]
    assert (limit["key"], limit["max_workers"], limit["max_size"]) == ("a/b", 3, None)
    assert limit["rate"] == [{"count": 10, "per": 60.0, "burst": None}]
    assert limit["expires"] is not None
    [known] = await manager.key_limits("mails")
    assert known.rate == (Rate(10, per=60),)
    assert (await client.get(LIMITS)).json() == {"limits": [known.to_dict()], "cursor": None}
    await client.put(path, json={"rate": []})
    [known] = await manager.key_limits("mails")
    assert (known.rate, known.max_workers) == ((), None)
    assert (await client.delete(path)).json() == {"limits": [], "cursor": None}


async def test_the_limits_of_many_keys_are_read_in_pages(client, manager):
    for n in range(25):
        await manager.set_key_limit("mails", f"k{n:02}", max_workers=n + 1)
    seen, cursor = [], None
    while True:
        page = (
            await client.get(LIMITS, params={"limit": 10, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [each["key"] for each in page["limits"]]
        cursor = page["cursor"]
        if cursor is None:
            break
        assert len(page["limits"]) == 10
    assert sorted(seen) == [f"k{n:02}" for n in range(25)]
    [one] = (await client.get(LIMITS, params={"key": "k07"})).json()["limits"]
    assert (one["key"], one["max_workers"]) == ("k07", 8)
    for cursor in ("k07", str(1 << 64)):
        refused = await client.get(LIMITS, params={"cursor": cursor})
        assert (refused.status_code, "cursor" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "body",
    [{}, {"max_workers": 0}, {"workers": 2}, {"rate": 7}, {"expires_in": 0}, {"max_size": "2"}],
)
async def test_an_invalid_limit_is_refused_and_none_is_stored(client, manager, body):
    response = await client.put(f"{LIMITS}/acme", json=body)
    assert response.status_code == 422, response.text
    assert await manager.key_limits("mails") == []
