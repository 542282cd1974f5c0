/** Cutting input into records: every cut of the bytes gives the same records; what cannot be cut is told with its line. */
import fc from 'fast-check'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { recordKey } from '../../tools/record-key.ts'
import { ArraySplitter, LineSplitter, type RecordSplitter, type SplitterOptions } from '../../tools/record-splitter.ts'

type Found = readonly (readonly [number, string])[]

function feed(splitter: RecordSplitter, chunks: readonly Buffer[]): Found {
  const found: [number, string][] = []
  const sink = {
    record: (bytes: Buffer, line: number) => found.push([line, bytes.toString('latin1')]),
    bad: (line: number, what: string) => found.push([line, `BAD ${what}`]),
  }
  for (const chunk of chunks) splitter.push(chunk, sink)
  splitter.end(sink)
  return found
}

const OPTIONS: SplitterOptions = { file: 'input', recordBytesLimit: 1000 }
const lines = (text: string | Buffer, options = OPTIONS): Found => feed(new LineSplitter(options), [Buffer.from(text)])
const elements = (text: string | Buffer, options = OPTIONS): Found =>
  feed(new ArraySplitter(options), [Buffer.from(text)])

/** What is needed of a test. */
interface Same {
  same(found: unknown, wanted: unknown, message: string): unknown
}

/** The same at every place where a chunk could end, and byte by byte. */
function everyCut(t: Same, make: () => RecordSplitter, bytes: Buffer): void {
  const whole = feed(make(), [bytes])
  for (let cut = 0; cut <= bytes.length; cut++)
    t.same(feed(make(), [bytes.subarray(0, cut), bytes.subarray(cut)]), whole, `cut at ${cut}`)
  t.same(
    feed(
      make(),
      Array.from(bytes, (byte) => Buffer.from([byte])),
    ),
    whole,
    'byte by byte',
  )
}

const BOM = Buffer.from([0xef, 0xbb, 0xbf])

t.test('lines: line ends of both kinds, empty lines, a last line without end, a byte order mark', (t) => {
  t.same(lines('a\nb\r\n\nc'), [
    [1, 'a'],
    [2, 'b'],
    [3, ''],
    [4, 'c'],
  ])
  t.same(lines('a\n'), [[1, 'a']])
  t.same(lines(''), [])
  t.same(lines('\n'), [[1, '']])
  t.same(lines(Buffer.concat([BOM, Buffer.from('a\n')])), [[1, 'a']])
  t.same(lines('a\rb\n'), [[1, 'a\rb']], 'a carriage return within a line stays')
  everyCut(t, () => new LineSplitter(OPTIONS), Buffer.concat([BOM, Buffer.from('first\r\n\r\nthird\nlast')]))
  t.end()
})

t.test('lines: one that is too long is told, and the next ones are given', (t) => {
  const options = { file: 'input', recordBytesLimit: 5 }
  t.same(lines('12345\n123456\nok', options), [
    [1, '12345'],
    [2, 'BAD 6 bytes, expected at most 5'],
    [3, 'ok'],
  ])
  everyCut(t, () => new LineSplitter(options), Buffer.from('12345\n1234567890\nok\n123456'))
  t.end()
})

t.test('lines: what is too long is not kept', (t) => {
  const chunk = Buffer.alloc(8 * 1024 * 1024, 'x')
  const chunks = Array.from({ length: 600 }, () => chunk) // more than one buffer can hold
  t.match(feed(new LineSplitter(OPTIONS), [...chunks, Buffer.from('\nok')]), [
    [1, /^BAD 5033164800 bytes/],
    [2, 'ok'],
  ])
  t.end()
})

t.test('array: elements as they stand, with the line on which they begin', (t) => {
  t.same(elements('[]'), [])
  t.same(elements(' [ ] \n'), [])
  t.same(elements('[{"a":1},\n {"b":[1,2]} ,\n"x,]" , 5]'), [
    [1, '{"a":1}'],
    [2, '{"b":[1,2]}'],
    [3, '"x,]"'],
    [3, '5'],
  ])
  t.same(elements('[{"a":"\\"]}"}]'), [[1, '{"a":"\\"]}"}']])
  const tricky = Buffer.concat([
    BOM,
    Buffer.from(' [\n{"k":"a\\\\\\"],[","n":[[],{"x":"}"}]}\n, "\\u005d", 12 ,[1,\n2]] \n'),
  ])
  t.equal(elements(tricky).length, 4)
  everyCut(t, () => new ArraySplitter(OPTIONS), tricky)
  t.end()
})

t.test('array: agrees with JSON.parse on any array, however it is cut and laid out', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.json()),
      fc.constantFrom('', ' ', '\n\t'),
      fc.integer({ min: 1, max: 9 }),
      (values, space, step) => {
        const bytes = Buffer.from(`[${values.join(`${space},${space}`)}]`)
        const chunks: Buffer[] = []
        for (let at = 0; at < bytes.length; at += step) chunks.push(bytes.subarray(at, at + step))
        const found = feed(new ArraySplitter({ file: 'input', recordBytesLimit: 1_000_000 }), chunks)
        const parsed = found.map(([, text]) => JSON.parse(Buffer.from(text, 'latin1').toString()) as unknown) // compared at once
        return JSON.stringify(parsed) === JSON.stringify(JSON.parse(bytes.toString()))
      },
    ),
    { numRuns: 300 },
  )
  t.end()
})

t.test('array: what is none is refused with its line', (t) => {
  const wrong: readonly (readonly [string, number, RegExp])[] = [
    ['', 1, /found no array/],
    ['\n\n{"a":1}', 3, /found '\{', expected one JSON array/],
    ['[1,\n2', 2, /an array that does not end/],
    ['[1,]', 1, /found '\]', expected an element/],
    ['[,1]', 1, /found ',', expected an element/],
    ['[1}]', 1, /found '\}', expected a comma/],
    ['[1]\n[2]', 2, /found '\[' behind the array/],
    ['["a]', 1, /an array that does not end/],
  ]
  for (const [text, line, message] of wrong) {
    try {
      elements(text)
      t.fail(text)
    } catch (thrown) {
      t.ok(thrown instanceof TravertineError)
      t.match(thrown, { code: 'INPUT_INVALID', where: { file: 'input', line }, message })
    }
  }
  const options = { file: 'input', recordBytesLimit: 5 }
  t.same(elements('[1234567, 2]', options), [
    [1, 'BAD 7 bytes, expected at most 5'],
    [1, '2'],
  ])
  t.end()
})

t.test('keys: texts and numbers, exactly', (t) => {
  const key = (text: string | Buffer, field = 'id'): string => {
    const result = recordKey(Buffer.from(text), field)
    return result.key ?? `FAULT ${result.fault.found}`
  }
  t.equal(key('{"id":"a"}'), 'a')
  t.equal(key('{"id":""}'), '')
  t.equal(key('{"id":7}'), '7')
  t.equal(key('{"id":-1.5}'), '-1.5')
  t.equal(key('{"id":9007199254740991}'), '9007199254740991')
  t.equal(key('{"id":"é"}'), 'é')
  t.equal(key('{"__proto__":"p"}', '__proto__'), 'p')
  const faults: readonly (readonly [string | Buffer, RegExp, string?])[] = [
    ['{"id":9007199254740993}', /beyond 2\^53/],
    ['{"id":1e30}', /beyond 2\^53/],
    ['{"id":"\\ud800"}', /half a surrogate/],
    ['{"id":null}', /null/],
    ['{"id":true}', /boolean/],
    ['{"id":{}}', /object/],
    ['{"id":[1]}', /array/],
    ['{"od":1}', /no such field/],
    ['{}', /no such field/, 'toString'],
    ['[1]', /array/],
    ['null', /null/],
    ['5', /number/],
    ['{"id":1', /no JSON/],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not UTF-8/],
  ]
  for (const [text, found, field] of faults)
    t.match(key(text, field), new RegExp(`^FAULT .*${found.source}`), String(text))
  t.end()
})
