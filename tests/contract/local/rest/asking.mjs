// What the scripts share: clients of the unmodified @supabase/supabase-js, and how answers are shown.
import { createClient } from "@supabase/supabase-js";

export const [url, secret, publishable, ...more] = process.argv.slice(2);

// Realtime is not asked for anything, but wants a WebSocket, which Node.js has since 22.
const realtime = globalThis.WebSocket ? {} : { transport: class {} };

/** A client that keeps its session to itself. */
export function client(key, options = {}) {
  const auth = { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false };
  return createClient(url, key, { auth, realtime, ...options });
}

/** An error by what a program would decide on. */
export const problem = (error) => error && [error.name, error.status ?? null, error.code ?? null];

/** Ask one question after the other and print every answer. */
export async function ask(questions) {
  const answers = {};
  for (const [name, question] of Object.entries(questions)) {
    answers[name] = await question();
  }
  console.log(JSON.stringify(answers));
}
