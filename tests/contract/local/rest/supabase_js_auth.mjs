// Auth with the unmodified @supabase/supabase-js; prints what each step showed.
import { ask, client, problem, publishable, secret } from "./asking.mjs";

const ADA = { email: "ada@example.test", password: "correct horse" };
const ada = client(publishable);
const elsewhere = client(publishable);
const admin = client(secret).auth.admin;
const kept = {};

const signIn = async (who, credentials = ADA) => {
  const { data, error } = await who.auth.signInWithPassword(credentials);
  return error ? problem(error) : data.session.token_type;
};

await ask({
  signUp: async () => {
    const { data, error } = await ada.auth.signUp({ ...ADA, options: { data: { name: "Ada" } } });
    kept.id = data.user?.id;
    return [problem(error), data.user?.email, data.user?.user_metadata.name, data.user?.role, data.session?.expires_in];
  },
  signUpTwice: async () => problem((await elsewhere.auth.signUp(ADA)).error),
  signUpWeak: async () => {
    const { error } = await elsewhere.auth.signUp({ email: "b@example.test", password: "12345" });
    return [problem(error), error.reasons];
  },
  signUpWithoutAddress: async () => problem((await elsewhere.auth.signUp({ email: "b", password: "correct horse" })).error),
  wrongPassword: () => signIn(elsewhere, { ...ADA, password: "wrong horse" }),
  nobody: () => signIn(elsewhere, { ...ADA, email: "nobody@example.test" }),
  password: () => signIn(elsewhere),
  identities: async () => (await ada.auth.getUserIdentities()).data.identities.map((one) => one.provider),
  getUser: async () => (await ada.auth.getUser()).data.user.id === kept.id,
  getUserByToken: async () => {
    const { data } = await elsewhere.auth.getSession();
    return (await client(publishable).auth.getUser(data.session.access_token)).data.user.id === kept.id;
  },
  getUserForged: async () => problem((await client(publishable).auth.getUser("a.b.c")).error),
  getUserNobody: async () => problem((await client(publishable).auth.getUser()).error),
  claims: async () => {
    const { data, error } = await ada.auth.getClaims();
    return [problem(error), data.header.alg, data.claims.sub === kept.id, data.claims.role, data.claims.aal];
  },
  refresh: async () => {
    const before = (await ada.auth.getSession()).data.session;
    const { data, error } = await ada.auth.refreshSession();
    kept.old = before.refresh_token;
    return [problem(error), data.session.refresh_token !== before.refresh_token, data.user.id === kept.id];
  },
  refreshUnknown: async () => problem((await client(publishable).auth.refreshSession({ refresh_token: "unknown" })).error),
  setSession: async () => {
    const { access_token, refresh_token } = (await ada.auth.getSession()).data.session;
    const other = client(publishable);
    const { error } = await other.auth.setSession({ access_token, refresh_token });
    return [problem(error), (await other.auth.getUser()).data.user.id === kept.id];
  },
  updateUser: async () => {
    const { data, error } = await ada.auth.updateUser({ data: { team: "x" } });
    return [problem(error), data.user.user_metadata];
  },
  samePassword: async () => problem((await ada.auth.updateUser({ password: ADA.password })).error),
  newPassword: async () => problem((await ada.auth.updateUser({ password: "battery staple" })).error),
  otherSessionsEnded: async () => problem((await elsewhere.auth.getUser()).error),
  oldPassword: () => signIn(elsewhere),
  withNewPassword: () => signIn(elsewhere, { ...ADA, password: "battery staple" }),
  signOutLocal: async () => {
    const { error } = await elsewhere.auth.signOut({ scope: "local" });
    return [problem(error), (await elsewhere.auth.getSession()).data.session, (await ada.auth.getUser()).error];
  },
  signOutOthers: async () => {
    await signIn(elsewhere, { ...ADA, password: "battery staple" });
    const { error } = await ada.auth.signOut({ scope: "others" });
    return [problem(error), problem((await elsewhere.auth.getUser()).error), (await ada.auth.getUser()).error];
  },
  signOutGlobal: async () => {
    const { access_token, refresh_token } = (await ada.auth.getSession()).data.session;
    const { error } = await ada.auth.signOut();
    const late = client(publishable);
    return [problem(error), problem((await late.auth.getUser(access_token)).error), problem((await late.auth.refreshSession({ refresh_token })).error)];
  },

  createUser: async () => {
    const { data, error } = await admin.createUser({
      email: "bob@example.test", password: "correct horse", email_confirm: true,
      app_metadata: { tenant_id: "t" }, user_metadata: { name: "Bob" },
    });
    kept.bob = data.user?.id;
    return [problem(error), data.user?.app_metadata.tenant_id, data.user?.user_metadata];
  },
  createTwice: async () => problem((await admin.createUser({ email: "bob@example.test", password: "correct horse" })).error),
  unconfirmed: async () => {
    await admin.createUser({ email: "eve@example.test", password: "correct horse" });
    return signIn(elsewhere, { email: "eve@example.test", password: "correct horse" });
  },
  listUsers: async () => {
    const { data, error } = await admin.listUsers({ page: 1, perPage: 2 });
    return [problem(error), data.users.length, data.total, data.nextPage, data.lastPage];
  },
  getUserById: async () => (await admin.getUserById(kept.bob)).data.user.email,
  getUserByIdUnknown: async () => problem((await admin.getUserById("00000000-0000-0000-0000-000000000000")).error),
  updateUserById: async () => {
    const { data, error } = await admin.updateUserById(kept.bob, { email: "robert@example.test", app_metadata: { plan: "x" } });
    return [problem(error), data.user?.email, data.user?.app_metadata.plan, data.user?.app_metadata.tenant_id];
  },
  ban: async () => {
    await admin.updateUserById(kept.bob, { ban_duration: "1h" });
    return signIn(elsewhere, { email: "robert@example.test", password: "correct horse" });
  },
  deleteUser: async () => problem((await admin.deleteUser(kept.bob)).error),
  deleteUserTwice: async () => problem((await admin.deleteUser(kept.bob)).error),
  adminForUsers: async () => problem((await client(publishable).auth.admin.listUsers()).error),
  anonymous: async () => problem((await client(publishable).auth.signInAnonymously()).error),
  events: async () => {
    const other = client(publishable);
    const seen = [];
    const { data } = other.auth.onAuthStateChange((event) => seen.push(event));
    await signIn(other, { ...ADA, password: "battery staple" });
    await other.auth.refreshSession();
    await other.auth.signOut();
    data.subscription.unsubscribe();
    return seen.filter((event) => event !== "INITIAL_SESSION");
  },
});
