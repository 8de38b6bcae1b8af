// A transformer by onnxruntime-web: words to windows of subwords as dinku.model.encode makes them.

const MARKS = ["▁", "Ġ"]; // what SentencePiece and byte-level BPE write for the start of a word

/** Tags words by a model that reads subwords. */
export class SubwordNetwork {
  /**
   * @param {Uint8Array} model the ONNX file
   * @param {{tokenizer: any, settings: any, manifest: any, tags: number}} files
   * @param {{ort: any, Tokenizer: any}} libraries
   */
  static async create(model, { tokenizer, settings, manifest, tags }, { ort, Tokenizer }) {
    if (!ort || !Tokenizer) {
      const remedy = 'open(url, { ort, Tokenizer }), from "onnxruntime-web" and "@huggingface/tokenizers"';
      throw new Error(`the bundle is a transformer, which reads subwords; give ${remedy}`);
    }
    const parts = [tokenizer.pre_tokenizer, ...(tokenizer.pre_tokenizer?.pretokenizers ?? [])];
    for (const part of parts) if (part?.type === "ByteLevel") part.add_prefix_space = true; // as in training
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    return new SubwordNetwork(session, new Tokenizer(tokenizer, settings), ort, manifest, tags);
  }

  /** @param {any} session @param {any} tokenizer @param {any} ort @param {any} manifest @param {number} tags */
  constructor(session, tokenizer, ort, manifest, tags) {
    this.session = session;
    this.tokenizer = tokenizer;
    this.ort = ort;
    this.tags = tags;
    this.length = manifest.length;
    const bare = manifest.label_on === "first_content" ? MARKS : [];
    this.marks = new Set(bare.map((mark) => tokenizer.token_to_id(mark)).filter((id) => id !== undefined));
    const [whole, inner] = [tokenizer.encode("a"), tokenizer.encode("a", { add_special_tokens: false })];
    const start = whole.ids.indexOf(inner.ids[0]);
    this.before = whole.ids.slice(0, start);
    this.after = whole.ids.slice(start + inner.ids.length);
    /** @type {Map<string, number[]>} */
    this.known = new Map();
  }

  /** @type {(word: string) => number[]} */
  subwords(word) {
    let ids = this.known.get(word);
    if (!ids) {
      ids = /** @type {number[]} */ (this.tokenizer.encode(word, { add_special_tokens: false }).ids);
      if (this.known.size >= 50_000) this.known.clear();
      this.known.set(word, ids);
    }
    return ids;
  }

  /**
   * Logits [words, tags] of a sentence; a word that yields no subword has those of `O`.
   *
   * @param {string[]} words
   * @param {number} outside the number of the tag `O`
   * @returns {Promise<Float32Array>}
   */
  async logits(words, outside) {
    const out = new Float32Array(words.length * this.tags).fill(-1e4);
    for (let word = 0; word < words.length; word++) out[word * this.tags + outside] = 0;
    /** @type {number[]} */
    const ids = [];
    /** @type {number[]} */
    const owner = [];
    /** @type {number[]} */
    const first = [];
    for (let word = 0; word < words.length; word++) {
      const pieces = this.subwords(words[word]);
      if (!pieces.length) continue;
      first.push(ids.length);
      owner.push(word);
      for (const id of pieces) ids.push(id);
    }
    const speaks = first.map((at, i) => {
      const last = (first[i + 1] ?? ids.length) - 1;
      return this.marks.has(ids[at]) && last > at ? at + 1 : at;
    });
    for (const [start, end, low, high] of cuts(first, ids.length, this.length - this.before.length - this.after.length)) {
      const piece = [...this.before, ...ids.slice(start, end), ...this.after];
      const dims = [1, piece.length];
      const feeds = {
        input_ids: new this.ort.Tensor("int64", BigInt64Array.from(piece, BigInt), dims),
        attention_mask: new this.ort.Tensor("int64", new BigInt64Array(piece.length).fill(1n), dims),
      };
      const { logits } = await this.session.run(feeds);
      for (let i = low; i < high; i++) {
        const at = (speaks[i] - start + this.before.length) * this.tags;
        out.set(logits.data.subarray(at, at + this.tags), owner[i] * this.tags);
      }
    }
    return out;
  }
}

/** How many of the sorted numbers are below `value`, or with `orEqual` not above it. @type {(sorted: number[], value: number, orEqual?: boolean) => number} */
function below(sorted, value, orEqual = false) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value || (orEqual && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * How to read `n` subwords whose words begin at `first` through windows of `room`: first subword, end, first word scored, end.
 *
 * @param {number[]} first
 * @param {number} n
 * @param {number} room
 * @returns {Generator<[number, number, number, number]>}
 */
export function* cuts(first, n, room) {
  let [start, low] = [0, 0];
  while (low < first.length) {
    let end = n;
    if (n - start > room) {
      const whole = first[below(first, start + room, true) - 1];
      end = whole > start ? whole : start + room;
    }
    let [following, high] = [n, first.length];
    if (end < n) {
      const at = below(first, Math.max(end - (room >> 1), start + 1));
      following = at < first.length ? first[at] : n;
      high = below(first, (following + end) / 2);
    }
    if (high > low) yield [start, end, low, high];
    [start, low] = [following, high];
  }
}
