/** How results and errors are written: JSON numbers, the text of an error, and when there are colours. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { coloursOf, errorJson, errorText, jsonText } from '../../tools/output.ts'
import { PROJECT } from '../project.ts'

const stream = (isTTY: boolean): NodeJS.WriteStream => ({ isTTY }) as NodeJS.WriteStream // nothing else is looked at
const plain = coloursOf(stream(false))

t.test('a full disk below stdout is no reader that has had enough', async (t) => {
  const main = `${PROJECT}dist/tools/main.js`
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', `exec "$0" "$1" config explain > /dev/full`, process.execPath, main],
    {
      encoding: 'utf8',
    },
  )
  t.equal(status, 5)
  t.match(stderr, 'DISK_FULL: Cannot print')
})

t.test('colours only on a terminal, and never with NO_COLOR', (t) => {
  const before = process.env['NO_COLOR']
  t.teardown(() => {
    if (before === undefined) delete process.env['NO_COLOR']
    else process.env['NO_COLOR'] = before
  })
  delete process.env['NO_COLOR']
  t.equal(coloursOf(stream(true)).bold('x'), '\u001b[1mx\u001b[22m')
  t.equal(coloursOf(stream(false)).bold('x'), 'x')
  process.env['NO_COLOR'] = '1'
  t.equal(coloursOf(stream(true)).bold('x'), 'x')
  process.env['NO_COLOR'] = ''
  t.not(coloursOf(stream(true)).bold('x'), 'x', 'an empty NO_COLOR is none')
  t.end()
})

t.test('u64 is a number where a number can hold it, and text where not', (t) => {
  t.equal(jsonText({ epoch: 7n, edge: 9_007_199_254_740_991n }), '{"epoch":7,"edge":9007199254740991}')
  t.equal(jsonText([9_007_199_254_740_992n, 2n ** 64n - 1n]), '["9007199254740992","18446744073709551615"]')
  t.end()
})

t.test('an error has its hint on a line of its own', (t) => {
  const where = { file: '/data/a', channel: 1, epoch: 7n }
  const error = new TravertineError('LOG_DAMAGED', 'Cannot read: found a, expected b', {
    where,
    hint: 'look; then act',
  })
  t.equal(
    errorText(error, plain),
    'LOG_DAMAGED: Cannot read: found a, expected b (file /data/a, channel 1, epoch 7)\n  look; then act',
  )
  t.equal(errorText(new TravertineError('ABORTED', 'Cannot go on'), plain), 'ABORTED: Cannot go on')
  t.same(JSON.parse(jsonText(errorJson(error))), {
    ok: false,
    error: {
      code: 'LOG_DAMAGED',
      message: 'Cannot read: found a, expected b',
      hint: 'look; then act',
      where: { ...where, epoch: 7 },
    },
  })
  t.end()
})

t.test('a defect is called one, with its stack for the report', (t) => {
  const defect = new TypeError('x is not a function')
  t.match(errorText(defect, plain), /^Defect in Travertine: TypeError: x is not a function\n +at /)
  t.match(errorText('thrown text', plain), /^Defect in Travertine: Error: thrown text/)
  t.match(errorJson(defect), { ok: false, error: { code: 'INTERNAL', message: 'x is not a function' } })
  t.end()
})
