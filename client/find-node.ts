/**
 * Finds a node to read from: any of the addresses will do, master or replica.
 */
import { type Message, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../protocol/control-message.ts'
import { TravertineError } from '../protocol/errors.ts'
import { CHANNEL_COUNT_LIMIT } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import type { Address } from './address.ts'
import { type OpenedConnection, shakeHands } from './handshake.ts'
import type { Credential } from './introduction.ts'
import type { CallLimits } from './options.ts'

export type ReaderHello = Message<'reader_hello_ok'>

/** A reader session that was begun, and nothing read yet. */
export interface GreetedNode {
  readonly address: Address
  readonly opened: OpenedConnection
  readonly hello: ReaderHello
}

export interface FindNodeOptions {
  readonly world: World
  /** Tried in turn. */
  readonly addresses: readonly Address[]
  /** '': any. */
  readonly clusterId: string
  readonly credential: Credential | undefined
}

/** @throws the error of an address that may do later, or else of the first one; ABORTED, DEADLINE_EXCEEDED */
export async function findNode(options: FindNodeOptions, limits: CallLimits): Promise<GreetedNode> {
  const errors: TravertineError[] = []
  for (const address of options.addresses) {
    try {
      return await greet(address, options, limits)
    } catch (error) {
      if (!(error instanceof TravertineError) || error.code === 'ABORTED' || error.code === 'DEADLINE_EXCEEDED')
        throw error
      errors.push(error)
    }
  }
  throw errors.find((error) => error.retryable) ?? errors[0]
}

async function greet(address: Address, options: FindNodeOptions, limits: CallLimits): Promise<GreetedNode> {
  const { world, clusterId: wanted, credential } = options
  const versions = { versionMin: PROTOCOL_VERSION_MIN, versionMax: PROTOCOL_VERSION_MAX }
  const hello = { type: 'reader_hello', ...versions, clusterId: wanted } as const
  const { reply, ...opened } = await shakeHands(world, address, hello, 'reader_hello_ok', limits, credential)
  const error = faultOf(reply, opened.peer, wanted)
  if (error === undefined) return { address, opened, hello: reply }
  opened.connection.destroy()
  throw error
}

/** What the codec cannot know. */
function faultOf(hello: ReaderHello, peer: string, wanted: string): TravertineError | undefined {
  const { version, channels, logPorts } = hello
  const say = (
    code: 'CLUSTER_MISMATCH' | 'PROTOCOL_VERSION_UNSUPPORTED' | 'MESSAGE_MALFORMED',
    found: string,
  ): TravertineError => new TravertineError(code, `Cannot read from ${peer}: found ${found}`, { where: { peer } })
  if (version < PROTOCOL_VERSION_MIN || version > PROTOCOL_VERSION_MAX) {
    return say(
      'PROTOCOL_VERSION_UNSUPPORTED',
      `version ${version}, expected ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`,
    )
  }
  if (wanted !== '' && hello.clusterId !== wanted) {
    return say('CLUSTER_MISMATCH', `cluster ${hello.clusterId}, expected ${wanted}`)
  }
  if (channels < 1 || channels > CHANNEL_COUNT_LIMIT || logPorts.length !== channels) {
    return say('MESSAGE_MALFORMED', `${channels} channels with ${logPorts.length} ports, expected a port each`)
  }
  return undefined
}
