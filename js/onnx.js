// Just enough of the ONNX format to take the weights out of a word network: initializers, and what reads what.

const TYPES = /** @type {Record<number, Float32ArrayConstructor | Uint8ArrayConstructor | Int8ArrayConstructor | BigInt64ArrayConstructor>} */ ({
  1: Float32Array,
  2: Uint8Array,
  3: Int8Array,
  7: BigInt64Array,
});

/**
 * @typedef {{dims: number[], data: Float32Array | Uint8Array | Int8Array | BigInt64Array}} Tensor
 * @typedef {{op: string, inputs: string[], outputs: string[], floats: Record<string, number>}} Node
 */

/**
 * The fields of a protobuf message, in order: number, and a BigInt or the bytes of what it holds.
 *
 * @param {Uint8Array} bytes
 * @returns {Generator<[number, bigint | Uint8Array]>}
 */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let [value, shift] = [0n, 0n];
    for (;;) {
      if (at >= bytes.length) throw new Error("the model file ends too early; copy the bundle again");
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
      shift += 7n;
    }
  };
  const take = (/** @type {number} */ length) => {
    if (at + length > bytes.length) throw new Error("the model file ends too early; copy the bundle again");
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const wire = key & 7;
    if (wire === 0) yield [key >> 3, varint()];
    else if (wire === 2) yield [key >> 3, take(Number(varint()))];
    else if (wire === 1 || wire === 5) yield [key >> 3, take(wire === 1 ? 8 : 4)];
    else throw new Error("the model file is no ONNX; copy the bundle again");
  }
}

/** @type {(value: bigint | Uint8Array) => Uint8Array} */
const bytesOf = (value) => (typeof value === "bigint" ? new Uint8Array() : value);
/** @type {(value: bigint | Uint8Array) => string} */
const textOf = (value) => new TextDecoder().decode(bytesOf(value));

/** @type {(value: bigint | Uint8Array) => bigint[]} */
function integers(value) {
  if (typeof value === "bigint") return [value];
  const out = [];
  let [number, shift] = [0n, 0n];
  for (const byte of value) {
    number |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) {
      out.push(number);
      [number, shift] = [0n, 0n];
    }
  }
  return out;
}

/** @type {(bytes: Uint8Array) => [string, Tensor] | null} */
function tensor(bytes) {
  let [name, type] = ["", 0];
  const dims = [];
  const small = [];
  /** @type {Uint8Array | null} */
  let raw = null;
  for (const [field, value] of fields(bytes)) {
    if (field === 1) dims.push(...integers(value).map(Number));
    else if (field === 2) type = Number(value);
    else if (field === 4 || field === 9) raw = bytesOf(value); // float_data is packed as raw_data is
    else if (field === 5 || field === 7) small.push(...integers(value));
    else if (field === 8) name = textOf(value);
  }
  const Kind = TYPES[type];
  if (!Kind) return null;
  if (raw) return [name, { dims, data: new Kind(raw.slice().buffer) }];
  const data = Kind === BigInt64Array ? BigInt64Array.from(small) : /** @type {any} */ (Kind).from(small.map((n) => Number(BigInt.asIntN(32, n))));
  return [name, { dims, data }];
}

/** @type {(bytes: Uint8Array) => Node} */
function node(bytes) {
  /** @type {Node} */
  const out = { op: "", inputs: [], outputs: [], floats: {} };
  for (const [field, value] of fields(bytes)) {
    if (field === 1) out.inputs.push(textOf(value));
    else if (field === 2) out.outputs.push(textOf(value));
    else if (field === 4) out.op = textOf(value);
    else if (field === 5) {
      let name = "";
      for (const [part, held] of fields(bytesOf(value))) {
        if (part === 1) name = textOf(held);
        else if (part === 2) out.floats[name] = new Float32Array(bytesOf(held).slice().buffer)[0];
      }
    }
  }
  return out;
}

/**
 * The graph of an ONNX file: its nodes in order, and its constant tensors by name.
 *
 * @param {Uint8Array} bytes
 * @returns {{nodes: Node[], tensors: Map<string, Tensor>}}
 */
export function graph(bytes) {
  const nodes = [];
  /** @type {Map<string, Tensor>} */
  const tensors = new Map();
  for (const [field, value] of fields(bytes)) {
    if (field !== 7) continue;
    for (const [part, held] of fields(bytesOf(value))) {
      if (part === 1) nodes.push(node(bytesOf(held)));
      else if (part === 5) {
        const found = tensor(bytesOf(held));
        if (found) tensors.set(...found);
      }
    }
  }
  return { nodes, tensors };
}
