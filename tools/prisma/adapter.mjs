// Prisma's Postgres adapter as the schema engine needs it.
//
// The published one serves queries. For migrations it has four gaps, closed here: a URL's `options` are ignored;
// columns of type "char" arrive as text where the engine expects a character; a script is sent through the
// query path, which allows one statement; and the shadow database is not always dropped. The ledger of migrations
// is found by the search path. The adapter's own `schema` stays unset, for with it the engine writes
// migrations that leave the schema's name out.
import { randomUUID } from "node:crypto";
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";

const OID_CHAR = 18;
const OID_TEXT = 25;
const COLUMN_TYPE_CHARACTER = 6;

function completed(connection) {
  const performIO = connection.performIO.bind(connection);
  const queryRaw = connection.queryRaw.bind(connection);
  let characters = []; // the engine sends one query at a time
  connection.performIO = async (query) => {
    const result = await performIO(query);
    characters = result.fields.flatMap((field, at) => (field.dataTypeID === OID_CHAR ? [at] : []));
    for (const at of characters) result.fields[at].dataTypeID = OID_TEXT;
    return result;
  };
  connection.queryRaw = async (query) => {
    characters = [];
    const result = await queryRaw(query);
    for (const at of characters) result.columnTypes[at] = COLUMN_TYPE_CHARACTER;
    return result;
  };
  connection.executeScript = async (script) => {
    try {
      await connection.client.query(script);
      await connection.client.query("RESET ROLE"); // a script may have taken the owner's
    } catch (error) {
      connection.onError(error);
    }
  };
  return connection;
}

class MigrationAdapter extends PrismaPg {
  constructor(connection) {
    super(connection);
    this.connection = connection;
  }

  async connect() {
    return completed(await super.connect());
  }

  async connectToShadowDb() {
    const admin = new pg.Client(this.connection);
    await admin.connect();
    const database = `prisma_migrate_shadow_db_${randomUUID()}`;
    await admin.query(`CREATE DATABASE "${database}"`);
    const shadow = new PrismaPg({ ...this.connection, database });
    const connection = completed(await shadow.connect());
    const dispose = connection.dispose.bind(connection);
    connection.dispose = async () => {
      await dispose();
      await admin.query(`DROP DATABASE "${database}" WITH (FORCE)`);
      await admin.end();
    };
    return connection;
  }
}

/** The adapter for a connection URL, whose `options` go to the server. */
export function adapterFor(text) {
  const url = new URL(text);
  const options = [url.searchParams.get("options"), "-c search_path=service"].filter(Boolean).join(" ");
  const connection = {
    host: url.hostname,
    port: Number(url.port) || 5432,
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password) || undefined,
    database: decodeURIComponent(url.pathname.slice(1)),
    ssl: ["require", "verify-full"].includes(url.searchParams.get("sslmode")),
    options,
  };
  return new MigrationAdapter(connection);
}
