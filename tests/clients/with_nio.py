"""What the stories with matrix-nio share: accounts, devices, and waiting. Nothing sleeps: each step
waits for what the server must tell by /sync.
"""

import os
import sys
import time
import uuid

# One of the stories is called like the library, which Python must not take it for.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [entry for entry in sys.path if os.path.abspath(entry) != HERE]

import nio  # noqa: E402

PATIENCE_S = 30
PASSWORD = "correct horse battery staple 42!"
RUN = uuid.uuid4().hex[:8]


def good(response, kind):
    """The response, if it is of the kind that means success."""
    assert isinstance(response, kind), response
    return response


async def look_after_keys(client):
    """Does of its own accord what a client that encrypts has to do between two syncs."""
    if client.should_upload_keys:
        good(await client.keys_upload(), nio.KeysUploadResponse)
    if client.should_query_keys:
        good(await client.keys_query(), nio.KeysQueryResponse)
    if client.should_claim_keys:
        wanted = client.get_users_for_key_claiming()
        good(await client.keys_claim(wanted), nio.KeysClaimResponse)
    await client.send_to_device_messages()


async def until(client, what, found):
    """Syncs until a response shows it, and hands over what was found."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        response = good(await client.sync(timeout=5_000), nio.SyncResponse)
        if client.olm:
            await look_after_keys(client)
        result = found(response)
        if result:
            return result
    raise AssertionError(f"{client.user_id} never saw {what}")


def arrival(room_id, event_id):
    """What `until` needs to wait for one event of a joined room."""

    def found(response):
        room = response.rooms.join.get(room_id)
        events = room.timeline.events if room else []
        return next((event for event in events if event.event_id == event_id), None)

    return found


async def received(client, room_id, event_id):
    return await until(client, f"event {event_id}", arrival(room_id, event_id))


async def register(base_url, name):
    client = nio.AsyncClient(base_url)
    try:
        account = await client.register(f"{name}-{RUN}", PASSWORD)
        return good(account, nio.RegisterResponse).user_id
    finally:
        await client.close()


async def log_in(base_url, user_id, **options):
    client = nio.AsyncClient(base_url, user_id, **options)
    good(await client.login(PASSWORD, device_name="matrix-nio"), nio.LoginResponse)
    if os.environ.get("SKERRY_TELL_SECRETS"):
        print(f"secret: {client.access_token}", flush=True)
    whoami = good(await client.whoami(), nio.WhoamiResponse)
    assert whoami.user_id == user_id and whoami.device_id == client.device_id, whoami
    good(await client.sync(full_state=True), nio.SyncResponse)
    if client.olm:
        await look_after_keys(client)
    return client


async def leave(clients):
    for client in clients:
        token = client.access_token
        good(await client.logout(), nio.LogoutResponse)
        client.access_token = token
        assert isinstance(await client.whoami(), nio.WhoamiError)
