// What transformers.js makes of bundles. stdin: {library, root, bundles: [{name, texts, tags}]}; stdout: for each bundle
// {ids, logits, found}, each a list with an item a text. Where no tags are asked for there are ids alone.
import fs from "node:fs";

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const { AutoModelForTokenClassification, AutoTokenizer, env, pipeline } = await import(asked.library);
env.allowRemoteModels = false;
env.localModelPath = asked.root;

const out = [];
for (const { name, texts, tags } of asked.bundles) {
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const read = { ids: texts.map((text) => tokenizer.encode(text)), logits: [], found: [] };
  if (tags) {
    const model = await AutoModelForTokenClassification.from_pretrained(name);
    const tag = await pipeline("token-classification", name);
    for (const text of texts) {
      const { logits } = await model(await tokenizer(text));
      read.logits.push(logits.tolist()[0]);
      read.found.push(await tag(text, { ignore_labels: [] }));
    }
    await model.dispose();
    await tag.dispose();
  }
  out.push(read);
}
process.stdout.write(JSON.stringify(out));
