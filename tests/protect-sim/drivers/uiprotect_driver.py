"""Drives the Python client uiprotect against a console and prints what it makes of it.

Usage: uiprotect_driver.py HOST PORT USER PASSWORD KEY FOLDER [store]
Reads orders as lines of JSON from its standard input, such as {"n": 1, "do": "update"}, and answers each with a line that
has the same n. In between come lines for what the client tells by itself: "private", "public", "state".
"""

import asyncio
import base64
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

from uiprotect import ProtectApiClient
from uiprotect.data.websocket import WSPacket


def say(**line):
    print(json.dumps(line, default=str), flush=True)


def word(value):
    return getattr(value, "value", value)


def millis(moment):
    return None if moment is None else round(moment.timestamp() * 1000)


def moment(ms):
    return datetime.fromtimestamp(ms / 1000, tz=timezone.utc)


class Driver:
    def __init__(self, host, port, user, password, key, folder, store):
        self.client = ProtectApiClient(
            host,
            int(port),
            user,
            password,
            verify_ssl=False,
            api_key=key,
            cache_dir=Path(folder),
            config_dir=Path(folder),
            store_sessions=store,
        )
        self.messages = 0

    def on_private(self, message):
        self.messages += 1
        thing = message.new_obj or message.old_obj
        line = {"action": word(message.action), "model": word(thing.model), "id": thing.id}
        if line["model"] == "event":
            line |= {
                "type": word(thing.type),
                "camera": thing.camera_id,
                "start": millis(thing.start),
                "end": millis(thing.end),
                "types": [word(one) for one in thing.smart_detect_types],
            }
        if line["model"] == "camera":
            line |= {"name": thing.name, "state": word(thing.state), "changed": sorted(message.changed_data)}
        say(private=line)

    def on_public(self, event, change):
        say(
            public={
                "change": word(change),
                "id": event.id,
                "type": word(event.type),
                "camera": event.device_id,
                "start": millis(event.start),
                "end": millis(event.end),
                "types": [word(one) for one in event.smart_detect_types],
            }
        )

    async def update(self, _):
        await self.client.update()
        boot = self.client.bootstrap
        return {
            "cameras": len(boot.cameras),
            "version": str(boot.nvr.version),
            "names": sorted(camera.name or "" for camera in boot.cameras.values()),
            "connected": sorted(c.id for c in boot.cameras.values() if word(c.state) == "CONNECTED"),
            "last_update_id": str(boot.last_update_id),
        }

    async def subscribe(self, _):
        self.client.subscribe_websocket_state(lambda state: say(state=state.name))
        self.client.subscribe_websocket(self.on_private)
        return {}

    async def count(self, _):
        return {"messages": self.messages}

    async def update_public(self, _):
        await self.client.update_public()
        boot = self.client.public_bootstrap
        return {"cameras": len(boot.cameras), "nvr": boot.nvr.name if boot.nvr else None}

    async def subscribe_public(self, _):
        self.client.subscribe_events_websocket_state(lambda state: say(public_state=state.name))
        self.client.subscribe_events(self.on_public)
        return {}

    async def snapshot(self, order):
        picture = await self.client.get_camera_snapshot(order["camera"], width=order.get("width"))
        return {"jpeg": base64.b64encode(picture or b"").decode()}

    async def public_snapshot(self, order):
        picture = await self.client.get_public_api_camera_snapshot(order["camera"])
        return {"jpeg": base64.b64encode(picture or b"").decode()}

    async def thumbnail(self, order):
        picture = await self.client.get_event_thumbnail(order["event"])
        return {"jpeg": base64.b64encode(picture or b"").decode()}

    async def clip(self, order):
        start, end = moment(order["start"]), moment(order["end"])
        film = await self.client.get_camera_video(order["camera"], start, end, channel_index=order.get("channel", 0))
        return {"mp4": base64.b64encode(film or b"").decode(), "none": film is None}

    async def events(self, order):
        events = await self.client.get_events(start=moment(order["start"]), end=moment(order["end"]))
        return {"events": [{"id": event.id, "type": word(event.type), "end": millis(event.end)} for event in events]}

    async def rtsps(self, order):
        streams = await self.client.create_camera_rtsps_streams(order["camera"], order["qualities"])
        return {"streams": streams.model_dump() if streams else None}

    async def raw(self, order):
        return {"answer": await self.client.api_request_raw(order["path"]) is not None}

    async def decode(self, order):
        packet = WSPacket(base64.b64decode(order["message"]))
        return {"action": packet.action_frame.data, "data": packet.data_frame.data}

    async def run(self):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        say(ready=True)
        while line := await reader.readline():
            order = json.loads(line)
            try:
                answer = await getattr(self, order["do"])(order)
            except Exception as failure:
                answer = {"error": type(failure).__name__, "text": str(failure)}
            say(n=order["n"], **answer)
        await self.client.async_disconnect_ws()
        await self.client.close_session()


asyncio.run(Driver(*sys.argv[1:7], len(sys.argv) > 7).run())
