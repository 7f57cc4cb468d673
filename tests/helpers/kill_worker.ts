/** A Worker of the process in kill.ts. */
import { type Plan, run } from "./kill.ts";

const scope = globalThis as unknown as { onmessage: (message: MessageEvent<Plan>) => void };
scope.onmessage = ({ data }) => void run(data);
