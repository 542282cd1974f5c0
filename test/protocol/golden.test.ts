/**
 * Golden bytes: every vector is encoded, decoded, and mirrored (decoded and encoded again). The bytes come from outside
 * this program, so a mistake that encoder and decoder share is seen.
 */
import t from 'tap'
import { MESSAGE_FIELDS } from '../../protocol/control-message.ts'
import { EntryCode } from '../../protocol/entry.ts'
import { FRAME_KINDS_READ } from '../../protocol/frame.ts'
import { ReplyType } from '../../protocol/log-reply.ts'
import { CODECS } from './codecs.ts'
import { fromPlain, readVectors, toPlain, type Vector } from './golden-file.ts'

const vectors = readVectors()

for (const vector of vectors) {
  t.test(vector.name, (t) => {
    const codec = CODECS[vector.type]!
    const decoded = codec.decode(vector.bytes, vector.given)
    if (vector.type === 'foreign-message') {
      const plain = toPlain(decoded) as Record<string, unknown> // a message is an object
      const named = Object.keys(vector.object as object) // so is its vector
      t.strictSame(Object.fromEntries(named.map((key) => [key, plain[key]])), vector.object, 'decodes (REP-14)')
    } else {
      const encoded = codec.encode(fromPlain(vector.object), vector.given)
      t.equal(encoded.toString('hex'), vector.bytes.toString('hex'), 'encodes')
      t.strictSame(toPlain(decoded), vector.object, 'decodes')
      t.equal(codec.encode(decoded, vector.given).toString('hex'), vector.bytes.toString('hex'), 'mirrors')
    }
    t.end()
  })
}

const has = (type: string, test: (object: Record<string, unknown>, vector: Vector) => boolean): boolean =>
  vectors.some((v) => v.type === type && test(v.object as Record<string, unknown>, v)) // objects, by their types

t.test('there is a vector for everything that has bytes', (t) => {
  for (const op of ['put', 'remove', 'truncate_storage', 'add_storage', 'remove_storage']) {
    t.ok(
      has('entry', (e, v) => e['op'] === op && v.name.endsWith('-all-ff')),
      `${op} of 0xff values`,
    )
    t.ok(
      has('entry', (e, v) => e['op'] === op && v.given['explicit'] === false),
      `${op} with a derived version`,
    )
  }
  t.equal(Object.keys(EntryCode).length, 5, 'entry codes')
  for (const kind of FRAME_KINDS_READ) {
    t.ok(
      has('frame', (f) => (f['header'] as { kind: number }).kind === kind),
      `frame kind ${kind}`,
    ) // by type
  }
  for (const type of Object.keys(MESSAGE_FIELDS))
    t.ok(
      has('message', (m) => m['type'] === type),
      `message ${type}`,
    )
  for (const name of Object.keys(ReplyType))
    t.ok(
      has('reply', (r) => r['reply'] === name.toLowerCase()),
      `reply ${name}`,
    )
  t.end()
})
