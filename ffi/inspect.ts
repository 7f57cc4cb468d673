/**
 * What `console.log()` shows of an object of ours, in each of the runtimes.
 *
 * @module
 */

/** Shows any value; its options say how. */
type Inspect = (value: unknown, options?: unknown) => string;

/** The name of the method by which Node and Bun show an object, and Deno's. */
const NODE = Symbol.for("nodejs.util.inspect.custom");
const DENO = Symbol.for("Deno.customInspect");

/**
 * Have the objects of a class shown by their class's name and by what `content` gives for them.
 *
 * @param prototype The class's prototype.
 * @param content What is to be shown; it must not throw.
 */
export function makeInspectable<Shown extends object>(
  prototype: Shown,
  content: (object: Shown) => Record<string, unknown>,
): void {
  const show = (object: Shown, inspect: Inspect, options: unknown) => {
    return `${prototype.constructor.name} ${inspect(content(object), options)}`;
  };
  const define = (key: symbol, value: unknown) => {
    Object.defineProperty(prototype, key, { value, configurable: true, writable: true });
  };
  define(NODE, function (this: Shown, _depth: number, options: unknown, inspect: Inspect) {
    return show(this, inspect, options);
  });
  define(DENO, function (this: Shown, inspect: Inspect, options: unknown) {
    return show(this, inspect, options);
  });
}
