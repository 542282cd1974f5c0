/** A master and a replica that have run, written and stopped: data directories as nodes leave them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, type Client, connect } from '../../client/client.ts'
import { initNode, startNode, type TravertineNode } from '../../daemon/node.ts'
import { RECOVERY_POINT_NAME } from '../../wal/recovery-point.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { CLUSTER, SEGMENT_BYTES } from './forged-log.ts'
import { freePorts, until } from './travertine.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

export interface RunningPair {
  readonly masterDirectory: string
  readonly replicaDirectory: string
  readonly master: TravertineNode
  readonly replicaAddress: string
  readonly client: Client
  readonly channels: readonly Channel[]
  /** Closes both nodes, once. */
  stop(): Promise<void>
}

/** Both nodes in this process, on free ports, with small segments. The replica's can be used again: the system gives them to nobody. */
export async function runningPair(t: Teardown, directory: string, channels = 2): Promise<RunningPair> {
  const masterDirectory = join(directory, 'master')
  const replicaDirectory = join(directory, 'replica')
  const facts = { clusterId: CLUSTER, channels, segmentBytes: SEGMENT_BYTES }
  initNode({ directory: replicaDirectory, role: 'replica', ...facts })
  const replica = await startNode({ directory: replicaDirectory, port: await freePorts(1 + channels) })
  let stopped: Promise<unknown> | undefined
  const nodes = [replica]
  const stop = async (): Promise<void> => {
    stopped ??= Promise.all(nodes.map((node) => node.close()))
    await stopped
  }
  t.teardown(stop)
  const replicaAddress = `127.0.0.1:${replica.port}`
  initNode({ directory: masterDirectory, role: 'master', replicas: [replicaAddress], ...facts })
  const master = await startNode({ directory: masterDirectory, port: 0 })
  nodes.unshift(master)
  const client = await connect({ address: `127.0.0.1:${master.port}` })
  const opened = await Promise.all(Array.from({ length: channels }, (_, channel) => client.openChannel({ channel })))
  const close = async (): Promise<void> => {
    await client.close()
    await stop()
  }
  t.teardown(close)
  return { masterDirectory, replicaDirectory, master, replicaAddress, client, channels: opened, stop: close }
}

export interface WrittenSession {
  readonly channel: number
  readonly keys: readonly string[]
  readonly epoch: bigint
}

/** `rounds` sessions on each channel, two entries each, all PROPAGATED. */
export async function writeRounds(pair: RunningPair, rounds: number, valueBytes = 100): Promise<WrittenSession[]> {
  const written: WrittenSession[] = []
  for (let round = 0; round < rounds; round++) {
    const sessions = pair.channels.map(async (channel) => {
      const keys = [`c${channel.id}-r${round}-a`, `c${channel.id}-r${round}-b`]
      const entries = keys.map((key) => ({
        op: 'put' as const,
        storage: 1n,
        key,
        value: Buffer.alloc(valueBytes, key),
      }))
      const { epoch } = await channel.write(entries, { level: 'propagated' })
      written.push({ channel: channel.id, keys, epoch })
    })
    await Promise.all(sessions)
  }
  return written
}

export interface StoppedPair {
  readonly masterDirectory: string
  readonly replicaDirectory: string
  readonly written: readonly WrittenSession[]
}

/** A pair that has written, has its recovery points, and was stopped. Several tests can read it; who changes it takes a copy. */
export async function stoppedPair(t: Teardown, rounds: number, valueBytes: number): Promise<StoppedPair> {
  const pair = await runningPair(t, temporaryDirectory(t))
  const written = await writeRounds(pair, rounds, valueBytes)
  await untilRecoveryPoints(pair)
  await pair.stop()
  return { ...pair, written }
}

/** Each channel of both nodes has a recovery point: those are written off the commit path, so not at once. */
export async function untilRecoveryPoints({ masterDirectory, replicaDirectory, channels }: RunningPair): Promise<void> {
  const points = [masterDirectory, replicaDirectory].flatMap((directory) =>
    channels.map(({ id }) => join(channelDirectory(directory, id), RECOVERY_POINT_NAME)),
  )
  await until(() => points.every((file) => existsSync(file)))
}
