/**
 * How a replica ends while it adopts a history: by itself, where nobody can say which history is durable; or told to, and then
 * the job is cut off with the pool, which is no defect.
 */
import t, { type Test } from 'tap'
import { toWireHistory } from '../../daemon/core/wire-history.ts'
import type { JobRunner } from '../../daemon/io/job-pool.ts'
import { fullConfig, type LogLine } from '../../daemon/node-config.ts'
import { openLog } from '../../daemon/open-log.ts'
import { RunningNode } from '../../daemon/running-node.ts'
import { jobsOn } from '../../daemon/threads/jobs.ts'
import { encodeMessage, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../../protocol/control-message.ts'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { CLUSTER, DIRECTORY, emptyLog, manifestOf, mastership, OTHER } from '../wal/hand-made-log.ts'
import { until } from './raw-client.ts'

const HISTORY = [mastership(4, [0], 0n, OTHER)]

interface Adopting {
  readonly node: RunningNode
  readonly lines: LogLine[]
  /** How the job ends. */
  readonly fail: (error: Error) => void
}

async function adopting(t: Test): Promise<Adopting> {
  const manifest = manifestOf(1, [], 'replica')
  const runJob = jobsOn(emptyLog(manifest))
  let fail: ((error: Error) => void) | undefined
  const pool: JobRunner = {
    run: (name, args) =>
      new Promise((resolve, reject) => {
        if (name === 'adoptHistory') {
          fail = reject
          return
        }
        const answer = runJob(name, args)
        if ('error' in answer) reject(fromWireError(answer.error))
        else resolve(answer.result)
      }),
  }
  const lines: LogLine[] = []
  const node = new RunningNode({
    config: fullConfig({ directory: DIRECTORY, port: 0, onLog: (line) => lines.push(line) }),
    log: await openLog(pool, nodeWorld, { directory: DIRECTORY, manifest }),
    world: nodeWorld,
    pool,
    secrets: () => [],
    openChannels: ({ onMessage }) => ({
      start: async () => [7501],
      stop: async () => undefined,
      send: () => undefined,
      sendAll: ({ type }) => {
        if (type === 'quiesce') queueMicrotask(() => onMessage(0, { type: 'quiet', position: 0 }))
        if (type === 'drain') queueMicrotask(() => onMessage(0, { type: 'drained' }))
      },
    }),
  })
  await node.start()
  const master = nodeWorld.network.dial('127.0.0.1', node.port)
  master.handle({ data: () => undefined, closed: () => undefined })
  master.write(
    encodeMessage({
      type: 'session_begin',
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      clusterId: CLUSTER,
      nodeId: OTHER,
      address: '127.0.0.1:1',
      channels: 1,
      term: HISTORY[0]!.term,
      history: toWireHistory(HISTORY),
      ends: [0],
      via: [],
    }),
  )
  await until('it adopts', () => fail !== undefined)
  t.teardown(() => master.destroy())
  return { node, lines, fail: (error) => fail?.(error) }
}

t.test('told to stop', async (t) => {
  const { node, lines, fail } = await adopting(t)
  node.shutdown()
  fail(new Error('Terminating worker thread'))
  await node.closed
  await new Promise((resolve) => setImmediate(resolve)) // what the error would have led to has happened by then
  t.same(
    lines.filter(({ level }) => level === 'error'),
    [],
  )
})

t.test('the manifest may have been replaced, or not', async (t) => {
  const { node, lines, fail } = await adopting(t)
  fail(new TravertineError('DISK_FAILED', 'Cannot flush a directory: found EIO'))
  await t.rejects(node.closed, { code: 'DISK_FAILED' })
  t.same(
    lines.filter(({ level }) => level === 'error').map(({ code }) => code),
    ['DISK_FAILED'],
  )
})
