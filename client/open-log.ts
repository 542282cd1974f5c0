/**
 * Opens a log connection for one producer: dials the channel's port and says what is known of the producer on this side.
 */
import type { Message } from '../protocol/control-message.ts'
import { type ChannelId, type ProducerId, sameTerm } from '../protocol/ids.ts'
import type { World } from '../protocol/world.ts'
import { ClientError } from './client-error.ts'
import type { Level } from './commit.ts'
import type { FoundMaster } from './find-master.ts'
import { type OpenedConnection, shakeHands } from './handshake.ts'
import { asTerm, termText } from './term.ts'

/** What a producer says of itself. */
export interface ProducerClaim {
  readonly producer: ProducerId
  /** Newest session that was ever handed to a connection; 0: none. */
  readonly sent: number
  /** All sessions up to this one are answered. */
  readonly answered: number
  /** What the last answer to such a claim has given to hand back; 0: there was none. */
  readonly since: bigint
  /** What its writers mostly wait for. */
  readonly level: Level
}

export interface OpenedLog extends OpenedConnection {
  readonly reply: Message<'log_open_ok'>
}

/** @throws CONNECT_FAILED, HANDSHAKE_TIMEOUT, ABORTED, TERM_STALE, or what the node has answered */
export async function openLog(
  world: World,
  { address, hello }: FoundMaster,
  log: { readonly channel: ChannelId; readonly claim: ProducerClaim; readonly signal: AbortSignal },
): Promise<OpenedLog> {
  const { channel, claim, signal } = log
  const port = hello.logPorts[channel]
  if (port === undefined) throw unknownChannel(channel, hello.channels)
  const { version, session, secret } = hello
  const opened = await shakeHands(
    world,
    { host: address.host, port },
    { type: 'log_open', version, session, secret, channel, ...claim },
    'log_open_ok',
    // the handshake has a limit of its own
    { deadlineMs: 0, deadline: Number.POSITIVE_INFINITY, signal },
  )
  const [expected, found] = [asTerm(hello.term), asTerm(opened.reply.term)]
  if (sameTerm(expected, found)) return opened
  opened.connection.destroy()
  throw new ClientError(
    'TERM_STALE',
    `Cannot open channel ${channel}: found ${termText(found)}, expected ${termText(expected)}`,
    'not-applied',
    { where: { channel, peer: opened.peer }, hint: 'the mastership has changed; connect again' },
  )
}

export function unknownChannel(channel: number, channels: number): ClientError {
  return new ClientError(
    'CHANNEL_UNKNOWN',
    `Cannot open a channel: found ${channel}, expected a whole number from 0 to ${channels - 1}`,
    'not-applied',
    { where: { channel } },
  )
}
