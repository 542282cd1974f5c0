/** The closed list of errors, its page, and errors on the wire (REP-40 to REP-42). */
import t from 'tap'
import {
  asError,
  DEFECT_CODE,
  ERROR_CODES,
  type ErrorCode,
  fromWireError,
  isErrorCode,
  isWireError,
  TravertineError,
  toWireError,
} from '../../protocol/errors.ts'
import { ERROR_HINT_CHARS_LIMIT, ERROR_TEXT_CHARS_LIMIT } from '../../protocol/limits.ts'
import { readDocument } from './spec-document.ts'

t.test('docs/ERRORS.md has a section per code, in the same order, with its number and what to do', (t) => {
  const sections = readDocument('ERRORS').split(/^## /m).slice(1)
  t.same(
    sections.map((section) => section.split('\n')[0]),
    Object.keys(ERROR_CODES),
  )
  for (const section of sections) {
    const code = section.split('\n')[0] as ErrorCode // compared on the line above
    const [number, retryable] = ERROR_CODES[code]
    t.match(section, `\n\nNumber ${number}, ${retryable ? 'retryable' : 'not retryable'}.\n`, code)
    t.match(section, /\n\*\*Meaning\.\*\* [\s\S]{20,}\n\*\*What to do\.\*\* [\s\S]{15,}/, code)
  }
  t.end()
})

t.test('docs/RUNBOOK.md has the same sections, and one for defects, each with how it looks and what to do', (t) => {
  const sections = readDocument('RUNBOOK').split(/^## /m).slice(1)
  t.same(
    sections.map((section) => section.split('\n')[0]),
    [...Object.keys(ERROR_CODES), DEFECT_CODE],
  )
  for (const section of sections) {
    t.match(section, /^[A-Z_]+\n\n\*\*Seen\.\*\* [\s\S]{20,}?\n\n\*\*Do\.\*\* [\s\S]{20,}/)
  }
  t.end()
})

t.test('numbers lie in the range of their family', (t) => {
  const numbers = Object.values(ERROR_CODES).map(([number]) => number)
  t.same(
    numbers,
    [...numbers].sort((a, b) => a - b),
    'ascending, as in the page',
  )
  t.equal(new Set(numbers).size, numbers.length, 'each once')
  t.end()
})

t.test('REP-40: an error travels whole', (t) => {
  const where = { file: 'f', channel: 3, epoch: 12n, offset: 2 ** 40, peer: 'h:1', line: 4, key: 'k' }
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    // its own keys
    const error = new TravertineError(code, 'Cannot do it: found a, expected b', {
      where,
      hint: 'do something else',
      cause: 1,
    })
    const wire = toWireError(error)
    t.ok(isWireError(wire))
    const back = fromWireError(wire)
    t.match(back, { code, message: error.message, hint: error.hint, where })
    t.equal(back.retryable, ERROR_CODES[code][1])
    t.equal(back.describe(), error.describe())
  }
  t.match(
    fromWireError(toWireError(new TravertineError('ABORTED', 'm')), 'h:2').where,
    { peer: 'h:2' },
    'the peer is added',
  )
  t.end()
})

t.test('REP-41: a code of a newer peer is kept in the text', (t) => {
  for (const code of ['NOT_INVENTED_YET', 'toString', '']) {
    t.match(fromWireError({ code, message: 'm', hint: 'h', where: {} }), {
      code: 'MESSAGE_UNEXPECTED',
      message: `${code}: m`,
      hint: 'h',
    })
    t.notOk(isErrorCode(code))
  }
  t.end()
})

t.test('REP-42: texts are cut, numbers are not', (t) => {
  const long = 'x'.repeat(10_000)
  const wire = toWireError(
    new TravertineError('LOG_DAMAGED', long, { hint: long, where: { file: long, offset: 1e15, epoch: 1n << 60n } }),
  )
  t.equal(wire.message.length, ERROR_TEXT_CHARS_LIMIT)
  t.equal(wire.hint.length, ERROR_HINT_CHARS_LIMIT)
  t.same(wire.where, { file: 'x'.repeat(ERROR_TEXT_CHARS_LIMIT), offset: 1e15, epoch: 1n << 60n })
  t.end()
})

t.test('REP-40: what is no error on the wire', (t) => {
  const good = { code: 'X', message: 'm', hint: 'h', where: { a: 'b', c: 1, d: 2n } }
  t.ok(isWireError(good))
  const bad = [
    undefined,
    null,
    1,
    'X',
    [],
    {},
    { ...good, code: 1 },
    { ...good, message: undefined },
    { ...good, hint: null },
  ]
  const places = [undefined, null, 'x', [], Buffer.from('x'), { a: null }, { a: {} }, { a: true }]
  for (const value of [...bad, ...places.map((where) => ({ ...good, where }))]) t.notOk(isWireError(value))
  t.end()
})

t.test('one line for people', (t) => {
  const error = new TravertineError('LOG_DAMAGED', 'Cannot read: found a, expected b', {
    where: { file: 'f', offset: 7 },
    hint: 'look',
  })
  t.equal(error.describe(), 'LOG_DAMAGED: Cannot read: found a, expected b (file f, offset 7); look')
  t.equal(new TravertineError('ABORTED', 'm').describe(), 'ABORTED: m')
  t.equal(asError(error), error)
  t.equal(asError('thrown').message, 'thrown')
  t.end()
})
