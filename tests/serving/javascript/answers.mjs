// What js/ makes of texts. stdin: {modules, what, …}; stdout: its answers as JSON.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const module = (name) => import(pathToFileURL(path.join(asked.modules, name)));
const fetch = async (file) => {
  try {
    return new Response(fs.readFileSync(file));
  } catch {
    return new Response("", { status: 404 });
  }
};

async function opened() {
  const { open } = await module("dinku.js");
  if (!asked.libraries) return open(asked.bundle, { fetch });
  const ort = await import(pathToFileURL(path.join(asked.libraries, "onnxruntime-web/dist/ort.node.min.mjs")));
  const { Tokenizer } = await import(pathToFileURL(path.join(asked.libraries, "@huggingface/tokenizers/dist/tokenizers.mjs")));
  return open(asked.bundle, { fetch, ort, Tokenizer });
}

const answers = {
  async words() {
    const { read } = await module("text.js");
    return asked.texts.map((text) => read(text).spans);
  },
  async features() {
    const { WordFeatures, shape } = await module("features.js");
    const features = new WordFeatures(asked.config);
    return asked.words.map((word) => [shape(word.normalize("NFC")), features.of(word)]);
  },
  async entities() {
    const { entities } = await module("entities.js");
    return asked.tags.map((tags) => {
      const spans = tags.map((_, i) => [i, i + 1]);
      const text = { text: "x".repeat(tags.length), spans, units: [...tags.map((_, i) => i), tags.length] };
      return entities(text, { tags, scores: tags.map(() => 1) }).map(({ start, end, label }) => [start, end, label]);
    });
  },
  async decoded() {
    const { decoded } = await module("entities.js");
    return asked.logits.map((logits) => decoded(Float32Array.from(logits.flat()), asked.tags, true).tags);
  },
  async cuts() {
    const { cuts } = await module("subwords.js");
    return asked.cases.map(([first, n, room]) => [...cuts(first, n, room)]);
  },
  async find() {
    const tagger = await opened();
    const out = [];
    for (const text of asked.texts) out.push(await tagger.find(text));
    return out;
  },
  async refused() {
    return opened().then(() => "", (error) => error.message);
  },
};
process.stdout.write(JSON.stringify(await answers[asked.what]()));
