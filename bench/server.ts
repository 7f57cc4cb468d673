/** An HTTP server on loopback: Deno.serve in Deno, Bun.serve in Bun. @module */

/** Answers a request. */
export type Handler = (request: Request) => Response | Promise<Response>;

/** A running server. */
export interface Server {
  port: number;
  close(): Promise<void>;
}

interface BunServer {
  port: number;
  stop(closeConnections: boolean): Promise<void>;
}
interface BunRuntime {
  serve(options: { hostname: string; port: number; fetch: Handler }): BunServer;
}

const HOSTNAME = "127.0.0.1";

/** Serve on a free port. */
export function serve(handler: Handler): Server {
  if ("Bun" in globalThis) {
    const bun = (globalThis as unknown as { Bun: BunRuntime }).Bun;
    const server = bun.serve({ hostname: HOSTNAME, port: 0, fetch: handler });
    return { port: server.port, close: () => server.stop(true) };
  }
  const stop = new AbortController();
  const server = Deno.serve(
    { hostname: HOSTNAME, port: 0, signal: stop.signal, onListen: () => {} },
    handler,
  );
  return {
    port: server.addr.port,
    close: () => {
      stop.abort();
      return server.finished;
    },
  };
}
