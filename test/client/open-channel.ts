/**
 * What tests of outcomes start with: a channel to a fake node that answers only what the test says.
 */
import { type Channel, type Client, type ConnectOptions, connect, type Session } from '../../client/client.ts'
import { type FakeLink, FakeNode, type FakeNodeOptions, type Teardown } from './fake-node.ts'

export interface Opened {
  readonly node: FakeNode
  readonly link: FakeLink
  readonly client: Client
  readonly channel: Channel
}

/** A channel to a node that answers only what the test says. */
export async function openChannel(
  t: Teardown,
  options: FakeNodeOptions = {},
  connectOptions: Partial<ConnectOptions<'bytes'>> = {},
): Promise<Opened> {
  const node = await FakeNode.start(t, { answer: 'nothing', ...options })
  const client = await connect({ address: node.address, ...connectOptions })
  t.teardown(() => client.close({ deadlineMs: 1 }))
  const channel = await client.openChannel({ channel: 1 })
  return { node, link: await node.link(), client, channel }
}

export const entry = { op: 'put', storage: 1n, key: 'k', value: Buffer.from('v') } as const
export const session = (channel: Channel, limits = {}): Session =>
  channel.beginSession(limits).put(1n, 'k', Buffer.from('v'))

/** One for which the first lost connection is the end. */
export const openOnce = (t: Teardown, options: FakeNodeOptions = {}): Promise<Opened> =>
  openChannel(t, options, { reconnect: false })

/** All promise reactions and socket events that are due have run, also those that they have caused. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** 'pending', or how the promise has ended. */
export async function stateOf(promise: Promise<unknown>): Promise<string> {
  const pending = Symbol('pending')
  await settled()
  return Promise.race([promise, Promise.resolve(pending)]).then(
    (value) => (value === pending ? 'pending' : 'reached'),
    (error: { code: string }) => error.code,
  )
}

/** Answers of the node that the client must have read: those before an answer it waits for. */
export async function heard(link: FakeLink, channel: Channel, epoch: number): Promise<void> {
  const receipt = session(channel).end()
  await link.received(receipt.sequence)
  link.stored(epoch, receipt.sequence)
  await receipt.stored
}
