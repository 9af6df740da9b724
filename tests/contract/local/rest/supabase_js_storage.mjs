// Storage with the unmodified @supabase/supabase-js; prints what each step showed.
import { ask, client, more, publishable, secret, url } from "./asking.mjs";

const [token, tenant, otherTenant] = more;
const service = client(secret).storage;
const headers = { Authorization: `Bearer ${token}`, "x-tenant-id": tenant };
const user = client(publishable, { global: { headers } }).storage;
const box = service.from("box");
const files = user.from("tenant-files");
const kept = {};

const problem = (error) => error && [error.name, error.status ?? null, error.statusCode ?? null];
const text = async ({ data, error }) => (error ? problem(error) : data.text());
const fetched = async (address, options) => {
  const answer = await fetch(address, options);
  return [answer.status, answer.headers.get("content-type"), await answer.text()];
};

await ask({
  createBucket: async () => {
    const { data, error } = await service.createBucket("box", { public: true, fileSizeLimit: "1KB", allowedMimeTypes: ["text/*"] });
    return [problem(error), data];
  },
  createTwice: async () => problem((await service.createBucket("box")).error),
  getBucket: async () => {
    const { id, public: open, file_size_limit, allowed_mime_types } = (await service.getBucket("box")).data;
    return [id, open, file_size_limit, allowed_mime_types];
  },
  getNone: async () => problem((await service.getBucket("none")).error),
  listBuckets: async () => (await service.listBuckets()).data.map((bucket) => bucket.id),
  updateBucket: async () => {
    const { error } = await service.updateBucket("box", { public: true, fileSizeLimit: null, allowedMimeTypes: null });
    return [problem(error), (await service.getBucket("box")).data.file_size_limit];
  },

  upload: async () => {
    const { data, error } = await box.upload("a/one.txt", "hello", { contentType: "text/plain", cacheControl: "60", metadata: { by: "ada" } });
    return [problem(error), data?.path, data?.fullPath, typeof data?.id];
  },
  uploadTwice: async () => problem((await box.upload("a/one.txt", "again", { contentType: "text/plain" })).error),
  uploadUpsert: async () => problem((await box.upload("a/one.txt", "second", { contentType: "text/plain", upsert: true })).error),
  uploadBlob: async () => problem((await box.upload("a/two.txt", new Blob(["two"], { type: "text/plain" }))).error),
  uploadForm: async () => {
    const body = new FormData();
    body.append("", new Blob(["three"], { type: "text/plain" }), "three.txt");
    return problem((await box.upload("a/three.txt", body)).error);
  },
  uploadBytes: async () => problem((await box.upload("a/b/four.bin", new Uint8Array([0, 255]), { contentType: "application/octet-stream" })).error),
  uploadToNone: async () => problem((await service.from("none").upload("a", "x")).error),
  uploadClimbing: async () => problem((await box.upload("a/../../x", "x")).error),
  update: async () => [problem((await box.update("a/two.txt", "new two", { contentType: "text/plain" })).error), await text(await box.download("a/two.txt"))],
  updateNone: async () => problem((await box.update("a/none.txt", "x")).error),
  download: async () => text(await box.download("a/one.txt")),
  downloadNone: async () => {
    const { error } = await box.download("a/none.txt");
    return error.name;
  },
  info: async () => {
    const { size, contentType, cacheControl, metadata, name } = (await box.info("a/one.txt")).data;
    return { size, contentType, cacheControl, metadata, name };
  },
  metadata: async () => {
    await box.upload("a/told.txt", "told", { contentType: "text/plain", metadata: { by: "ada" }, cacheControl: "60" });
    const { metadata, cacheControl } = (await box.info("a/told.txt")).data;
    return [metadata, cacheControl];
  },
  exists: async () => [(await box.exists("a/one.txt")).data, (await box.exists("a/none.txt")).data],
  list: async () => (await box.list("a")).data.map(({ name, id, metadata }) => [name, id === null, metadata?.size ?? null]),
  listPage: async () => (await box.list("a", { limit: 2, offset: 1, sortBy: { column: "name", order: "desc" } })).data.map(({ name }) => name),
  listSearch: async () => (await box.list("a", { search: "t" })).data.map(({ name }) => name),
  publicUrl: async () => {
    const { publicUrl } = box.getPublicUrl("a/one.txt").data;
    return [publicUrl.slice(url.length), await fetched(publicUrl)];
  },
  publicUrlDownload: async () => {
    const answer = await fetch(box.getPublicUrl("a/one.txt", { download: "ä.txt" }).data.publicUrl);
    return answer.headers.get("content-disposition");
  },
  copy: async () => {
    const { data, error } = await box.copy("a/one.txt", "c/copy.txt");
    return [problem(error), data.path, await text(await box.download("c/copy.txt"))];
  },
  move: async () => {
    const { data, error } = await box.move("c/copy.txt", "c/moved.txt");
    return [problem(error), data.message, (await box.exists("c/copy.txt")).data, (await box.exists("c/moved.txt")).data];
  },
  copyElsewhere: async () => {
    const { error } = await box.copy("a/one.txt", "x/one.txt", { destinationBucket: "tenant-files" });
    return [problem(error), (await service.from("tenant-files").exists("x/one.txt")).data];
  },
  moveNone: async () => problem((await box.move("none", "some")).error),
  remove: async () => {
    const { data, error } = await box.remove(["a/two.txt", "a/none.txt"]);
    return [problem(error), data.map(({ name }) => name)];
  },

  signedUrl: async () => {
    const { data, error } = await box.createSignedUrl("a/one.txt", 60);
    kept.signed = data.signedUrl;
    return [problem(error), await fetched(data.signedUrl)];
  },
  signedUrlDownload: async () => {
    const { data } = await box.createSignedUrl("a/one.txt", 60, { download: true });
    return (await fetch(data.signedUrl)).headers.get("content-disposition");
  },
  signedUrlForged: async () => (await fetched(kept.signed.replace("one.txt", "three.txt")))[0],
  signedUrlOfNone: async () => problem((await box.createSignedUrl("none", 60)).error),
  signedUrls: async () => {
    const { data } = await box.createSignedUrls(["a/one.txt", "none"], 60);
    return [data.map(({ path, error, signedUrl }) => [path, error, signedUrl !== null]), await fetched(data[0].signedUrl)];
  },
  signedUpload: async () => {
    const { data, error } = await box.createSignedUploadUrl("up/new.txt");
    kept.ticket = data;
    const sent = await client(publishable).storage.from("box").uploadToSignedUrl(data.path, data.token, "signed", { contentType: "text/plain" });
    return [problem(error), problem(sent.error), sent.data?.fullPath, await text(await box.download("up/new.txt"))];
  },
  signedUploadTwice: async () => problem((await box.uploadToSignedUrl(kept.ticket.path, kept.ticket.token, "x")).error),
  signedUploadElsewhere: async () => problem((await box.uploadToSignedUrl("up/other.txt", kept.ticket.token, "x")).error),
  signedUploadUpsert: async () => {
    const { data } = await box.createSignedUploadUrl("up/new.txt", { upsert: true });
    const sent = await box.uploadToSignedUrl(data.path, data.token, new Blob(["over"], { type: "text/plain" }));
    return [problem(sent.error), await text(await box.download("up/new.txt"))];
  },

  ownPrefix: async () => problem((await files.upload(`${tenant}/notes/a.txt`, "mine", { contentType: "text/plain" })).error),
  ownDownload: async () => text(await files.download(`${tenant}/notes/a.txt`)),
  ownList: async () => (await files.list(`${tenant}/notes`)).data.map(({ name }) => name),
  otherPrefix: async () => problem((await files.upload(`${otherTenant}/notes/a.txt`, "theirs", { contentType: "text/plain" })).error),
  otherDownload: async () => {
    await service.from("tenant-files").upload(`${otherTenant}/b.txt`, "theirs", { contentType: "text/plain" });
    return (await files.download(`${otherTenant}/b.txt`)).error.name;
  },
  otherList: async () => (await files.list(otherTenant)).data,
  otherSigned: async () => problem((await files.createSignedUrl(`${otherTenant}/b.txt`, 60)).error),
  otherMove: async () => problem((await files.move(`${tenant}/notes/a.txt`, `${otherTenant}/a.txt`)).error),
  otherCopy: async () => problem((await files.copy(`${otherTenant}/b.txt`, `${tenant}/b.txt`)).error),
  otherRemove: async () => (await files.remove([`${otherTenant}/b.txt`])).data,
  otherUpsert: async () => problem((await files.upload(`${otherTenant}/b.txt`, "over", { upsert: true })).error),
  userBucket: async () => problem((await user.createBucket("mine")).error),

  deleteFull: async () => problem((await service.deleteBucket("box")).error),
  emptyBucket: async () => problem((await service.emptyBucket("box")).error),
  deleteBucket: async () => [problem((await service.deleteBucket("box")).error), problem((await service.getBucket("box")).error)],
});
