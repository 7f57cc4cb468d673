/** What outside.ts runs where there is no command sqlite3. @module */
import process from "node:process";
import { open } from "../../examples/sqlite.ts";

const [path, ...statements] = process.argv.slice(2);
try {
  using connection = open(path!);
  for (const statement of statements) {
    for (const row of connection.all(statement)) console.log(Object.values(row).join("|"));
  }
} catch (error) {
  console.error(`Error: ${(error as Error).message}`);
}
