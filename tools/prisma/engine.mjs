#!/usr/bin/env node
// Prisma's schema engine from npm: the WebAssembly build behind the interface of the binary.
//
// Prisma's command line starts the program that PRISMA_SCHEMA_ENGINE_BINARY names and speaks JSON-RPC with it,
// a line a message. The binary is served by a host of Prisma's alone; the same engine is on npm as WebAssembly,
// where package-lock.json pins its digest. This file joins the two.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import { adapterFor } from "./adapter.mjs";

const CHANGED = 2; // the exit code of a diff that is not empty
const argv = process.argv.slice(2);

function option(name) {
  const at = argv.indexOf(name);
  return at < 0 ? undefined : argv[at + 1];
}

function following(name) {
  const at = argv.indexOf(name);
  if (at < 0) return [];
  const rest = argv.slice(at + 1);
  const end = rest.findIndex((word) => word.startsWith("--"));
  return end < 0 ? rest : rest.slice(0, end);
}

function datasourceUrl() {
  const text = option("--datasource") ?? "{}";
  return JSON.parse(text.startsWith("{") ? text : Buffer.from(text, "base64").toString()).url;
}

const home = path.dirname(createRequire(import.meta.url).resolve("@prisma/schema-engine-wasm"));

function load() {
  globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => console.error(message) };
  const module = new WebAssembly.Module(fs.readFileSync(path.join(home, "schema_engine_bg.wasm")));
  const instance = new WebAssembly.Instance(module, { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
}

function failure(error) {
  const data = { is_panic: false, message: String(error.message ?? error), meta: null, backtrace: null };
  if (error.code) data.error_code = error.code;
  return { code: 4466, message: "An error happened. Check the data field for details.", data };
}

class Engine {
  constructor() {
    this.datamodels = following("--datamodels").map((file) => [file, fs.readFileSync(file, "utf8")]);
  }

  /** A fresh engine, on the schema a request brings or else on the command line's. */
  on(params) {
    const files = params?.to?.files ?? params?.schema?.files ?? [];
    const sent = files.map((file) => [file.path, file.content]);
    const datamodels = this.datamodels.length ? this.datamodels : sent;
    return bindings.SchemaEngine.new(
      { datamodels: datamodels.length ? datamodels : undefined },
      () => {},
      bindMigrationAwareSqlAdapterFactory(adapterFor(datasourceUrl())),
    );
  }

  async planned(params) {
    const migrations = params.migrationsList;
    const engine = await this.on(params);
    return engine.diff({
      from: migrations.migrationDirectories.length ? { tag: "migrations", ...migrations } : { tag: "empty" },
      to: { tag: "schemaDatamodel", files: params.schema.files },
      script: true,
      exitCode: true,
      shadowDatabaseUrl: null,
      filters: params.filters,
    });
  }

  async evaluateDataLoss(params) {
    const plan = await this.planned(params);
    return { migrationSteps: plan.exitCode === CHANGED ? 1 : 0, unexecutableSteps: [], warnings: [] };
  }

  async createMigration(params) {
    const plan = await this.planned(params);
    const stamp = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
    return {
      connectorType: "postgresql",
      extension: "sql",
      generatedMigrationName: `${stamp}_${params.migrationName}`,
      migrationScript: plan.exitCode === CHANGED || params.draft ? plan.stdout : null,
    };
  }

  async getDatabaseVersion(params) {
    return (await this.on(params)).version(params);
  }

  async answer(method, params) {
    if (method in Engine.prototype) return this[method](params);
    return (await (await this.on(params))[method](params)) ?? null;
  }
}

async function serve() {
  load();
  const engine = new Engine();
  const say = (message) => console.log(JSON.stringify({ jsonrpc: "2.0", ...message }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = line.trim() ? JSON.parse(line) : {};
    if (!request.method) continue; // an answer to what we printed
    try {
      const result = await engine.answer(request.method, request.params);
      if (request.method === "diff" && result.stdout) {
        say({ id: 1_000_000 + request.id, method: "print", params: { content: result.stdout } });
      }
      say({ id: request.id, result });
    } catch (error) {
      say({ id: request.id, error: failure(error) });
    }
  }
}

async function canConnect() {
  try {
    const connection = await adapterFor(datasourceUrl()).connect();
    await connection.queryRaw({ sql: "select 1", args: [], argTypes: [] });
    await connection.dispose();
    return 0;
  } catch (error) {
    const fields = { message: String(error.message ?? error), error_code: "P1001" };
    console.error(JSON.stringify({ level: "ERROR", fields }));
    return 1;
  }
}

if (argv.includes("--version")) {
  const { version } = JSON.parse(fs.readFileSync(path.join(home, "package.json"), "utf8"));
  console.log(`schema-engine-cli ${version.split(".").at(-1)}`);
} else if (argv.includes("can-connect-to-database")) {
  process.exit(await canConnect());
} else {
  await serve();
  process.exit(0);
}
