/** A Worker of the process in ending.ts. */
import { assist, type Plan } from "./ending.ts";

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<Plan>) => void;
  postMessage(data: unknown): void;
};
scope.onmessage = async ({ data }) => {
  await assist(data);
  scope.postMessage("done");
};
