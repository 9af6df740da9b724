// Functions with the unmodified @supabase/supabase-js; prints what each call was answered.
import { ask, client, more, publishable, secret } from "./asking.mjs";

const service = client(secret);
const anybody = client(publishable);
const user = client(publishable, { global: { headers: { Authorization: `Bearer ${more[0]}` } } });

const invoke = async (who, name, options) => {
  const { data, error, response } = await who.functions.invoke(name, options);
  if (error) {
    return [error.name, error.context?.status ?? null, error.context?.json ? await error.context.json().catch(() => null) : null];
  }
  return [data instanceof Blob ? [data.type, await data.text()] : data, response.status];
};

await ask({
  json: () => invoke(service, "echo", { body: { name: "Ada" } }),
  text: () => invoke(service, "echo", { body: "plain" }),
  bytes: () => invoke(service, "echo", { body: new Blob([new Uint8Array([104, 105])]) }),
  form: () => {
    const body = new FormData();
    body.set("name", "Ada");
    return invoke(service, "kind", { body });
  },
  methodAndHeaders: () => invoke(service, "kind", { method: "GET", headers: { "x-more": "yes" } }),
  path: () => invoke(service, "kind/deep/er?a=1", { method: "DELETE" }),
  answersText: () => invoke(service, "greets"),
  answersBytes: () => invoke(service, "sends_bytes"),
  answersNothing: () => invoke(service, "sends_nothing"),
  ownStatus: () => invoke(service, "refuses"),
  failing: () => invoke(service, "raises"),
  unknown: () => invoke(service, "nowhere"),
  asService: () => invoke(service, "who"),
  asAnybody: () => invoke(anybody, "who"),
  asUser: () => invoke(user, "who"),
  aborted: () => invoke(service, "greets", { signal: AbortSignal.abort() }),
  late: () => invoke(service, "hangs", { timeout: 200 }),
});
