// Drives the TypeScript client unifi-protect (4.28.0) against a console and prints what it makes of it.
//
// Usage: unifi_protect_driver.mjs FOLDER HOST PORT USER PASSWORD, where FOLDER has its node_modules.
// Orders and answers are lines of JSON, as those of uiprotect_driver.py.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, host, port, user, password] = process.argv.slice(2);
const { ProtectApi, decodePacket } = await import(pathToFileURL(`${folder}/node_modules/unifi-protect/dist/index.js`));

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const log = { debug() {}, error() {}, info() {}, warn() {} };
const client = new ProtectApi(log);
let messages = 0;

client.on("message", ({ header, payload }) => {
  messages += 1;
  const line = { action: header.action, id: header.id, model: header.modelKey };
  for (const key of ["type", "camera", "start", "end", "name", "state"]) line[key] = payload[key] ?? null;
  line.types = payload.smartDetectTypes ?? [];
  say({ private: line });
});

const orders = {
  async update() {
    const loggedIn = await client.login(`${host}:${port}`, user, password);
    const ok = loggedIn && (await client.getBootstrap());
    if (!ok) return { error: "refused", loggedIn };
    const { cameras, nvr, lastUpdateId } = client.bootstrap;
    const connected = cameras.filter((one) => one.state === "CONNECTED").map((one) => one.id);
    return {
      cameras: cameras.length,
      connected: connected.sort(),
      last_update_id: lastUpdateId,
      names: cameras.map((one) => one.name ?? ""),
      version: nvr.version,
    };
  },

  async count() {
    return { messages };
  },

  async snapshot({ camera, width }) {
    const device = client.bootstrap.cameras.find((one) => one.id === camera);
    const picture = await client.getSnapshot(device, { width });
    return { jpeg: picture ? picture.toString("base64") : "" };
  },

  async enable_rtsp({ camera }) {
    const device = client.bootstrap.cameras.find((one) => one.id === camera);
    const changed = await client.enableRtsp(device);
    return { aliases: changed?.channels.map((channel) => channel.rtspAlias) };
  },

  async decode({ message }) {
    const packet = await decodePacket(log, Buffer.from(message, "base64"));
    return { action: packet?.header ?? null, data: packet?.payload ?? null };
  },
};

say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    say({ n: order.n, ...(await orders[order.do](order)) });
  } catch (failure) {
    say({ n: order.n, error: failure.name, text: failure.message });
  }
}
process.exit(0);
