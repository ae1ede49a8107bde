"""Two people talk with each other through matrix-nio, from registration to logout:

    python tests/clients/nio.py http://localhost:8008

Every step is printed; the exit code is 0 only if all of them worked. Nothing sleeps: each step
waits for what the server must tell by /sync.
"""

import asyncio
import sys

from with_nio import PASSWORD, good, leave, log_in, nio, received, register, until

HISTORY = 25


def step(text):
    print(f"nio: {text}", flush=True)


async def meet(alice, bob):
    created = await alice.room_create(
        name="The lighthouse",
        topic="Waves and weather",
        preset=nio.RoomPreset.private_chat,
        invite=[bob.user_id],
    )
    room_id = good(created, nio.RoomCreateResponse).room_id
    step(f"alice created {room_id} and invited bob")
    await until(bob, "the invite", lambda response: room_id in response.rooms.invite)
    assert bob.invited_rooms[room_id].name == "The lighthouse"
    assert bob.invited_rooms[room_id].inviter == alice.user_id
    good(await bob.join(room_id), nio.JoinResponse)
    await until(bob, "the room", lambda response: room_id in response.rooms.join)
    await until(alice, "bob's arrival", lambda _: bob.user_id in members(alice, room_id))
    assert bob.rooms[room_id].topic == "Waves and weather"
    step("bob was told of the invite and joined")
    return room_id


def members(client, room_id):
    room = client.rooms.get(room_id)
    if room is None:
        return set()
    return set(room.users) - set(room.invited_users)


async def send(client, room_id, content, kind="m.room.message"):
    response = await client.room_send(room_id, kind, content)
    return good(response, nio.RoomSendResponse).event_id


def text(body):
    return {"msgtype": "m.text", "body": body}


async def talk(alice, bob, room_id):
    hello = await send(alice, room_id, text("Hello bob"))
    assert (await received(bob, room_id, hello)).body == "Hello bob"
    answer = await send(bob, room_id, text("Hello alice"))
    assert (await received(alice, room_id, answer)).sender == bob.user_id
    step("both sent and received a message")

    edit = text("* Hello dear bob")
    edit["m.new_content"] = text("Hello dear bob")
    edit["m.relates_to"] = {"rel_type": "m.replace", "event_id": hello}
    edited = await send(alice, room_id, edit)
    content = (await received(bob, room_id, edited)).source["content"]
    assert content["m.new_content"]["body"] == "Hello dear bob", content
    assert content["m.relates_to"]["event_id"] == hello, content
    step("alice edited, bob sees the new text")

    annotation = {"rel_type": "m.annotation", "event_id": hello, "key": "🌊"}
    wave = await send(bob, room_id, {"m.relates_to": annotation}, "m.reaction")
    reaction = good(await received(alice, room_id, wave), nio.ReactionEvent)
    assert reaction.reacts_to == hello and reaction.key == "🌊", reaction
    step("bob reacted, alice sees it")

    oops = await send(bob, room_id, text("A slip of the tongue"))
    await received(alice, room_id, oops)
    response = await bob.room_redact(room_id, oops, reason="typed too fast")
    redaction = good(response, nio.RoomRedactResponse).event_id
    seen = good(await received(alice, room_id, redaction), nio.RedactionEvent)
    assert seen.redacts == oops and seen.reason == "typed too fast", seen
    served = good(await alice.room_get_event(room_id, oops), nio.RoomGetEventResponse)
    assert isinstance(served.event, nio.RedactedEvent), served
    step("bob redacted, alice sees an empty event")
    return hello


async def signal(alice, bob, room_id, event_id):
    good(await bob.room_typing(room_id, True, timeout=20_000), nio.RoomTypingResponse)
    await until(alice, "typing", lambda _: bob.user_id in alice.rooms[room_id].typing_users)
    good(await bob.room_typing(room_id, False), nio.RoomTypingResponse)
    await until(alice, "the end of typing", lambda _: not alice.rooms[room_id].typing_users)
    marked = await bob.room_read_markers(room_id, event_id, event_id)
    good(marked, nio.RoomReadMarkersResponse)

    def read(_):
        receipt = alice.rooms[room_id].read_receipts.get(bob.user_id)
        return receipt is not None and receipt.event_id == event_id

    await until(alice, "bob's receipt", read)
    step("typing and a read receipt arrived")


async def page_back(base_url, alice, bob, room_id):
    sent = [await send(alice, room_id, text(f"Wave {number}")) for number in range(HISTORY)]
    await received(bob, room_id, sent[-1])
    fresh = nio.AsyncClient(base_url, bob.user_id)
    good(await fresh.login(PASSWORD), nio.LoginResponse)
    short = {"room": {"timeline": {"limit": 3}}}
    response = good(await fresh.sync(sync_filter=short), nio.SyncResponse)
    timeline = response.rooms.join[room_id].timeline
    assert timeline.limited and len(timeline.events) == 3, timeline
    events = list(reversed(timeline.events))
    token = timeline.prev_batch
    while token:
        page = await fresh.room_messages(room_id, token, limit=10)
        page = good(page, nio.RoomMessagesResponse)
        events.extend(page.chunk)
        token = page.end
    ids = [event.event_id for event in reversed(events)]
    assert [it for it in ids if it in sent] == sent, "every message once, in order"
    assert len(set(ids)) == len(ids), ids
    assert isinstance(events[-1], nio.RoomCreateEvent), events[-1]
    step(f"a new device paged back through {len(ids)} events")
    return fresh


async def story(base_url):
    users = [await register(base_url, name) for name in ("alice", "bob")]
    step(f"registered {users[0]} and {users[1]}")
    clients = []
    try:
        for user in users:
            clients.append(await log_in(base_url, user))
        alice, bob = clients
        step("both logged in and synced")
        room_id = await meet(alice, bob)
        hello = await talk(alice, bob, room_id)
        await signal(alice, bob, room_id, hello)
        clients.append(await page_back(base_url, alice, bob, room_id))
        await leave(clients)
        step("all devices are logged out")
    finally:
        for client in clients:
            await client.close()
    step("all done")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python nio.py BASE_URL")
    asyncio.run(story(sys.argv[1]))
