"""Two people talk in an encrypted room through matrix-nio, alice on the one server and bob on the
other, which may be the same:

    python tests/clients/nio-e2e.py http://localhost:8008 [http://localhost:8009]

Every step is printed; the exit code is 0 only if all of them worked. With `--answer BASE_URL` it is
somebody who joins the first room they are invited to and answers all that is said there, until it
is goodbye: what another client can talk with.
"""

import asyncio
import sys
import tempfile
import time

from with_nio import PATIENCE_S, good, leave, log_in, nio, register, until

MEGOLM = "m.megolm.v1.aes-sha2"
UNREAD = {}


def step(text):
    print(f"nio-e2e: {text}", flush=True)


async def encrypting(base_url, user_id, store):
    """A new device, which keeps its keys in that directory."""
    config = nio.AsyncClientConfig(encryption_enabled=True)
    client = await log_in(base_url, user_id, config=config, store_path=store)
    UNREAD[client] = []
    return client


async def say(client, room_id, body):
    content = {"msgtype": "m.text", "body": body}
    kind = "m.room.message"
    sent = await client.room_send(room_id, kind, content, ignore_unverified_devices=True)
    return good(sent, nio.RoomSendResponse).event_id


def decipher(client, room_id, response):
    """What can be read that could not before: a key may come later than what it opens."""
    room = response.rooms.join.get(room_id)
    events = UNREAD[client] + list(room.timeline.events if room else [])
    UNREAD[client], read = [], []
    for event in events:
        try:
            is_unread = isinstance(event, nio.MegolmEvent)
            read.append(client.decrypt_event(event) if is_unread else event)
        except nio.EncryptionError:
            UNREAD[client].append(event)
    return [event for event in read if isinstance(event, nio.RoomMessageText)]


async def hears(client, room_id, event_id, body):
    def found(response):
        events = decipher(client, room_id, response)
        return next((event for event in events if event.event_id == event_id), None)

    event = await until(client, f"the text of {event_id}", found)
    assert event.body == body and event.decrypted, event


def devices_of(client, user_id):
    return {device.id for device in client.device_store.active_user_devices(user_id)}


async def knows(client, others):
    """Waits until a client knows exactly these devices of their user."""
    ids = {other.device_id for other in others}
    user_id = others[0].user_id
    if devices_of(client, user_id) != ids:
        await until(client, f"{ids}", lambda _: devices_of(client, user_id) == ids)


async def meet(alice, bob):
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": MEGOLM}}
    created = await alice.room_create(
        preset=nio.RoomPreset.private_chat,
        initial_state=[encryption],
        invite=[bob.user_id],
    )
    room_id = good(created, nio.RoomCreateResponse).room_id
    await until(bob, "the invite", lambda response: room_id in response.rooms.invite)
    good(await bob.join(room_id), nio.JoinResponse)
    for client in (alice, bob):
        if len(members(client, room_id)) != 2:
            await until(client, "both", lambda _, it=client: len(members(it, room_id)) == 2)
        assert client.rooms[room_id].encrypted
    return room_id


def members(client, room_id):
    room = client.rooms.get(room_id)
    return set(room.users) - set(room.invited_users) if room else set()


async def story(first, second, stores):
    alice_id, bob_id = await register(first, "alice"), await register(second, "bob")
    clients = []
    try:
        alice = await encrypting(first, alice_id, stores)
        clients.append(alice)
        bob = await encrypting(second, bob_id, stores)
        clients.append(bob)
        room_id = await meet(alice, bob)
        step(f"{alice_id} and {bob_id} are in an encrypted room")
        await knows(alice, [bob])
        await knows(bob, [alice])
        await hears(bob, room_id, await say(alice, room_id, "Hello bob"), "Hello bob")
        await hears(alice, room_id, await say(bob, room_id, "Hello alice"), "Hello alice")
        step("both read what the other one says")
        tablet = await encrypting(first, alice_id, stores)
        clients.append(tablet)
        # What was said before is not for it.
        UNREAD[tablet].clear()
        await knows(bob, [alice, tablet])
        again = await say(bob, room_id, "Hello to both")
        for client in (alice, tablet):
            await hears(client, room_id, again, "Hello to both")
        step("a new device reads what is said from then on")
        assert not any(UNREAD.values()), UNREAD
        await leave(clients)
    finally:
        for client in clients:
            await client.close()
    step("all done")


async def answer(base_url, store):
    """Joins the first room to which there is an invite, and says everything again."""
    user_id = await register(base_url, "nio")
    client = await encrypting(base_url, user_id, store)
    try:
        print(f"user: {user_id}", flush=True)
        room_id = await until(client, "an invite", lambda it: next(iter(it.rooms.invite), None))
        await join_soon(client, room_id)
        body = ""
        while body != "Goodbye":
            said = await until(client, "a text", lambda it: spoken(client, room_id, it))
            for body in said:
                await say(client, room_id, f"You say: {body}")
        assert not UNREAD[client], UNREAD
        await leave([client])
    finally:
        await client.close()


async def join_soon(client, room_id):
    """A server may ask for an invite's signature, so that it is seen, before it has it itself."""
    deadline = time.monotonic() + PATIENCE_S
    while not isinstance(joined := await client.join(room_id), nio.JoinResponse):
        assert time.monotonic() < deadline, joined


def spoken(client, room_id, response):
    """What others have said."""
    events = decipher(client, room_id, response)
    return [event.body for event in events if event.sender != client.user_id and event.decrypted]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) not in (1, 2):
        sys.exit("usage: python nio-e2e.py BASE_URL [BASE_URL] | --answer BASE_URL")
    with tempfile.TemporaryDirectory() as directory:
        if arguments[0] == "--answer":
            asyncio.run(answer(arguments[1], directory))
        else:
            asyncio.run(story(arguments[0], arguments[-1], directory))
