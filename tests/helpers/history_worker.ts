/** A Worker that plays a part of history.ts. */
import { type Part, play, type Report } from "./history.ts";

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<Part>) => void;
  postMessage(answer: Report | { error: string }): void;
};
scope.onmessage = async ({ data }) => {
  try {
    scope.postMessage(await play(data));
  } catch (error) {
    scope.postMessage({ error: String((error as Error).stack ?? error) });
  }
};
