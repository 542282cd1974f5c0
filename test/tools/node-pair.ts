/** Nodes for tests of the command: data directories made by `init`, nodes run by `run`, as users do it. */
import { type Channel, type Client, connect } from '../../client/client.ts'
import { initNode } from '../../daemon/node.ts'
import { type Command, start } from './travertine.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

const SEGMENT_BYTES = 65_536

export interface ReadyNode {
  readonly command: Command
  readonly port: number
  readonly logPorts: readonly number[]
  readonly clusterId: string
}

export function newMaster(
  directory: string,
  replicas: readonly string[] = [],
  clusterId?: string,
  channels = 1,
): string {
  const cluster = clusterId === undefined ? {} : { clusterId }
  return initNode({ directory, role: 'master', segmentBytes: SEGMENT_BYTES, replicas, channels, ...cluster }).clusterId
}

export function newReplica(directory: string, clusterId: string, channels = 1): void {
  initNode({ directory, role: 'replica', segmentBytes: SEGMENT_BYTES, clusterId, channels })
}

/** `travertine run` on free ports; resolves when it listens. */
export async function runNode(
  t: Teardown,
  directory: string,
  words: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<ReadyNode> {
  const admin = words.some((word) => word.startsWith('--admin')) ? [] : ['--no-admin'] // it loads a large package
  const command = start(t, ['run', directory, '--port', '0', ...admin, '--json', ...words], { env })
  const [line] = await command.has('stdout', /^.+\n/)
  return { command, ...(JSON.parse(line) as Omit<ReadyNode, 'command'>) } // of our own command; its form has a test
}

export async function openChannel(t: Teardown, port: number): Promise<{ client: Client; channel: Channel }> {
  const client = await connect({ address: `127.0.0.1:${port}` })
  const aborted = AbortSignal.abort()
  t.teardown(() => client.close({ signal: aborted }))
  return { client, channel: await client.openChannel() }
}
