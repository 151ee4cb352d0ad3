// Writes protobuf's wire format for messages without presence (proto3): zero values are left out unless asked for.
// See https://protobuf.dev/programming-guides/encoding/

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const UINT64 = (1n << 64n) - 1n;

/** Collects one message; fields come out in the order they are written. */
export class ProtobufWriter {
  readonly #chunks: Uint8Array[] = [];

  /** An int32, int64, uint32, enum or bool field; zero and false are left out. Negative numbers take ten bytes. */
  varint(field: number, value: number | boolean | undefined): this {
    const number = Number(value ?? 0);
    return number === 0 ? this : this.#tag(field, VARINT).#varint(BigInt(number));
  }

  /** A varint field written although it is zero: a member of a oneof. */
  varintAlways(field: number, value: number): this {
    return this.#tag(field, VARINT).#varint(BigInt(value));
  }

  /** A string field; the empty string is left out. */
  string(field: number, value: string | undefined): this {
    return value ? this.bytesAlways(field, Buffer.from(value)) : this;
  }

  /** A repeated string field; empty members are written. */
  strings(field: number, values: readonly string[] | undefined): this {
    for (const value of values ?? []) this.bytesAlways(field, Buffer.from(value));
    return this;
  }

  /** A bytes field; no bytes are left out. */
  bytes(field: number, value: Uint8Array): this {
    return value.length === 0 ? this : this.bytesAlways(field, value);
  }

  /** A length-delimited field written although it is empty. */
  bytesAlways(field: number, value: Uint8Array): this {
    this.#tag(field, LENGTH_DELIMITED).#varint(BigInt(value.length));
    this.#chunks.push(value);
    return this;
  }

  /** A message field; undefined is left out, an empty message is not. */
  message(field: number, message: ProtobufWriter | undefined): this {
    return message === undefined ? this : this.bytesAlways(field, message.finish());
  }

  /** A repeated message field. */
  messages(field: number, messages: readonly ProtobufWriter[]): this {
    for (const message of messages) this.message(field, message);
    return this;
  }

  /** A map<string, string> field, keys sorted by bytes, as Go's deterministic marshalling does. */
  stringMap(field: number, record: Readonly<Record<string, string>>): this {
    const keys = Object.keys(record).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const key of keys) {
      const entry = new ProtobufWriter().bytesAlways(1, Buffer.from(key));
      this.message(field, entry.bytesAlways(2, Buffer.from(record[key] ?? '')));
    }
    return this;
  }

  /** The message's bytes. */
  finish(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  #tag(field: number, wireType: number): this {
    return this.#varint((BigInt(field) << 3n) | BigInt(wireType));
  }

  #varint(value: bigint): this {
    const bytes: number[] = [];
    let rest = value & UINT64;
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.#chunks.push(Uint8Array.from(bytes));
    return this;
  }
}
