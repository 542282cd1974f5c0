/** Control messages: framing, fields, widths, limits, and hostile bytes (docs/PROTOCOL.md, chapter 2). */
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import t from 'tap'
import {
  decodeMessage,
  encodeMessage,
  MESSAGE_FIELDS,
  type Message,
  MessageReader,
  type MessageType,
  negotiateVersion,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from '../../protocol/control-message.ts'
import { CONTROL_MESSAGE_BYTES_LIMIT, PRODUCER_RANGE_COUNT_LIMIT, TERM_HISTORY_LIMIT } from '../../protocol/limits.ts'
import { SECRET_BYTES } from '../../protocol/message-field.ts'
import { codeOf, flips, prefixes, valueOrCode } from './damage.ts'
import { fromPlain, vectorsOfType } from './golden-file.ts'

const vectors = vectorsOfType('message')
const objects = vectors.map((v) => fromPlain(v.object) as Record<string, unknown> & { type: MessageType }) // by their type
const packr = new Packr({ useRecords: false })
const decodeObject = (object: unknown): Message => decodeMessage(Buffer.from(packr.pack(object)))
/** So many missing sessions, each with one that is there behind it. */
const ranges = (count: number): number[][] => Array.from({ length: count }, (_, i) => [2 * i + 1, 2 * i + 1])
const firstOf = (type: MessageType): Record<string, unknown> => objects.find((o) => o.type === type)!

t.test('REP-10: messages come out whole however the stream is cut', (t) => {
  const few = vectors.filter((v) => v.bytes.length < 120)
  const stream = Buffer.concat(few.map((v) => v.bytes))
  const expected = few.map((v) => fromPlain(v.object))
  t.same(new MessageReader().push(stream), expected, 'one chunk')
  const reader = new MessageReader()
  t.same(Array.from(stream, (byte) => reader.push(Buffer.from([byte]))).flat(), expected, 'single bytes')
  for (let at = 0; at <= stream.length; at++) {
    const halves = new MessageReader()
    const found = [...halves.push(stream.subarray(0, at)), ...halves.push(stream.subarray(at))]
    if (found.length !== expected.length) t.fail(`cut at ${at}`)
  }
  t.end()
})

t.test('REP-10: a length of 0 or above 1 MiB is refused with its first four bytes, and stays refused', (t) => {
  for (const length of [0, CONTROL_MESSAGE_BYTES_LIMIT + 1, 0xffff_ffff]) {
    const head = Buffer.alloc(4)
    head.writeUInt32LE(length)
    const reader = new MessageReader({ peer: '10.0.0.9:1' })
    t.throws(() => reader.push(head), { code: 'MESSAGE_TOO_LARGE', where: { peer: '10.0.0.9:1' } }, `${length} bytes`)
    t.throws(() => reader.push(vectors[0]!.bytes), { code: 'MESSAGE_TOO_LARGE' }, 'nothing behind it is read')
  }
  t.end()
})

t.test('REP-10: the largest message passes, in single bytes as well', (t) => {
  const overhead = encodeMessage({ type: 'status_ok', status: { x: 'a'.repeat(70_000) } }).length - 4 - 70_000
  const text = 'a'.repeat(CONTROL_MESSAGE_BYTES_LIMIT - overhead)
  const bytes = encodeMessage({ type: 'status_ok', status: { x: text } })
  t.equal(bytes.length, 4 + CONTROL_MESSAGE_BYTES_LIMIT)
  t.throws(() => encodeMessage({ type: 'status_ok', status: { x: `${text}a` } }), { code: 'MESSAGE_TOO_LARGE' })
  const reader = new MessageReader()
  let messages: Message[] = []
  // A reader that joined its chunks at each byte would copy half a terabyte here, and run into tap's timeout.
  for (let at = 0; at < bytes.length; at++) messages = reader.push(bytes.subarray(at, at + 1))
  t.match(messages, [{ type: 'status_ok', status: { x: text } }])
  t.end()
})

t.test('REP-20 REP-21: a reader stops after the handshake and hands over what follows it', (t) => {
  const handshake = vectors.find((v) => v.name === 'messages/log_open')!.bytes
  const follows = Buffer.from('bytes of frames that are no messages')
  const reader = new MessageReader()
  t.equal(reader.push(Buffer.concat([handshake, follows.subarray(0, 3)]), 1).length, 1)
  t.equal(reader.takeRest().toString(), follows.subarray(0, 3).toString())
  const inPieces = new MessageReader()
  for (const byte of handshake.subarray(0, -1)) t.same(inPieces.push(Buffer.from([byte]), 1), [])
  t.equal(inPieces.push(Buffer.concat([handshake.subarray(-1), follows]), 1).length, 1)
  t.equal(inPieces.takeRest().toString(), follows.toString())
  t.equal(inPieces.takeRest().length, 0)
  t.end()
})

t.test('REP-12: a message cut at any byte is refused, with a flipped bit it is a message or refused', (t) => {
  for (const { name, bytes } of vectors) {
    const body = bytes.subarray(4)
    for (const prefix of prefixes(body)) {
      if (codeOf(() => decodeMessage(prefix)) !== 'MESSAGE_MALFORMED') t.fail(`${name} cut at ${prefix.length}`)
    }
    t.equal(
      codeOf(() => decodeMessage(Buffer.concat([body, Buffer.from([0])]))),
      'MESSAGE_MALFORMED',
      `${name} and one more byte`,
    )
    for (const { bytes: flipped, bit } of flips(body)) {
      const result = valueOrCode(() => decodeMessage(flipped))
      if ('value' in result)
        encodeMessage(result.value) // throws if the decoder let a bad field pass
      else if (!['MESSAGE_MALFORMED', 'MESSAGE_UNEXPECTED'].includes(result.code))
        t.fail(`${name} bit ${bit}: ${result.code}`)
    }
  }
  t.end()
})

t.test('REP-12: noise and hostile nesting give typed errors', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (noise) => codeOf(() => decodeMessage(Buffer.from(noise))) !== 'none',
    ),
  )
  const claims = [0xc6, 0xc9, 0xdb, 0xdd, 0xdf].map((head) => Buffer.from([head, 0xff, 0xff, 0xff, 0xff]))
  const deep = [
    Buffer.alloc(CONTROL_MESSAGE_BYTES_LIMIT, 0x91),
    Buffer.alloc(CONTROL_MESSAGE_BYTES_LIMIT, Buffer.from([0x81, 0xa0])),
  ]
  for (const bytes of [...claims, ...deep])
    t.equal(
      codeOf(() => decodeMessage(bytes)),
      'MESSAGE_MALFORMED',
    )
  t.end()
})

/** What stands for a field that peers of older levels leave out. */
const OMITTED: Readonly<Record<string, unknown>> = { 'level?': 'stored', 'uuid[]?': [] }

t.test('REP-11 REP-12: each field that is missing or of a wrong kind is refused by its name', (t) => {
  const wrong = [undefined, null, -1, 1.5, 2 ** 53, -1n, 'x', true, [], [-1], {}, Buffer.alloc(15), new Date(0)]
  let refused = 0
  for (const [type, fields] of Object.entries(MESSAGE_FIELDS)) {
    for (const [name, kind] of Object.entries(fields)) {
      const object = firstOf(type as MessageType) // a key of MESSAGE_FIELDS
      for (const value of wrong) {
        const changed = { ...object, [name]: value }
        const allowed =
          (kind === 'text' && value === 'x') ||
          (kind === 'map' && value?.constructor === Object) ||
          (kind === 'flag' && value === true) ||
          (['u53[]', 'port[]', 'range[]', 'history', 'members', 'uuid[]?'].includes(kind) &&
            Array.isArray(value) &&
            value.length === 0)
        if (allowed || (kind in OMITTED && value === undefined)) continue
        if (kind === 'map' && value instanceof Date) continue // msgpack has no word for "plain": it is shown, not used
        refused++
        t.throws(
          () => decodeObject(changed),
          { code: 'MESSAGE_MALFORMED', message: new RegExp(`expected ${name} as`) },
          `${type}.${name} ${String(value)}`,
        )
      }
      const { [name]: _, ...without } = object
      if (kind in OMITTED) {
        t.match(decodeObject(without), { [name]: OMITTED[kind] }, 'as of a peer of an older level')
        continue
      }
      t.throws(() => decodeObject(without), { code: 'MESSAGE_MALFORMED', message: new RegExp(`expected ${name} as`) })
    }
  }
  t.ok(refused > 300)
  t.end()
})

t.test('REP-11: limits of the kinds', (t) => {
  const term = firstOf('log_open_ok')['term'] as Record<string, unknown> // by its kind
  const entry = { ...term, firstEpoch: 1n, baseEpoch: 0n, starts: [0] }
  const cases: [MessageType, string, unknown, boolean][] = [
    ['client_hello', 'versionMin', 2 ** 32 - 1, true],
    ['client_hello', 'versionMin', 2 ** 32, false],
    ['client_hello', 'clusterId', '', true],
    ['client_hello', 'clusterId', '6F1C2A3E-8b4d-4e5f-9a60-112233445566', false],
    ['client_hello_ok', 'clusterId', '', false],
    ['client_hello_ok', 'logPorts', [1, 65_535], true],
    ['client_hello_ok', 'logPorts', [0], false],
    ['client_hello_ok', 'logPorts', [65_536], false],
    ['session_begin', 'ends', new Array(64).fill(0), true],
    ['session_begin', 'ends', new Array(65).fill(0), false],
    ['session_begin', 'via', new Array(16).fill(firstOf('session_begin')['nodeId']), true],
    ['session_begin', 'via', new Array(17).fill(firstOf('session_begin')['nodeId']), false],
    ['session_begin', 'via', [''], false],
    ['session_begin', 'address', 'a'.repeat(4096), true],
    ['session_begin', 'address', 'a'.repeat(4097), false],
    ['session_begin', 'history', new Array(TERM_HISTORY_LIMIT).fill(entry), true],
    ['session_begin', 'history', new Array(TERM_HISTORY_LIMIT + 1).fill(entry), false],
    ['session_begin', 'history', [{ ...entry, tag: 0 }], false],
    ['session_begin', 'history', [{ ...entry, starts: [-1] }], false],
    ['config_change', 'members', new Array(15).fill({ address: 'a:1', inSync: false }), true],
    ['config_change', 'members', new Array(16).fill({ address: 'a:1', inSync: false }), false],
    ['config_change', 'members', [{ address: 'a:1' }], false],
    ['config_change', 'members', [{ address: 1, inSync: true }], false],
    ['log_open', 'secret', Buffer.alloc(SECRET_BYTES), true],
    ['log_open', 'secret', Buffer.alloc(SECRET_BYTES + 1), false],
    ['log_open_ok', 'term', { ...term, tag: 0 }, false],
    ['log_open_ok', 'term', { ...term, tag: 2 ** 32 }, false],
    ['log_open_ok', 'term', { ...term, nodeId: '' }, false],
    ['log_open_ok', 'missing', ranges(PRODUCER_RANGE_COUNT_LIMIT), true],
    ['log_open_ok', 'missing', ranges(PRODUCER_RANGE_COUNT_LIMIT + 1), false],
    ['log_open_ok', 'missing', [[1, 2 ** 53 - 1]], true],
    ['log_open_ok', 'missing', [[0, 1]], false],
    ['log_open_ok', 'missing', [[2, 1]], false],
    ['log_open_ok', 'missing', [[1]], false],
    ['log_open_ok', 'missing', [[1, 2, 3]], false],
    ['log_open_ok', 'missing', [[1, 2 ** 53]], false],
    ['log_open_ok', 'missing', [1, 2], false],
    [
      'log_open_ok',
      'missing',
      [
        [1, 2],
        [2, 3],
      ],
      false,
    ],
    [
      'log_open_ok',
      'missing',
      [
        [1, 2],
        [3, 4],
      ],
      false,
    ],
    [
      'log_open_ok',
      'missing',
      [
        [1, 2],
        [4, 4],
      ],
      true,
    ],
    [
      'log_open_ok',
      'missing',
      [
        [4, 4],
        [1, 2],
      ],
      false,
    ],
    ['error', 'error', { code: 'X', message: '', hint: '', where: { a: 'b', c: 1, d: 1n } }, true],
    ['error', 'error', { code: 'X', message: '', hint: '', where: { a: {} } }, false],
    ['error', 'error', { code: 'X', message: '', hint: '', where: [] }, false],
    ['error', 'error', { code: 1, message: '', hint: '', where: {} }, false],
  ]
  for (const [type, name, value, good] of cases) {
    const code = codeOf(() => decodeObject({ ...firstOf(type), [name]: value }))
    t.equal(code, good ? 'none' : 'MESSAGE_MALFORMED', `${type}.${name}`)
    if (good) continue
    t.throws(() => encodeMessage({ ...firstOf(type), [name]: value } as unknown as Message), {
      code: 'MESSAGE_MALFORMED',
    }) // wrong on purpose
  }
  t.end()
})

t.test('REP-12: an unknown type is unexpected, an unknown field is ignored', (t) => {
  for (const type of ['nothing', 'constructor', '__proto__', 'toString', '']) {
    t.equal(
      codeOf(() => decodeObject({ type })),
      'MESSAGE_UNEXPECTED',
      type,
    )
  }
  for (const value of [1, null, [], 'status', { type: 1 }, {}, Buffer.from('status')]) {
    t.equal(
      codeOf(() => decodeObject(value)),
      'MESSAGE_MALFORMED',
      JSON.stringify(value),
    )
  }
  t.match(decodeObject({ type: 'heartbeat', sequence: 1, later: { than: 'us' } }), { type: 'heartbeat', sequence: 1 })
  const poisoned = Buffer.from('82a474797065a6737461747573a95f5f70726f746f5f5f81a161 01'.replace(' ', ''), 'hex')
  t.notOk('a' in decodeMessage(poisoned), 'a field called __proto__ changes no prototype')
  t.end()
})

t.test('a decoded secret does not share memory with the socket', (t) => {
  const bytes = Buffer.from(vectors.find((v) => v.name === 'messages/log_open')!.bytes)
  const message = new MessageReader().push(bytes)[0] as Message<'log_open'> // the vector's type
  bytes.fill(0)
  t.same(message.secret, Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'))
  t.end()
})

t.test('REP-3: the highest common version is taken, or both ranges are named', (t) => {
  t.same([PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX], [1, 3])
  t.equal(negotiateVersion({ versionMin: 1, versionMax: 1 }), 1)
  t.equal(negotiateVersion({ versionMin: 0, versionMax: 7 }), 3)
  for (const [versionMin, versionMax] of [
    [4, 7],
    [0, 0],
    [4, 2],
    [4, 0],
  ] as const) {
    t.throws(() => negotiateVersion({ versionMin, versionMax }), {
      code: 'PROTOCOL_VERSION_UNSUPPORTED',
      message: `Cannot begin a session: found versions ${versionMin} to ${versionMax}, expected 1 to 3`,
    })
  }
  t.end()
})
