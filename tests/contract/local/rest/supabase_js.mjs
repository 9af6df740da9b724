// The unmodified @supabase/supabase-js against a stand-in; prints what each question was answered.
import { createClient } from "@supabase/supabase-js";

const [url, secret, publishable, userToken] = process.argv.slice(2);
const auth = { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false };
const service = createClient(url, secret, { auth });
const user = createClient(url, publishable, { auth, accessToken: undefined, global: { headers: { Authorization: `Bearer ${userToken}` } } });
const films = () => service.from("films").select("id").order("id");

const questions = {
  eq: () => films().eq("year", 1894),
  in: () => films().in("title", ["Metropolis", "a,b"]),
  or: () => films().or("year.lt.1895,year.gt.1900"),
  contains: () => films().contains("tags", ["short"]),
  containsObject: () => films().contains("data", { kind: "horror" }),
  notIsNull: () => films().not("rating", "is", null),
  likeAnyOf: () => films().likeAnyOf("title", ["The*", "Metro*"]),
  textSearch: () => films().textSearch("words", "castles", { config: "english" }),
  range: () => service.from("films").select("id", { count: "exact" }).order("id").range(1, 2),
  head: () => service.from("films").select("*", { count: "exact", head: true }),
  single: () => service.from("films").select("id").eq("id", 1).single(),
  notSingle: () => service.from("films").select("id").single(),
  maybeSingle: () => service.from("films").select("id").eq("id", 0).maybeSingle(),
  csv: () => service.from("films").select("id").eq("id", 1).csv(),
  embed: () => service.from("directors").select("last_name, films!inner(id)").eq("films.year", 1894),
  insert: () => service.from("products").insert([{ sku: "a", price: 1 }, { sku: "b", price: 2 }]).select("sku"),
  insertDefaults: () => service.from("foo").insert([{ bar: "x" }, { bar: "y", baz: 1 }], { defaultToNull: false }).select("baz"),
  upsert: () => service.from("products").upsert({ sku: "a", price: 3 }).select("price"),
  upsertIgnored: () => service.from("products").upsert({ sku: "a", price: 4 }, { ignoreDuplicates: true }).select(),
  update: () => service.from("products").update({ price: 9 }).eq("sku", "a").select("price"),
  delete: () => service.from("products").delete().eq("sku", "a").select("sku"),
  maxAffected: () => service.from("products").delete().gt("price", 0).maxAffected(1),
  rpc: () => service.rpc("add_them", { a: 1, b: 2 }),
  rpcGet: () => service.rpc("add_them", { a: 1, b: 2 }, { get: true }),
  rpcRows: () => service.rpc("films_of", { since: 1897 }).select("id"),
  rpcFails: () => service.rpc("just_fail"),
  rollback: () => service.from("products").insert({ sku: "gone" }).select("sku").rollback(),
  afterRollback: () => service.from("products").select("sku").eq("sku", "gone"),
  security: () => user.from("notes").select("body"),
  denied: () => user.from("hidden").select(),
};

const answers = {};
for (const [name, ask] of Object.entries(questions)) {
  const { data, error, count, status } = await ask();
  answers[name] = { data, code: error?.code ?? null, count, status };
}
console.log(JSON.stringify(answers));
