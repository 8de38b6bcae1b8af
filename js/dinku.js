// Tags text in the browser (or in node) with a bundle that dinku exported. No text leaves the machine.
//
//   import { open } from "./dinku.js";
//   const tagger = await open("models/small");
//   await tagger.find("Amina Bello ta je Kano.");  // [{start: 0, end: 11, label: "PER", text: "Amina Bello", …}, …]

import { decoded, entities } from "./entities.js";
import { WordNetwork } from "./network.js";
import { SubwordNetwork } from "./subwords.js";
import { read } from "./text.js";

export { read };

/** @typedef {import("./entities.js").Entity} Entity */

const MOST_BYTES = 2_000_000_000;

/** A bundle that has been opened. */
export class Tagger {
  /** @param {WordNetwork | SubwordNetwork} network @param {string[]} tags @param {any} manifest */
  constructor(network, tags, manifest) {
    this.network = network;
    this.tags = tags;
    this.manifest = manifest;
    this.onlyLegal = network instanceof WordNetwork;
  }

  /**
   * The tag of each word of a sentence, and its probability (0 to 1).
   *
   * @param {string[]} words
   * @returns {Promise<{tags: string[], scores: number[]}>}
   */
  async tag(words) {
    return decoded(await this.network.logits(words, this.tags.indexOf("O")), this.tags, this.onlyLegal);
  }

  /**
   * The entities of a text as typed.
   *
   * @param {string} text
   * @returns {Promise<Entity[]>}
   */
  async find(text) {
    const typed = read(text);
    return entities(typed, await this.tag(typed.words));
  }
}

/**
 * Opens a bundle, once each of its files is known to be the one that was exported.
 *
 * A bundle of a word network needs nothing else. One of a transformer needs `ort`, all that "onnxruntime-web" exports, and the
 * `Tokenizer` of "@huggingface/tokenizers". Throws an `Error` where the folder is no bundle for onnxruntime, or is damaged.
 *
 * @param {string | URL} url the bundle's folder
 * @param {{ort?: any, Tokenizer?: any, fetch?: (url: string) => Promise<Response>, progress?: (read: number, all: number) => void}} [options]
 *   `fetch` reads a file, by default that of the browser; `progress` is told how many bytes are read, of how many
 * @returns {Promise<Tagger>}
 */
export async function open(url, { ort, Tokenizer, fetch = (file) => globalThis.fetch(file), progress = () => {} } = {}) {
  const folder = String(url).replace(/\/*$/, "/");
  const get = async (/** @type {string} */ name) => {
    const response = await fetch(folder + name);
    if (!response.ok) throw new Error(`${folder}${name} can't be read (${response.status}); name the folder of a bundle`);
    return response;
  };
  let manifest;
  try {
    manifest = await (await get("bundle.json")).json();
  } catch (error) {
    if (error instanceof SyntaxError) throw new Error(`${folder}bundle.json is no JSON; copy the bundle again`);
    throw error;
  }
  if (manifest.format !== 1 || manifest.runtime !== "onnxruntime" || !manifest.files) {
    throw new Error(`${folder} is no bundle for onnxruntime; export it with: dinku export MODEL OUT`);
  }
  const names = Object.keys(manifest.files);
  const all = names.reduce((sum, name) => sum + manifest.files[name].bytes, 0);
  if (!(all < MOST_BYTES) || names.some((name) => !/^[\w-]+(?:\/[\w-]+)?(?:\.\w+)+$/.test(name))) {
    throw new Error(`${folder}bundle.json lists files that no bundle has; copy the bundle again`);
  }
  let done = 0;
  const files = Object.fromEntries(await Promise.all(names.map(async (name) => {
    const bytes = await checked(await get(name), folder + name, manifest.files[name]);
    progress((done += bytes.length), all);
    return [name, bytes];
  })));
  const parsed = (/** @type {string} */ name) => JSON.parse(new TextDecoder().decode(files[name]));
  const config = parsed("config.json");
  const tags = Object.keys(config.id2label).map((_, number) => String(config.id2label[number]));
  if (config.dinku_task || (config.architectures ?? []).some((/** @type {string} */ name) => name.includes("ForSequence"))) {
    throw new Error(`${folder} is for another task than named entities; run it with: dinku serve`);
  }
  const model = files[manifest.precision === "int8" ? "onnx/model_quantized.onnx" : "onnx/model.onnx"];
  if (config.model_type === "dinku-words") return new Tagger(new WordNetwork(model, config), tags, manifest);
  const read = { tokenizer: parsed("tokenizer.json"), settings: parsed("tokenizer_config.json"), manifest, tags: tags.length };
  return new Tagger(await SubwordNetwork.create(model, read, { ort, Tokenizer }), tags, manifest);
}

/**
 * The bytes of a file, which are those that were exported: of a size, and of a sha256 where the page may compute one.
 *
 * @param {Response} response
 * @param {string} name
 * @param {{bytes: number, sha256: string}} wanted
 * @returns {Promise<Uint8Array>}
 */
async function checked(response, name, wanted) {
  const bytes = new Uint8Array(await response.arrayBuffer());
  let same = bytes.length === wanted.bytes;
  if (same && globalThis.crypto?.subtle) { // which there isn't on a page that came by plain http from another machine
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    same = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === wanted.sha256;
  }
  if (!same) throw new Error(`${name} isn't the file that was exported; copy the bundle again`);
  return bytes;
}
