/** Progress of a long command: a bar on a terminal, and elsewhere a few lines that a log can hold. */
import { Writable } from 'node:stream'
import t from 'tap'
import { startProgress } from '../../tools/progress.ts'

/** What a stream was given, and whether it says that it is a terminal. */
function stream(isTTY: boolean): { readonly out: NodeJS.WriteStream; readonly text: () => string } {
  let text = ''
  const writable = new Writable({
    write(chunk, _, done) {
      text += String(chunk)
      done()
    },
  })
  const out = Object.assign(writable, { isTTY, columns: 200, rows: 50 }) as unknown as NodeJS.WriteStream // all that is used of one
  return { out, text: () => text }
}

t.test('in a log: a line per tenth, however often it is told, and the last state', (t) => {
  const { out, text } = stream(false)
  const progress = startProgress({ unit: 'entries', total: 100_000 }, out)
  for (let i = 1; i <= 99_999; i++) progress.update(i, `epochs ${i}`)
  progress.stop()
  progress.stop()
  const lines = text().trimEnd().split('\n')
  t.ok(lines.length >= 11 && lines.length < 30, `${lines.length} lines`)
  t.equal(lines.at(-1), ' 99 %  99999/100000 entries  epochs 99999')
  t.ok(lines.includes(' 50 %  50000/100000 entries  epochs 50000'))
  t.notMatch(text(), '\u001b')
  t.end()
})

t.test('in a log without a total: figures alone', (t) => {
  const { out, text } = stream(false)
  const progress = startProgress({ unit: 'records' }, out)
  for (let i = 1; i <= 1000; i++) progress.update(i, 'so far')
  progress.stop()
  t.match(text(), /^1 records {2}so far\n(\d+ records {2}so far\n)*1000 records {2}so far\n$/)
  t.end()
})

t.test('nothing was done: nothing is said', (t) => {
  const { out, text } = stream(false)
  startProgress({ unit: 'entries', total: 10 }, out).stop()
  t.equal(text(), '')
  t.end()
})

t.test('on a terminal: a bar with figures and note, which gives the line back', (t) => {
  const { out, text } = stream(true)
  const progress = startProgress({ unit: 'entries', total: 200 }, out)
  progress.update(200, 'STORED 7, PROPAGATED 6')
  progress.stop()
  progress.stop()
  t.match(text(), /█{24} 100 % 200\/200 entries {2}STORED 7, PROPAGATED 6/)
  t.match(text(), /\n$/)
  const [hide, show] = ['\u001b[?25l', '\u001b[?25h']
  t.ok(text().indexOf(hide) >= 0 && text().indexOf(show) > text().indexOf(hide), 'the cursor is shown again')
  t.end()
})
