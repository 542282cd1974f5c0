/**
 * The first exchange on a connection, the same for control and log connections: dial, say one message, hear one.
 *
 * Whatever goes wrong in it ends as a `not-applied` error, and the connection is destroyed. It takes at most
 * HANDSHAKE_MS_MAX, so that one dead address does not use up the deadline of a call that has others to try.
 */
import type { Connection } from '../protocol/connection.ts'
import { encodeMessage, type Message, MessageReader, type MessageType } from '../protocol/control-message.ts'
import { asError, fromWireError, TravertineError } from '../protocol/errors.ts'
import { HANDSHAKE_MS_MAX } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import { type Address, formatAddress } from './address.ts'
import { abortedBeforeSending, asClientError, ClientError, expiredBeforeSending } from './client-error.ts'
import { type Credential, Introduction } from './introduction.ts'
import type { CallLimits } from './options.ts'

/** An open connection, paused. `rest` are bytes that came behind the first message. */
export interface OpenedConnection {
  readonly connection: Connection
  readonly rest: Buffer
  /** host:port, for error places. */
  readonly peer: string
}

/** @throws CONNECT_FAILED, HANDSHAKE_TIMEOUT, DEADLINE_EXCEEDED, ABORTED, or the error that the node has answered */
export async function shakeHands<T extends MessageType>(
  world: World,
  address: Address,
  hello: Message,
  expected: T,
  limits: CallLimits,
  credential?: Credential,
): Promise<OpenedConnection & { reply: Message<T> }> {
  const peer = formatAddress(address)
  const connection = world.network.dial(address.host, address.port)
  try {
    const { message, rest } = await firstMessage(world, connection, {
      introduction: new Introduction(hello, credential, world),
      peer,
      limits,
    })
    if (message.type === 'error') throw nodeError(message.error, peer)
    if (message.type !== expected) throw unexpected(message.type, expected, peer)
    return { connection, rest, peer, reply: message as Message<T> } // its type was compared on the line above
  } catch (error) {
    connection.destroy()
    throw error instanceof TravertineError ? asClientError(error, 'not-applied') : error
  }
}

function firstMessage(
  { clock }: World,
  connection: Connection,
  { introduction, peer, limits }: { introduction: Introduction; peer: string; limits: CallLimits },
): Promise<{ message: Message; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    const reader = new MessageReader({ peer })
    const now = clock.now()
    const isAttemptLimit = now + HANDSHAKE_MS_MAX < limits.deadline
    const timer = clock.after(Math.max(1, isAttemptLimit ? HANDSHAKE_MS_MAX : limits.deadline - now), () =>
      fail(isAttemptLimit ? tooSlow(peer) : expiredBeforeSending(limits.deadlineMs, `connect to ${peer}`)),
    )
    const onAbort = (): void => fail(limits.signal === undefined ? tooSlow(peer) : abortedBeforeSending(limits.signal))
    const settle = (): void => {
      timer.cancel()
      limits.signal?.removeEventListener('abort', onAbort)
    }
    const fail = (error: Error): void => {
      settle()
      reject(error) // has no effect once it is resolved: until its owner takes it over, an opened connection may be lost
    }
    limits.signal?.addEventListener('abort', onAbort)
    if (limits.signal?.aborted) return onAbort()
    connection.handle({
      data: (chunk) => {
        try {
          const message = reader.push(chunk, 1)[0]
          if (message === undefined) return
          const next = introduction.next(message)
          if (next !== undefined) return connection.writeAll(next.map(encodeMessage))
          connection.pause()
          settle()
          resolve({ message, rest: reader.takeRest() })
        } catch (error) {
          fail(asError(error))
        }
      },
      ended: () => fail(connectFailed(peer, 'the node closed the connection without an answer')),
      closed: (cause) =>
        fail(connectFailed(peer, cause?.message ?? 'the node closed the connection without an answer', cause)),
    })
    connection.write(encodeMessage(introduction.first()))
  })
}

/** `where.peer` of a NOT_MASTER error names the master, and must not be overwritten by the node that said so. */
function nodeError(wire: Message<'error'>['error'], peer: string): ClientError {
  const error = fromWireError(wire)
  const isAboutNode = error.where.peer === undefined && error.code !== 'NOT_MASTER'
  return new ClientError(error.code, `${error.message} (said by ${peer})`, 'not-applied', {
    where: isAboutNode ? { ...error.where, peer } : error.where,
    hint: error.hint,
  })
}

function connectFailed(peer: string, found: string, cause?: unknown): ClientError {
  return new ClientError('CONNECT_FAILED', `Cannot connect to ${peer}: ${found}`, 'not-applied', {
    where: { peer },
    hint: 'is the node running, and is this the address of its control channel?',
    cause,
  })
}

function tooSlow(peer: string): ClientError {
  return new ClientError(
    'HANDSHAKE_TIMEOUT',
    `Cannot connect to ${peer}: found no answer within ${HANDSHAKE_MS_MAX} ms`,
    'not-applied',
    { where: { peer }, hint: 'is a Travertine node listening there, and is it overloaded?' },
  )
}

function unexpected(found: string, expected: string, peer: string): ClientError {
  return new ClientError(
    'MESSAGE_UNEXPECTED',
    `Cannot connect to ${peer}: found a ${found} message, expected ${expected}`,
    'not-applied',
    { where: { peer } },
  )
}
