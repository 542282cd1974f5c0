/**
 * Drives a MasterCore or a ReplicaCore by the commands of a transcript, and tells its effects in one line each.
 *
 * Time stands still but for `wait`, which goes forward and ticks once at the end. Names instead of random numbers:
 * clusters `ours` and `other`, nodes A to D, and a connection's secret is its own number.
 */
import type { AdoptedHistory, Core, Effect, Event } from '../../daemon/core/events.ts'
import { MasterCore } from '../../daemon/core/master-core.ts'
import { ReplicaCore } from '../../daemon/core/replica-core.ts'
import { type ClusterConfig, EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import type { Message } from '../../protocol/control-message.ts'
import { isErrorCode, TravertineError, type WireError } from '../../protocol/errors.ts'
import { clusterId, nodeId, type Term } from '../../protocol/ids.ts'
import type { WireMember } from '../../protocol/message-field.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { buildMessage } from './build-message.ts'
import { CLUSTERS, nameOfNode, nodeNamed, parseHistory, parseTerm } from './names.ts'
import { Arguments, type Driver } from './transcript.ts'

export class CoreDriver implements Driver {
  #core: MasterCore | ReplicaCore | undefined
  #history: TermHistory = []
  #now = 0

  command(name: string, args: Arguments): string[] {
    if (name === 'master') return this.#master(args)
    if (name === 'replica') return this.#replica(args)
    if (name === 'status') return this.#status()
    if (name === 'wait') {
      this.#now += args.number()
      return this.#step({ type: 'tick' })
    }
    if (name === 'readers') return this.#readers(args.number())
    return this.#step(this.#event(name, args))
  }

  /** So many readers at once, told in one line. */
  #readers(count: number): string[] {
    let effects = 0
    for (let connection = 1; connection <= count; connection++) {
      const peer = `host${connection}:9000`
      this.#step({ type: 'connected', connection, peer, secret: Buffer.alloc(16, connection) })
      const message = buildMessage('reader_hello', new Arguments([]))
      effects += this.#step({ type: 'message', connection, message }).length
    }
    return [`${effects} registered`]
  }

  #master(args: Arguments): string[] {
    const channels = args.numberOption('channels', 1)
    const replicas = args.numberOption('replicas', 0)
    this.#history = parseHistory(args.option('history') ?? `3A7@${new Array(channels).fill(0).join(',')}`)
    this.#core = new MasterCore({
      facts: { ...facts(channels, 'A'), term: this.#history.at(-1)!.term }, // a transcript's master has one
      history: this.#history,
      config: configOf(replicas),
      ends: new Array<number>(channels).fill(0),
    })
    // a mastership begins with its CONFIG; `unbegun` stops before that
    return args.option('unbegun') === undefined ? this.#step({ type: 'configDurable', number: 1 }) : []
  }

  #replica(args: Arguments): string[] {
    const channels = args.numberOption('channels', 1)
    const fence = args.option('fence')
    this.#history = parseHistory(args.option('history') ?? '')
    const known = { history: this.#history, fence: fence === undefined ? undefined : parseTerm(fence) }
    const cascade = (args.option('cascade') ?? '').split(',').filter(Boolean)
    this.#core = new ReplicaCore(facts(channels, 'B'), known, cascade)
    return []
  }

  #event(name: string, args: Arguments): Event {
    switch (name) {
      case 'connected': {
        const connection = args.number()
        const row = args.option('row')
        const event = {
          type: name,
          connection,
          peer: `host${connection}:9000`,
          secret: Buffer.alloc(16, connection),
        } as const
        return row === undefined ? event : { ...event, row: Number(row) }
      }
      case 'dialFailed':
        return { type: name, row: args.number(), error: errorOf(args) ?? failure('CONNECT_FAILED') }
      case 'message':
        return { type: name, connection: args.number(), message: buildMessage(args.word(), args) }
      case 'closed':
        return withError({ type: name, connection: args.number() }, args)
      case 'sessionReady':
        return { type: name, session: BigInt(args.word()) }
      case 'rowOpen':
        return { type: name, row: args.number(), session: BigInt(args.word()), channel: args.number() }
      case 'rowDown':
        return withError({ type: name, row: args.number(), session: BigInt(args.word()), channel: args.number() }, args)
      case 'adopted':
        return { type: name, connection: args.number(), result: errorOf(args) ?? adoptedHistory(args) }
      case 'watermarks':
        return { type: name, closed: BigInt(args.word()), stored: BigInt(args.word()), propagated: BigInt(args.word()) }
      case 'readerFailed':
        return { type: name, session: BigInt(args.word()), error: errorOf(args) ?? failure('LOG_DAMAGED') }
      case 'configDurable':
        return { type: name, number: args.number() }
      case 'ends':
        return { type: name, ends: args.listOption('ends', []) }
      case 'cascade':
        return { type: name, addresses: (args.option('to') ?? '').split(',').filter(Boolean) }
      case 'shutdown':
      case 'drained':
        return { type: name }
      default:
        throw new Error(`there is no command ${name}`)
    }
  }

  #step(event: Event): string[] {
    const core: Core | undefined = this.#core
    if (core === undefined) throw new Error('a transcript begins with `master` or `replica`')
    return core.step(this.#now, event).map(describeEffect)
  }

  #status(): string[] {
    const core = this.#core
    if (core instanceof MasterCore) {
      return [`clients ${core.clientCount}${readersOf(core)}`, ...replicasOf(core)]
    }
    if (core === undefined) return []
    return [
      `following ${core.isFollowing} master=${core.masterAddress}${viaOf(core)} groupCommit=${core.groupCommit}${readersOf(core)}`,
      ...replicasOf(core),
    ]
  }
}

const replicasOf = (core: MasterCore | ReplicaCore): string[] =>
  core.replicas().map((r) => `${r.member.address} ${r.state} ${r.lastError?.code ?? ''}`.trimEnd())

const viaOf = ({ via }: ReplicaCore): string => (via.length === 0 ? '' : ` via=${via.map(nameOfNode).join('')}`)

const readersOf = ({ readerCount }: MasterCore | ReplicaCore): string =>
  readerCount === 0 ? '' : ` readers ${readerCount}`

function configOf(replicas: number): ClusterConfig {
  const members = Array.from({ length: replicas }, (_, i) => ({
    row: i + 1,
    address: `replica${i + 1}:7500`,
    inSync: true,
    via: 0,
  }))
  return { ...EMPTY_CONFIG, number: 1, quorum: replicas, members }
}

function facts(channels: number, node: string) {
  return {
    clusterId: clusterId(CLUSTERS['ours']!),
    nodeId: nodeId(nodeNamed(node)),
    channels,
    logPorts: Array.from({ length: channels }, (_, i) => 7501 + i),
    address: `node${node}:7500`,
  }
}

function adoptedHistory(args: Arguments): AdoptedHistory {
  const history = parseHistory(args.option('history') ?? '')
  return { resume: args.listOption('resume', [0]), terms: { history, fence: history.at(-1)?.term } }
}

const failure = (code: string): TravertineError => {
  if (!isErrorCode(code)) throw new Error(`there is no error ${code}`)
  return new TravertineError(code, 'Cannot go on: a transcript says so')
}

function errorOf(args: Arguments): TravertineError | undefined {
  const code = args.option('error')
  return code === undefined ? undefined : failure(code)
}

function withError<E extends Event>(event: E, args: Arguments): E {
  const error = errorOf(args)
  return error === undefined ? event : { ...event, error }
}

function describeEffect(effect: Effect): string {
  switch (effect.type) {
    case 'send':
      return `send ${effect.connection} ${describeMessage(effect.message)}`
    case 'close':
      return `close ${effect.connection}`
    case 'dial':
      return `dial row ${effect.row} at ${effect.address}`
    case 'registerSession':
      return `registerSession ${effect.session} ${effect.kind} version=${effect.version} secret=${effect.secret[0]}`
    case 'forgetSession':
      return `forgetSession ${effect.session}`
    case 'openRow':
      return `openRow ${effect.row} session=${effect.session} peerSession=${effect.peerSession} secret=${effect.secret[0]} host=${effect.host} ports=${effect.ports.join(',')} resume=${effect.resume.join(',')}`
    case 'closeRow':
      return `closeRow ${effect.row} session=${effect.session}`
    case 'adopt':
      return `adopt for ${effect.connection} history=${describeHistory(effect.history)}`
    case 'groupCommit':
      return `groupCommit ${effect.epoch}`
    case 'changeConfig':
      return `changeConfig ${describeConfig(effect.config)}`
    case 'drain':
    case 'stop':
      return effect.type
    case 'log':
      return `log ${effect.level}: ${effect.text}`
  }
}

function describeConfig({ number, loosened, quorum, members }: ClusterConfig): string {
  const rows = members.map(({ row, address, inSync }) => `${row}:${address}${inSync ? '' : '(not in-sync)'}`)
  return `number=${number} loosened=${loosened} quorum=${quorum} members=${rows.join(',')}`
}

function describeMessage(message: Message): string {
  if (message.type === 'error') return `error ${describeError(message.error)}`
  const fields = Object.entries(message).filter(([name]) => name !== 'type')
  return [message.type, ...fields.map(([name, value]) => `${name}=${describeField(name, value)}`)].join(' ')
}

function describeError({ code, message, where }: WireError): string {
  const place = Object.entries(where).map(([key, value]) => ` ${key}=${value}`)
  return `${code} "${message.replaceAll(CLUSTERS['ours']!, 'ours').replaceAll(CLUSTERS['other']!, 'other')}"${place.join('')}`
}

function describeField(name: string, value: unknown): string {
  if (name === 'clusterId') return Object.keys(CLUSTERS).find((key) => CLUSTERS[key] === value) ?? '?'
  if (name === 'nodeId') return nameOfNode(String(value))
  if (name === 'via') return (value as string[]).map(nameOfNode).join('') // node ids
  if (name === 'secret') return String((value as Uint8Array)[0]) // a field of that name is bytes
  if (name === 'term') return describeTerm(value as Term) // the codec's own shape
  if (name === 'history')
    return describeHistory(value as { number: bigint; nodeId: string; tag: number; starts: number[] }[]) // as above
  if (name === 'members') {
    const members = value as readonly WireMember[] // the codec's own shape
    return members.map(({ address, inSync }) => (inSync ? address : `${address}(not in-sync)`)).join(',')
  }
  if (Array.isArray(value)) return value.join(',')
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

const describeTerm = (t: { number: bigint; nodeId: string; tag: number }): string =>
  `${t.number}${nameOfNode(t.nodeId)}${t.tag}`

type AnyMastership = { readonly starts: readonly number[] } & (
  | { readonly term: Term }
  | { readonly number: bigint; readonly nodeId: string; readonly tag: number }
)

function describeHistory(history: readonly AnyMastership[]): string {
  return history.map((m) => `${describeTerm('term' in m ? m.term : m)}@${m.starts.join(',')}`).join(';')
}
