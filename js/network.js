// A word network computed here, without a library: dinku.nn.word_network with the weights of a bundle's ONNX file.
//
// int8 layers round what they read and sum in whole numbers, as onnxruntime does, so that answers agree but for the
// rounding of float32.

import { WordFeatures } from "./features.js";
import { graph } from "./onnx.js";

const REMEMBERED = 50_000; // words

/**
 * A linear layer; `weight` [inputs, outputs]. Where it is int8, `scale` is that of each output, and `read` how its inputs round.
 *
 * @typedef {object} Linear
 * @property {Float32Array | Int8Array} weight
 * @property {Float32Array} bias
 * @property {Float32Array} [scale]
 * @property {{scale: number, zero: number, low: number, high: number}} [read]
 */

/** @typedef {{weight: Float32Array, bias: Float32Array, epsilon: number}} Norm */

/** The network of one bundle. */
export class WordNetwork {
  /**
   * @param {Uint8Array} model the ONNX file
   * @param {any} config config.json
   */
  constructor(model, config) {
    const { nodes, tensors } = graph(model);
    const from = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
    const odd = () => new Error("the model isn't the word network that config.json describes; export it again");
    const floats = (/** @type {string} */ name) => {
      const data = tensors.get(name)?.data;
      if (!(data instanceof Float32Array)) throw odd();
      return data;
    };
    /** @type {Linear[]} */
    const layers = nodes.filter(({ op }) => op === "MatMul").map(({ inputs, outputs }) => {
      const sum = nodes.find(({ op, inputs: read }) => op === "Add" && read.includes(outputs[0]));
      const bias = sum?.inputs.find((name) => name !== outputs[0]);
      if (bias === undefined) throw odd();
      const weight = from.get(inputs[1]);
      if (!weight) return { weight: floats(inputs[1]), bias: floats(bias) };
      const rounded = from.get(inputs[0]);
      const matrix = tensors.get(weight.inputs[0])?.data;
      if (weight.op !== "DequantizeLinear" || rounded?.op !== "DequantizeLinear" || !(matrix instanceof Int8Array)) throw odd();
      const zero = tensors.get(rounded.inputs[2])?.data ?? new Uint8Array(1);
      const unsigned = zero instanceof Uint8Array;
      const read = { scale: floats(rounded.inputs[1])[0], zero: Number(zero[0]), low: unsigned ? 0 : -128, high: unsigned ? 255 : 127 };
      return { weight: matrix, bias: floats(bias), scale: floats(weight.inputs[1]), read };
    });
    /** @type {Norm[]} */
    const norms = nodes.filter(({ op }) => op === "LayerNormalization").map(({ inputs, floats: attributes }) => ({
      weight: floats(inputs[1]),
      bias: floats(inputs[2]),
      epsilon: attributes.epsilon ?? 1e-5,
    }));
    const table = tensors.get("network.embeddings.weight_quantized")?.data;
    this.table = table instanceof Int8Array ? table : floats("network.embeddings.weight");
    this.rowScale = table instanceof Int8Array ? floats("network.embeddings.weight_scale") : null;
    this.tags = Object.keys(config.id2label).length;
    this.config = config;
    this.features = new WordFeatures(config);
    const [mix, ...others] = layers;
    const head = others.pop();
    const { depth, width, pieces, embedding, rows, features, window } = config;
    const fits = (/** @type {Linear | undefined} */ layer, /** @type {number} */ inputs, /** @type {number} */ outputs) =>
      layer?.weight.length === inputs * outputs && layer.bias.length === outputs;
    if (
      others.length !== depth || norms.length !== depth + 1 || this.table.length !== (rows + 1) * embedding ||
      !fits(mix, features.length * embedding, width * pieces) || !head || !fits(head, width, this.tags) ||
      others.some((layer) => !fits(layer, (2 * window + 1) * width, width * pieces))
    ) {
      throw odd();
    }
    this.mix = mix;
    this.convolutions = others;
    this.head = head;
    this.norms = norms;
    /** @type {Map<string, Float32Array>} */
    this.known = new Map();
  }

  /**
   * Logits [words, tags] of a sentence.
   *
   * @param {string[]} words
   * @returns {Float32Array}
   */
  logits(words) {
    const { width, window } = this.config;
    const states = new Float32Array(words.length * width);
    words.forEach((word, i) => states.set(this.vector(word), i * width));
    const span = (2 * window + 1) * width;
    this.convolutions.forEach((layer, depth) => {
      const around = new Float32Array((words.length + 2 * window) * width); // zeros beyond the ends
      around.set(states, window * width);
      const read = rounded(around, layer);
      for (let i = 0; i < words.length; i++) {
        const added = this.normalized(linear(read.subarray(i * width, i * width + span), layer), this.norms[depth + 1]);
        for (let o = 0; o < width; o++) states[i * width + o] += added[o];
      }
    });
    const read = rounded(states, this.head);
    const out = new Float32Array(words.length * this.tags);
    for (let i = 0; i < words.length; i++) out.set(linear(read.subarray(i * width, (i + 1) * width), this.head), i * this.tags);
    return out;
  }

  /**
   * [width] what a word is by itself.
   *
   * @param {string} word
   * @returns {Float32Array}
   */
  vector(word) {
    let found = this.known.get(word);
    if (found) return found;
    const size = this.config.embedding;
    const lists = this.features.of(word);
    const sums = new Float32Array(lists.length * size);
    lists.forEach((rows, at) => {
      for (const row of rows) {
        const scale = this.rowScale ? this.rowScale[row] : 1;
        for (let i = 0; i < size; i++) sums[at * size + i] += this.table[row * size + i] * scale;
      }
    });
    found = this.normalized(linear(rounded(sums, this.mix), this.mix), this.norms[0]);
    if (this.known.size >= REMEMBERED) this.known.clear();
    this.known.set(word, found);
    return found;
  }

  /**
   * The largest of each number's pieces, normalized over the layer.
   *
   * @param {Float32Array} values [pieces · width]
   * @param {Norm} norm
   * @returns {Float32Array} [width]
   */
  normalized(values, { weight, bias, epsilon }) {
    const width = weight.length;
    const out = values.slice(0, width);
    for (let i = width; i < values.length; i++) if (values[i] > out[i % width]) out[i % width] = values[i];
    let mean = 0;
    for (const value of out) mean += value;
    mean /= width;
    let variance = 0;
    for (const value of out) variance += (value - mean) ** 2;
    const by = 1 / Math.sqrt(variance / width + epsilon);
    for (let i = 0; i < width; i++) out[i] = (out[i] - mean) * by * weight[i] + bias[i];
    return out;
  }
}

/**
 * What an int8 layer reads, less the number that stands for zero; what another one reads, as it is.
 *
 * @param {Float32Array} values
 * @param {Linear} layer
 * @returns {Float32Array | Int16Array}
 */
function rounded(values, { read }) {
  if (!read) return values;
  const { scale, zero, low, high } = read;
  return Int16Array.from(values, (value) => {
    const exact = Math.fround(value / scale);
    let whole = Math.round(exact);
    if (whole - exact === 0.5 && whole % 2) whole -= 1; // half to even
    return Math.min(high, Math.max(low, whole + zero)) - zero;
  });
}

/**
 * One word through a linear layer.
 *
 * @param {Float32Array | Int16Array} values [inputs]
 * @param {Linear} layer
 * @returns {Float32Array} [outputs]
 */
function linear(values, { weight, bias, scale, read }) {
  const outputs = bias.length;
  const out = new Float32Array(outputs);
  if (read && scale && values instanceof Int16Array && weight instanceof Int8Array) {
    const sums = summed(values, weight, outputs);
    for (let o = 0; o < outputs; o++) out[o] = sums[o] * Math.fround(read.scale * scale[o]) + bias[o];
    return out;
  }
  out.set(bias);
  for (let i = 0; i < values.length; i++) {
    for (let o = 0, at = i * outputs; o < outputs; o++, at++) out[o] += values[i] * weight[at];
  }
  return out;
}

/**
 * Products in whole numbers, two inputs at a time, which takes half the time; apart from the rest so that it is compiled for
 * these types alone.
 *
 * @param {Int16Array} values
 * @param {Int8Array} weight
 * @param {number} outputs
 * @returns {Int32Array}
 */
function summed(values, weight, outputs) {
  const sums = new Int32Array(outputs);
  for (let i = 0; i < values.length; i += 2) {
    const first = values[i] | 0;
    const second = (values[i + 1] ?? 0) | 0;
    if (!(first | second)) continue;
    const next = i + 1 < values.length ? outputs : 0;
    for (let o = 0, at = i * outputs; o < outputs; o++, at++) {
      sums[o] = (sums[o] + Math.imul(first, weight[at]) + Math.imul(second, weight[at + next])) | 0;
    }
  }
  return sums;
}
