/**
 * Finds the node that takes writes: tries addresses in turn and follows "the master is over there" a few times.
 *
 * A replica's word may be old, so an address it names is tried like any other, once. When nothing is left, the error
 * says what each address has answered, and `where.peer` names the master as far as anybody knew it.
 */
import { type Message, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../protocol/control-message.ts'
import { sameTerm } from '../protocol/ids.ts'
import { CHANNEL_COUNT_LIMIT, CLIENT_REDIRECT_COUNT_LIMIT } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import { type Address, formatAddress, parseAddress } from './address.ts'
import { ClientError } from './client-error.ts'
import { type OpenedConnection, shakeHands } from './handshake.ts'
import type { Credential } from './introduction.ts'
import type { CallLimits } from './options.ts'
import { asTerm, termText } from './term.ts'

export type Hello = Message<'client_hello_ok'>

export interface FindOptions extends CallLimits {
  readonly world: World
  readonly addresses: readonly Address[]
  /** Empty: any cluster will do. */
  readonly clusterId: string
  readonly credential?: Credential | undefined
  /** What a master has said before: another one must not contradict it. */
  readonly seen?: Hello
}

export interface FoundMaster {
  readonly address: Address
  readonly opened: OpenedConnection
  readonly hello: Hello
}

/** @throws NOT_MASTER naming the master, CONNECT_FAILED listing all failures, or the error of the only address */
export async function findMaster(options: FindOptions): Promise<FoundMaster> {
  const candidates = [...options.addresses]
  const tried = new Set<string>()
  const errors: ClientError[] = []
  let redirects = 0
  for (let address = candidates.shift(); address !== undefined; address = candidates.shift()) {
    if (tried.has(formatAddress(address))) continue
    tried.add(formatAddress(address))
    try {
      return await greet(address, options)
    } catch (error) {
      if (!(error instanceof ClientError) || error.code === 'ABORTED' || error.code === 'DEADLINE_EXCEEDED') throw error
      errors.push(error)
      const master = masterNamedBy(error)
      if (master === undefined || redirects >= CLIENT_REDIRECT_COUNT_LIMIT) continue
      redirects += 1
      candidates.unshift(master)
    }
  }
  throw summary(errors)
}

async function greet(address: Address, options: FindOptions): Promise<FoundMaster> {
  const { clusterId } = options
  const hello = { versionMin: PROTOCOL_VERSION_MIN, versionMax: PROTOCOL_VERSION_MAX, clusterId }
  const { reply, ...opened } = await shakeHands(
    options.world,
    address,
    { type: 'client_hello', ...hello },
    'client_hello_ok',
    options,
    options.credential,
  )
  const error = faultOf(reply, opened.peer, clusterId) ?? contradiction(reply, opened.peer, options.seen)
  if (error === undefined) return { address, opened, hello: reply }
  opened.connection.destroy()
  throw error
}

/** What the codec cannot know: whether the numbers of a node's answer make sense together. */
function faultOf(hello: Hello, peer: string, clusterId: string): ClientError | undefined {
  const say = (
    code: 'CLUSTER_MISMATCH' | 'PROTOCOL_VERSION_UNSUPPORTED' | 'MESSAGE_MALFORMED',
    what: string,
  ): ClientError =>
    new ClientError(code, `Cannot connect to ${peer}: found ${what}`, 'not-applied', { where: { peer } })
  if (hello.version < PROTOCOL_VERSION_MIN || hello.version > PROTOCOL_VERSION_MAX) {
    return say(
      'PROTOCOL_VERSION_UNSUPPORTED',
      `version ${hello.version}, expected ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`,
    )
  }
  if (clusterId !== '' && hello.clusterId !== clusterId) {
    return say('CLUSTER_MISMATCH', `cluster ${hello.clusterId}, expected ${clusterId}`)
  }
  if (hello.channels < 1 || hello.channels > CHANNEL_COUNT_LIMIT || hello.logPorts.length !== hello.channels) {
    return say(
      'MESSAGE_MALFORMED',
      `${hello.channels} channels with ${hello.logPorts.length} ports, expected a port each`,
    )
  }
  return undefined
}

/** A master that was replaced and has not heard of it, or one that cannot be. */
function contradiction(hello: Hello, peer: string, seen: Hello | undefined): ClientError | undefined {
  if (seen === undefined) return undefined
  const say = (code: 'TERM_STALE' | 'TERM_CONFLICT' | 'CHANNEL_COUNT_MISMATCH', what: string): ClientError =>
    new ClientError(code, `Cannot connect to ${peer}: found ${what}`, 'not-applied', { where: { peer } })
  if (hello.channels !== seen.channels) {
    return say('CHANNEL_COUNT_MISMATCH', `${hello.channels} channels, expected ${seen.channels} as before`)
  }
  const [found, known] = [asTerm(hello.term), asTerm(seen.term)]
  if (found.number < known.number) return say('TERM_STALE', `${termText(found)}, expected at least ${known.number}`)
  if (found.number === known.number && !sameTerm(found, known)) {
    return say('TERM_CONFLICT', `${termText(found)}, expected ${termText(known)} or a later one`)
  }
  return undefined
}

function masterNamedBy(error: ClientError): Address | undefined {
  if (error.code !== 'NOT_MASTER' || error.where.peer === undefined) return undefined
  try {
    return parseAddress(error.where.peer)
  } catch {
    return undefined // a node that does not know a usable address: its error is told as it is
  }
}

function summary(errors: readonly ClientError[]): ClientError {
  const [only] = errors
  if (only !== undefined && errors.length === 1) return only
  const notMaster = errors.findLast((error) => error.code === 'NOT_MASTER')
  const found = errors.map((error) => `${error.code}: ${error.message}`).join('; ')
  return new ClientError(notMaster?.code ?? 'CONNECT_FAILED', `Cannot find the master: ${found}`, 'not-applied', {
    where: notMaster?.where ?? {},
    hint: notMaster?.hint ?? only?.hint ?? '',
    cause: new AggregateError(errors),
  })
}
