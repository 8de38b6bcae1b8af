// What a word network sees of a word: features hashed to rows of a table, as dinku.model.word_features has them.

const RUN = 4; // a shape repeats the same letter at most so often
const GRAMS = 16; // of one length in one word
const MASK = (1n << 64n) - 1n;
const C1 = 0x87c37b91114253d5n;
const C2 = 0x4cf5ad432745937fn;

/** @type {(x: bigint, by: bigint) => bigint} */
const rotated = (x, by) => ((x << by) | (x >> (64n - by))) & MASK;

/** @type {(x: bigint) => bigint} */
function mixed(x) {
  x = ((x ^ (x >> 33n)) * 0xff51afd7ed558ccdn) & MASK;
  x = ((x ^ (x >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK;
  return x ^ (x >> 33n);
}

/**
 * MurmurHash3 with 128 bits for 64-bit machines and seed 0, as four numbers of 32 bits.
 *
 * @param {Uint8Array} bytes
 * @returns {number[]}
 */
export function murmur(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = bytes.length - (bytes.length % 16);
  let [a, b] = [0n, 0n];
  const first = (/** @type {bigint} */ k) => (rotated((k * C1) & MASK, 31n) * C2) & MASK;
  const second = (/** @type {bigint} */ k) => (rotated((k * C2) & MASK, 33n) * C1) & MASK;
  for (let at = 0; at < whole; at += 16) {
    a = ((rotated(a ^ first(view.getBigUint64(at, true)), 27n) + b) * 5n + 0x52dce729n) & MASK;
    b = ((rotated(b ^ second(view.getBigUint64(at + 8, true)), 31n) + a) * 5n + 0x38495ab5n) & MASK;
  }
  let [low, high] = [0n, 0n];
  for (let at = bytes.length - 1; at >= whole; at--) {
    if (at - whole < 8) low = (low << 8n) | BigInt(bytes[at]);
    else high = (high << 8n) | BigInt(bytes[at]);
  }
  const length = BigInt(bytes.length);
  a ^= first(low) ^ length;
  b ^= second(high) ^ length;
  a = (a + b) & MASK;
  b = (b + a) & MASK;
  [a, b] = [mixed(a), mixed(b)];
  a = (a + b) & MASK;
  b = (b + a) & MASK;
  return [a, a >> 32n, b, b >> 32n].map((x) => Number(x & 0xffffffffn));
}

// Digits to Python's str.isdigit that aren't decimal digits of any script: superscripts, circled ones and the like.
const DIGIT =
  /[\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]/u;
const UPPER = /\p{Uppercase}/u;
const LETTER = /\p{L}/u;

/**
 * The kinds of a word's characters: `X` upper case, `x` any other letter, `d` digit, all else as it is; runs cut after four.
 *
 * @param {string} word
 * @returns {string}
 */
export function shape(word) {
  let out = "";
  let last = "";
  let run = 0;
  for (const character of word) {
    const now = UPPER.test(character) ? "X" : LETTER.test(character) ? "x" : DIGIT.test(character) ? "d" : character;
    run = now === last ? run + 1 : 1;
    last = now;
    if (run <= RUN) out += now;
  }
  return out;
}

/** @type {(lower: string[], length: number) => string[]} */
function grams(lower, length) {
  const marked = ["<", ...lower, ">"];
  const out = [];
  for (let at = 0; at + length <= marked.length; at++) out.push(marked.slice(at, at + length).join(""));
  return out.length <= GRAMS ? out : [...out.slice(0, GRAMS / 2), ...out.slice(-GRAMS / 2)];
}

/**
 * One feature of a word: its name, how many values it has at most, and these.
 *
 * @typedef {{name: string, most: number, values: (word: string, lower: string[]) => string[]}} Feature
 */

/**
 * @param {string} name
 * @returns {Feature}
 */
function feature(name) {
  if (name === "word") return { name, most: 1, values: (_, lower) => [lower.join("")] };
  if (name === "shape") return { name, most: 1, values: (word) => [shape(word)] };
  const affix = /^(prefix|suffix)([1-9])$/.exec(name);
  if (affix) {
    const length = Number(affix[2]);
    const part = affix[1] === "prefix" ? [0, length] : [-length];
    return { name, most: 1, values: (_, lower) => [lower.slice(...part).join("")] };
  }
  const range = /^grams([1-9])(?:-([1-9]))?$/.exec(name);
  if (!range) throw new Error(`config.json: there is no feature ${name}; use the dinku.js of the version that exported the bundle`);
  /** @type {number[]} */
  const lengths = [];
  for (let n = Number(range[1]); n <= Number(range[2] ?? range[1]); n++) lengths.push(n);
  return { name, most: GRAMS * lengths.length, values: (_, lower) => lengths.flatMap((n) => grams(lower, n)) };
}

/** The rows of a table of embeddings that words are hashed to. */
export class WordFeatures {
  /** @param {{features: string[], rows: number, hashes: number}} config a bundle's config.json */
  constructor(config) {
    this.features = config.features.map(feature);
    this.rows = config.rows;
    this.hashes = config.hashes;
    this.encoder = new TextEncoder();
  }

  /**
   * The rows of one word, a list for each feature; 0 is none of them.
   *
   * @param {string} word
   * @returns {number[][]}
   */
  of(word) {
    const normal = word.normalize("NFC");
    const lower = Array.from(normal.toLowerCase());
    return this.features.map(({ name, values }) =>
      values(normal, lower).flatMap((value) =>
        murmur(this.encoder.encode(`${name}=${value}`)).slice(0, this.hashes).map((hash) => (hash % this.rows) + 1),
      ),
    );
  }
}
