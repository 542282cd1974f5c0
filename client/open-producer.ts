/**
 * Opens a log connection for one channel, under a producer id of its own.
 */
import {
  type ChannelId,
  clusterId,
  nodeId,
  type ProducerId,
  producerId,
  type Term,
  termNumber,
} from '../protocol/ids.ts'
import type { World } from '../protocol/world.ts'
import { ClientError } from './client-error.ts'
import type { FoundMaster } from './find-master.ts'
import { shakeHands } from './handshake.ts'
import type { CallLimits } from './options.ts'
import { Producer } from './producer.ts'

/** @throws CONNECT_FAILED, HANDSHAKE_TIMEOUT, DEADLINE_EXCEEDED, ABORTED, TERM_STALE, or what the node has answered */
export async function openProducer(
  world: World,
  master: FoundMaster,
  channel: ChannelId,
  limits: CallLimits,
  onEnded: (producer: Producer) => void,
): Promise<Producer> {
  const { hello } = master
  const port = hello.logPorts[channel]
  if (port === undefined) throw unknownChannel(channel, hello.channels)
  const address = { host: master.address.host, port }
  const id = randomProducerId(world)
  const { version, session, secret } = hello
  const { reply, ...opened } = await shakeHands(
    world,
    address,
    { type: 'log_open', version, session, secret, channel, producer: id, sent: 0, answered: 0, since: 0n },
    'log_open_ok',
    limits,
  )
  const term = asTerm(hello.term)
  if (reply.term.number !== term.number || reply.term.tag !== term.tag || reply.term.nodeId !== term.nodeId) {
    opened.connection.destroy()
    throw new ClientError(
      'TERM_STALE',
      `Cannot open channel ${channel}: found ${termText(reply.term)}, expected ${termText(term)}`,
      'not-applied',
      { where: { channel, peer: opened.peer }, hint: 'the mastership has changed; connect again' },
    )
  }
  const producer: Producer = new Producer({
    clock: world.clock,
    clusterId: clusterId(hello.clusterId),
    channel,
    producer: id,
    term,
    replicas: hello.replicas,
    sequence: reply.sequence,
    opened,
    onEnded: () => onEnded(producer),
  })
  return producer
}

export function unknownChannel(channel: number, channels: number): ClientError {
  return new ClientError(
    'CHANNEL_UNKNOWN',
    `Cannot open a channel: found ${channel}, expected a whole number from 0 to ${channels - 1}`,
    'not-applied',
    { where: { channel } },
  )
}

function termText(term: { number: bigint; nodeId: string; tag: number }): string {
  return `term ${term.number} of node ${term.nodeId} with tag ${term.tag}`
}

/** The codec has checked the form of the id. */
export function asTerm(wire: { number: bigint; nodeId: string; tag: number }): Term {
  return { number: termNumber(wire.number), nodeId: nodeId(wire.nodeId), tag: wire.tag }
}

/** Never 0, which means "no producer". */
function randomProducerId({ randomBytes }: World): ProducerId {
  return producerId(randomBytes(8).readBigUInt64LE() || 1n)
}
