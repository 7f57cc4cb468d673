/**
 * A registry as JSR is one, on this machine, with one version of one package. Deno is sent to it by
 * the variable JSR_URL.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join } from "node:path";

/** What is served of a file. */
interface Served {
  type: string;
  body: Uint8Array | string;
}

const TYPES: Record<string, string> = {
  ".ts": "text/typescript",
  ".json": "application/json",
  ".md": "text/markdown",
};

/** The registry, until the end of the scope that uses it. */
export class Registry implements AsyncDisposable {
  /** What was asked for and isn't there. */
  readonly missed: string[] = [];
  readonly #server: Server;

  private constructor(served: Map<string, Served>) {
    this.#server = createServer((request, response) => {
      const found = served.get(request.url!);
      if (found === undefined) this.missed.push(request.url!);
      response.writeHead(found === undefined ? 404 : 200, { "content-type": found?.type ?? "" });
      response.end(found?.body);
    });
  }

  /**
   * @param root The folder with the files and with deno.json, which says name, version and exports.
   * @param files The paths in it of what was published.
   */
  static async start(root: string, files: string[]): Promise<Registry> {
    const registry = new Registry(publish(root, files));
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    return registry;
  }

  /** Its URL, with a slash at the end. */
  get url(): string {
    const { port } = this.#server.address() as { port: number };
    return `http://127.0.0.1:${port}/`;
  }

  /** Be gone. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.stop();
  }
}

/** What there is at which path. */
function publish(root: string, files: string[]): Map<string, Served> {
  const { name, version, exports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const [scope, packageName] = name.slice(1).split("/");
  const served = new Map<string, Served>();
  const manifest: Record<string, { size: number; checksum: string }> = {};
  for (const file of files) {
    const body = readFileSync(join(root, file));
    const hash = createHash("sha256").update(body).digest("hex");
    manifest[`/${file}`] = { size: body.length, checksum: `sha256-${hash}` };
    served.set(`/${name}/${version}/${file}`, { type: TYPES[extname(file)] ?? "text/plain", body });
  }
  const json = (path: string, value: unknown) =>
    served.set(`/${name}/${path}`, { type: "application/json", body: JSON.stringify(value) });
  json("meta.json", { scope, name: packageName, latest: version, versions: { [version]: {} } });
  json(`${version}_meta.json`, { manifest, exports });
  return served;
}
