/** The Worker of worker.ts. @module */
import { parentPort } from "node:worker_threads";
import { type Connection, open, type Row, type Statement } from "../../examples/sqlite.ts";
import type { Answer, Question } from "./worker.ts";

let connection: Connection | undefined;
const statements: Statement[] = [];

function answer(question: Question): Row[] | number | undefined {
  if (question[1] === "many") {
    const statement = statements[question[2]]!;
    for (const row of question[3]) statement.run(...row);
    return;
  }
  const [, what, argument, values] = question;
  switch (what) {
    case "open":
      connection = open(argument as string);
      return;
    case "exec":
      connection!.exec(argument as string);
      return;
    case "prepare":
      return statements.push(connection!.prepare(argument as string)) - 1;
    case "run":
      statements[argument as number]!.run(...values);
      return;
    case "all":
      return statements[argument as number]!.all(...values);
    case "close":
      connection!.close();
      return;
  }
}

parentPort!.on("message", (question: Question) => {
  let reply: Answer;
  try {
    reply = [question[0], answer(question)];
  } catch (error) {
    reply = [question[0], undefined, String(error)];
  }
  parentPort!.postMessage(reply);
});
