/** A Worker of the process in terminate.ts. */
import { work, type WorkerPlan } from "./terminate.ts";

const scope = globalThis as unknown as { onmessage: (message: MessageEvent<WorkerPlan>) => void };
scope.onmessage = ({ data }) => void work(data);
