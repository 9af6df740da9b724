// Where the schema and its migrations are. The URL is the migrator's, or for `migrate dev` a superuser's of a
// throw-away server, for Prisma then makes a shadow database.
import path from "node:path";
import { defineConfig } from "prisma/config";

const folder = path.resolve(import.meta.dirname, "../../packages/db/prisma");

export default defineConfig({
  schema: path.join(folder, "schema.prisma"),
  migrations: { path: path.join(folder, "migrations") },
  datasource: { url: process.env.SBA_MIGRATION_DATABASE_URL ?? "" },
});
