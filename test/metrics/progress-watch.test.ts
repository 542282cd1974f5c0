/** Who makes no progress is found out, and who was merely suspended together with us is not blamed. */
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { ProgressWatch } from '../../daemon/metrics/progress-watch.ts'
import { StatSlots } from '../../daemon/metrics/stat-slots.ts'
import { THREAD_STALL_MS_MAX } from '../../protocol/limits.ts'
import { until } from '../tools/travertine.ts'

function watchOf(counts: number[]): { readonly watch: ProgressWatch; pass(ms: number): void; alive(): boolean[] } {
  let now = 0
  const threads = counts.map((_, i) => ({ name: `t${i}`, heartbeats: () => counts[i] ?? 0 }))
  const watch = new ProgressWatch(threads, () => now)
  return {
    watch,
    pass: (ms) => {
      now += ms
      watch.look()
    },
    alive: () => watch.threads().map(({ alive }) => alive),
  }
}

t.test('a thread that stands still for too long is not alive; the others are', async (t) => {
  const counts = [0, 0]
  const { watch, pass, alive } = watchOf(counts)
  t.same(alive(), [true, true], 'from the beginning')
  for (let ms = 0; ms < THREAD_STALL_MS_MAX + 2_000; ms += 1_000) {
    counts[0]!++
    pass(1_000)
  }
  t.same(alive(), [true, false])
  t.equal(watch.threads()[1]?.silentMs, THREAD_STALL_MS_MAX + 1_000)
  counts[1]!++
  pass(1_000)
  t.same(alive(), [true, true], 'it lives again')
})

t.test('after a pause of the whole process nobody is blamed for it', async (t) => {
  const counts = [0]
  const { pass, alive } = watchOf(counts)
  pass(1_000)
  pass(60_000)
  t.same(alive(), [true], 'it could not be seen meanwhile')
  for (let ms = 0; ms < THREAD_STALL_MS_MAX + 2_000; ms += 1_000) pass(1_000)
  t.same(alive(), [false], 'it does not come back')
})

t.test('a real thread: it beats while idle, and no more when it hangs', async (t) => {
  const [stats, hang] = [new StatSlots(), new SharedArrayBuffer(4)]
  const workerData = { memory: stats.memory, hang }
  const worker = new Worker(new URL('./beating-thread.js', import.meta.url), { workerData })
  t.teardown(() => worker.terminate())
  let now = 0
  const watch = new ProgressWatch([{ name: 'x', heartbeats: () => stats.get('heartbeats') }], () => now)
  const look = (): boolean => {
    now += 1_000
    watch.look()
    return watch.threads()[0]?.alive === true
  }
  await until(() => stats.get('heartbeats') >= 2)
  t.ok(look())
  worker.postMessage('hang')
  // our clock runs faster than the world's, so it may look silent before it hangs; what counts is that it stays so
  let seen = -1
  await until(() => {
    const same = stats.get('heartbeats') === seen
    seen = stats.get('heartbeats')
    return !look() && same
  })
  t.notOk(look())
  Atomics.store(new Int32Array(hang), 0, 1)
  Atomics.notify(new Int32Array(hang), 0)
  await until(() => stats.get('heartbeats') > seen)
  t.ok(look(), 'and alive when it goes on')
  worker.postMessage('end')
  await new Promise((resolve) => worker.once('exit', resolve))
})
