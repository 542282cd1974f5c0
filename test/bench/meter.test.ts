/** The stopwatch: what is warm-up, what counts, when it ends. Bounded by bytes here, so that no test waits for time. */
import t from 'tap'
import { Meter } from '../../bench/meter.ts'

const ENDLESS_MS = 1e9

t.test('bounded by bytes: the warm-up is in no figure', async (t) => {
  const phases: string[] = []
  const bounds = { warmUpMs: ENDLESS_MS, measureMs: ENDLESS_MS, bytesMax: 1000 }
  const meter = new Meter(bounds, 100, (phase) => phases.push(phase))
  for (let session = 1; session <= 10; session++) {
    t.equal(meter.ended, false, `session ${session} may begin`)
    meter.completed(performance.now() - 5)
    if (session === 2) t.same(phases, [], 'two sessions are warm-up')
    if (session === 3) t.same(phases, ['begin'], 'three tenths of the bytes are the most that the warm-up may use')
  }
  t.equal(meter.ended, true)
  t.same(phases, ['begin', 'end'])
  meter.completed(performance.now())
  const result = meter.result(50)
  t.match(result, { commits: 7, entries: 350, bytes: 700 }, 'neither the warm-up nor what ends late is counted')
  t.ok(result.p50Ms >= 5 && result.p50Ms < 1000, 'latencies are in milliseconds', { p50Ms: result.p50Ms })
  t.ok(result.p99Ms >= result.p50Ms)
})

t.test('bounded by time', async (t) => {
  const phases: string[] = []
  const meter = new Meter({ warmUpMs: 0, measureMs: 0, bytesMax: 1e9 }, 100, (phase) => phases.push(phase))
  meter.completed(performance.now())
  t.same(phases, ['begin'])
  meter.completed(performance.now())
  t.same(phases, ['begin', 'end'])
  t.match(meter.result(1), { commits: 1, entries: 1, bytes: 100 })
})
