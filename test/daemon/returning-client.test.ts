/**
 * REP-22: a client whose newest sessions are neither in the log nor sent again goes on with the next number. The shipped client
 * against real nodes, in each of the ways to get there.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Channel, ClientError, connect, type LostSessions } from '../../client/client.ts'
import { initNode, startNode, type TravertineNode } from '../../daemon/node.ts'
import { SEGMENT_BYTES_MIN } from '../../protocol/limits.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { startOnOwnPort, type Teardown } from './cluster.ts'
import { until } from './raw-client.ts'

const put = { op: 'put', storage: 1n, key: 'key', value: Buffer.from('value') } as const

interface Scene {
  readonly directory: string
  readonly channel: Channel
  /** What `onLost` was told. */
  readonly lost: LostSessions[]
  stop(): Promise<void>
}

async function goesOn(
  t: Teardown,
  prepare: (scene: Scene) => Promise<void>,
): Promise<Scene & { readonly sequence: number }> {
  const directory = join(temporaryDirectory(t), 'm')
  const clusterId = '00000000-0000-4000-8000-0000000000aa'
  initNode({ directory, role: 'master', clusterId, channels: 1, segmentBytes: SEGMENT_BYTES_MIN, replicas: [] })
  const config = { directory, segmentsAhead: 1, onLog: () => undefined }
  let node: TravertineNode | undefined = await startOnOwnPort(config, undefined)
  const { port } = node
  const lost: LostSessions[] = []
  const client = await connect({ address: `127.0.0.1:${port}`, onLost: (sessions) => lost.push(sessions) })
  t.teardown(async () => {
    await client.close({ deadlineMs: 1 })
    await node?.close()
  })
  const channel = await client.openChannel()
  await channel.write([put], { level: 'stored' })
  const stop = async (): Promise<void> => {
    await node?.close()
    node = undefined
    await until('the client has noticed', () => channel.state !== 'open')
  }
  const scene = { directory, channel, lost, stop }
  await prepare(scene)
  node = await startOnOwnPort(config, port)
  await until('the client is back', () => channel.state === 'open') // what it writes now is not in its claim
  const { sequence } = await channel.write([put], { level: 'stored' })
  return { ...scene, sequence }
}

async function failureOf(write: Promise<unknown>): Promise<string> {
  try {
    await write
  } catch (error) {
    if (error instanceof ClientError) return `${error.code} ${error.outcome}`
    throw error
  }
  return 'none'
}

t.test('the last session was rejected', async (t) => {
  const { sequence, channel } = await goesOn(t, async ({ channel, stop }) => {
    const impossible = channel.write([{ ...put, version: { major: 2n ** 62n, minor: 0n } }], { level: 'stored' })
    t.equal(await failureOf(impossible), 'VERSION_ABOVE_EPOCH not-applied')
    await stop()
  })
  t.equal(sequence, 3)
  t.equal(channel.state, 'open')
})

t.test('the last session expired while no node was there', async (t) => {
  const { sequence, channel } = await goesOn(t, async ({ channel, stop }) => {
    await stop()
    const late = channel.write([put], { level: 'stored', deadlineMs: 20 })
    t.equal(await failureOf(late), 'DEADLINE_EXCEEDED not-applied')
  })
  t.equal(sequence, 3)
  t.equal(channel.state, 'open')
})

t.test('the last sessions were STORED, and are lost in a change of history', async (t) => {
  const { sequence, channel, lost } = await goesOn(t, async ({ directory, channel, stop }) => {
    const before = `${directory}.before`
    cpSync(directory, before, { recursive: true })
    for (let i = 0; i < 2; i++) await channel.write([put], { level: 'stored' })
    await stop()
    rmSync(directory, { recursive: true })
    cpSync(before, directory, { recursive: true })
    // another mastership meanwhile: clients believe no node whose term is older than one that they have met
    const between = await startNode({ directory, port: 0, segmentsAhead: 1, onLog: () => undefined })
    await between.close()
  })
  t.same(lost, [{ channel: 0, from: 2, to: 3 }])
  t.equal(sequence, 4)
  t.equal(channel.state, 'open')
})
