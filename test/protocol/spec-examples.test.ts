/**
 * Worked examples of the specifications: each is parsed by the shipped decoders and compared, field by field and in both
 * directions, with the table beside it. Frames, messages and replies are encoded again as well.
 */
import t from 'tap'
import { decodeEntries } from '../../protocol/entry.ts'
import { decodeHeader, FRAME_HEADER_BYTES } from '../../protocol/frame.ts'
import { joinPath } from '../../wal/disk.ts'
import { decodeManifest, encodeManifest } from '../../wal/manifest.ts'
import { decodeSmallRecord } from '../../wal/small-record.ts'
import { CODECS } from './codecs.ts'
import { parseHexLines } from './golden-file.ts'
import { cellText, type Example, examplesOf, flatten, readDocument, SPECIFICATIONS } from './spec-document.ts'

function decode(example: Example): unknown {
  const { info, text } = example
  switch (info['as']) {
    case 'frame':
      return decodeFrame(parseHexLines(text), info)
    case 'message':
    case 'reply':
      return CODECS[info['as']]!.decode(parseHexLines(text), info)
    case 'manifest':
      return decodeManifest(Buffer.from(text), joinPath('x', 'manifest'))
    case 'recovery-point':
      return decodeSmallRecord(Buffer.from(text), {
        kind: 'recovery-point',
        version: 1,
        file: 'x',
        corrupt: 'LOG_DAMAGED',
        hint: '',
      })
    default:
      throw new Error(`nobody can decode an example as ${info['as']}`)
  }
}

/** Entries of a stamped frame are shown with the versions that a reader gives them. */
function decodeFrame(bytes: Buffer, info: Example['info']): object {
  const decoded = CODECS['frame']!.decode(bytes, info) as Record<string, unknown> // what the frame codec returns
  const header = decodeHeader(bytes, 0)
  if (decoded['entries'] === undefined || header.term === 0n) return decoded
  const derive = { major: header.epoch, minor: header.firstMinor }
  return { ...decoded, entries: [...decodeEntries(bytes.subarray(FRAME_HEADER_BYTES), derive)] }
}

for (const name of SPECIFICATIONS) {
  const examples = examplesOf(readDocument(name))
  t.ok(examples.length >= 6, `${name} has examples`)
  for (const example of examples) {
    t.test(`${name}: example ${example.info['example']}`, (t) => {
      const decoded = decode(example)
      t.type(decoded, 'object')
      const expected = Object.fromEntries([...example.fields].map(([field, cell]) => [field, cellText(cell)]))
      t.same(Object.fromEntries(flatten(decoded)), expected, 'every decoded field stands in the table, and no other')
      const codec = CODECS[example.info['as']!]
      if (codec !== undefined) {
        const bytes = parseHexLines(example.text)
        t.equal(
          codec.encode(codec.decode(bytes, example.info), example.info).toString('hex'),
          bytes.toString('hex'),
          'encoded again',
        )
      }
      t.end()
    })
  }
}

t.test('WAL-60 WAL-63: the manifest of the example is encoded to the same text', (t) => {
  const example = examplesOf(readDocument('WAL_FORMAT')).find((e) => e.info['as'] === 'manifest')!
  t.equal(encodeManifest(decodeManifest(Buffer.from(example.text), 'x')).toString(), example.text)
  t.end()
})

t.test('examples that stand one behind the other in a channel say so in their positions', (t) => {
  const frames = examplesOf(readDocument('WAL_FORMAT')).filter(
    (e) => e.info['as'] === 'frame' && e.fields.get('header.term') !== '0' && e.info['channel'] === '3',
  )
  t.same(
    frames.map((e) => e.info['example']),
    ['stamped-frame', 'seal-frame', 'mark-frame'],
  )
  let end = 4096
  for (const { fields, text } of frames) {
    t.equal(fields.get('header.position'), String(end))
    end += parseHexLines(text).length
  }
  t.end()
})

t.test('an example that differs from its table in one cell is seen', (t) => {
  const text = readDocument('PROTOCOL').replace(/\| lastSequence +\| 34/, '| lastSequence | 35')
  const example = examplesOf(text).find((e) => e.info['example'] === 'stored-reply')!
  t.not(flatten(decode(example)).get('lastSequence'), example.fields.get('lastSequence'))
  t.throws(() => examplesOf('```hex example=x as=reply\n00\n```\n\nno table\n'), /found 0 examples/)
  t.end()
})
