/** A Worker of the process in kill.ts. */
import { work, type WorkerPlan } from "./kill.ts";

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<WorkerPlan>) => void;
  postMessage(data: unknown): void;
};
scope.onmessage = ({ data }) => void work(data, () => scope.postMessage("begins"));
