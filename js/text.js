// The words of plain text and where they stand: the rules of dinku.data.word_boundaries.

const APOSTROPHE = "'‘’ʼ`´";
const IDEOGRAPH = /[\p{Unified_Ideograph}\uF900-\uFAD9\u{2F800}-\u{2FA1D}]/u;
const KINDS = /** @type {[RegExp, string][]} */ ([
  [/[\p{L}\p{M}\p{N}]/u, "w"],
  [/\p{Cf}/u, "j"],
  [/[\p{Z}\p{C}]/u, " "],
]);
const WORD = /w+(?:j+w+)*|s/g;
/** @type {Map<string, string>} */
const known = new Map();

/**
 * The kind of a character: `w` stands within a word, `j` is invisible and joins, `s` stands alone, a blank parts words.
 *
 * @param {string} character one code point
 * @returns {string}
 */
function kind(character) {
  let found = known.get(character);
  if (found === undefined) {
    found = KINDS.find(([pattern]) => pattern.test(character))?.[1] ?? "s";
    if (APOSTROPHE.includes(character)) found = "w";
    if (IDEOGRAPH.test(character)) found = "s";
    known.set(character, found);
  }
  return found;
}

/**
 * A text, its words, and where each begins and ends.
 *
 * @typedef {object} Text
 * @property {string} text as given
 * @property {string[]} words
 * @property {[number, number][]} spans of words in code points, as Python counts
 * @property {number[]} units where each code point begins in UTF-16 units, as `slice` counts; one more for the end
 */

/**
 * Parts a text into words. Raises a `TypeError` for what is no text, or holds half of a surrogate pair.
 *
 * @param {string} text
 * @returns {Text}
 */
export function read(text) {
  if (typeof text !== "string") throw new TypeError("the text is no string; give a string");
  const kinds = [];
  const units = [0];
  for (const character of text) {
    if (character.length === 1 && character >= "\ud800" && character <= "\udfff") {
      throw new TypeError(`half a surrogate pair stands at ${units.at(-1)}; give whole characters`);
    }
    kinds.push(kind(character));
    units.push(units[units.length - 1] + character.length);
  }
  /** @type {[number, number][]} */
  const spans = Array.from(kinds.join("").matchAll(WORD), (match) => [match.index, match.index + match[0].length]);
  return { text, words: spans.map(([start, end]) => text.slice(units[start], units[end])), spans, units };
}
