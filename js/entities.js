// From logits to tags and from tags to entities: dinku.model.decoding and dinku.data.spans.

const NEVER = -1e9;

/** @type {(before: string, tag: string) => boolean} */
const legal = (before, tag) => !(tag.startsWith("I-") && before.slice(2) !== tag.slice(2));

/** @type {(values: Float32Array, start: number, count: number) => number} */
function largest(values, start, count) {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[start + i] > values[start + best]) best = i;
  return best;
}

/**
 * The tag of each word and its probability.
 *
 * @param {Float32Array} logits [words, tags]
 * @param {string[]} tags
 * @param {boolean} onlyLegal whether the tags are the most probable ones that are legal one after another, by Viterbi's algorithm
 * @returns {{tags: string[], scores: number[]}}
 */
export function decoded(logits, tags, onlyLegal) {
  const count = tags.length;
  const length = logits.length / count;
  let best = Array.from({ length }, (_, word) => largest(logits, word * count, count));
  if (onlyLegal && best.some((tag, word) => !legal(word ? tags[best[word - 1]] : "O", tags[tag]))) {
    best = viterbi(logits, tags, length);
  }
  const scores = best.map((tag, word) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += Math.exp(logits[word * count + i] - logits[word * count + tag]);
    return 1 / sum;
  });
  return { tags: best.map((tag) => tags[tag]), scores };
}

/** @type {(logits: Float32Array, tags: string[], length: number) => number[]} */
function viterbi(logits, tags, length) {
  const count = tags.length;
  let score = tags.map((tag, i) => logits[i] + (legal("O", tag) ? 0 : NEVER));
  /** @type {number[][]} */
  const back = [];
  for (let word = 1; word < length; word++) {
    const from = tags.map((tag) => {
      let best = 0;
      let most = -Infinity;
      tags.forEach((before, i) => {
        const through = score[i] + (legal(before, tag) ? 0 : NEVER);
        if (through > most) [best, most] = [i, through];
      });
      return { best, most };
    });
    back.push(from.map(({ best }) => best));
    score = from.map(({ most }, i) => most + logits[word * count + i]);
  }
  const out = [score.indexOf(Math.max(...score))];
  for (let word = length - 2; word >= 0; word--) out.unshift(back[word][out[0]]);
  return out;
}

/**
 * An entity of a text.
 *
 * @typedef {object} Entity
 * @property {number} start the first code point, as Python counts
 * @property {number} end the code point after the last
 * @property {string} label such as `PER`
 * @property {string} text
 * @property {number} score the mean probability of its words' tags, 0 to 1
 * @property {[number, number]} units start and end in UTF-16 units, for `text.slice(...entity.units)`
 */

/**
 * The entities that tags of any scheme (IO, IOB1, IOB2, BIOES, BILOU) mean; an `I-X` that continues nothing begins one.
 *
 * @param {import("./text.js").Text} text
 * @param {{tags: string[], scores: number[]}} found
 * @returns {Entity[]}
 */
export function entities({ text, spans, units }, { tags, scores }) {
  const out = [];
  let before = "O";
  for (let word = 0; word < tags.length; word++) {
    const tag = tags[word];
    const continues = before.slice(2) === tag.slice(2) && "BI".includes(before[0]) && "IEL".includes(tag[0]);
    if (tag !== "O" && continues) {
      out[out.length - 1].last = word;
    } else if (tag !== "O") {
      out.push({ first: word, last: word, label: tag.slice(2) });
    }
    before = tag;
  }
  return out.map(({ first, last, label }) => {
    const [start, end] = [spans[first][0], spans[last][1]];
    const within = /** @type {[number, number]} */ ([units[start], units[end]]);
    let sum = 0;
    for (let word = first; word <= last; word++) sum += scores[word];
    return { start, end, label, text: text.slice(...within), score: sum / (last - first + 1), units: within };
  });
}
