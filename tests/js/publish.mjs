// Publishes the browser's camera with the official SDK, and tells the server of this page what comes of it.
// The query gives `api` (base URL), `key`, and `results`: how many to wait for before the SDK is told to stop.
import { RealtimeVision } from "./sdk.mjs";

const asked = new URLSearchParams(location.search);
let missing = Number(asked.get("results"));

const tell = (what, value) => fetch(`told/${what}`, { method: "POST", body: JSON.stringify(value) });

const vision = new RealtimeVision({
  apiUrl: asked.get("api"),
  apiKey: asked.get("key"),
  prompt: "what?",
  iceServers: [], // else it would ask for relays on the Internet
  onResult: async (result) => {
    await tell("result", result);
    missing -= 1;
    if (missing === 0) {
      await vision.stop();
      await tell("stopped", null);
    }
  },
  onError: (error) => tell("error", String(error)),
});

// What fails in here is told by onError too.
vision.start().then(() => tell("started", vision.getStreamId()), () => undefined);
