/**
 * What is done before methods of `process` that may end the process without any of its
 * handlers being called: in Bun and Node.
 *
 * @module
 */
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";

/** What is done before and after. */
export interface ProcessListener {
  /** The process is about to be replaced by another program. */
  replacing(): void;
  /** It was not. */
  notReplaced(): void;
  /** The process is about to send itself a signal. */
  killing(): void;
}

type Method = (...values: unknown[]) => unknown;

/** Call the listener from `process.execve()` and `process.kill()` of this environment. */
export function listenToProcess(listener: ProcessListener): void {
  wrap("execve", (execve) =>
    function (this: unknown, ...values: unknown[]): unknown {
      listener.replacing();
      try {
        return execve.apply(this, values);
      } finally {
        listener.notReplaced(); // else we are not here
      }
    });
  wrap("kill", (kill) =>
    function (this: unknown, ...values: unknown[]): unknown {
      // Others are processes of their own; 0 and less are groups, which we may belong to.
      if (Number(values[0]) <= 0 || Number(values[0]) === process.pid) listener.killing();
      return kill.apply(this, values);
    });
  syncBuiltinESMExports(); // for those who import them by their names
}

/** Put another method in its place, if there is such a method. */
function wrap(name: string, wrapper: (method: Method) => Method): void {
  const property = Object.getOwnPropertyDescriptor(process, name);
  if (typeof property?.value !== "function") return;
  const method = property.value as Method;
  const replacement = wrapper(method);
  Object.defineProperty(replacement, "name", { value: name });
  Object.defineProperty(replacement, "length", { value: method.length });
  Object.defineProperty(process, name, { ...property, value: replacement });
}
