/** Messages of a transcript: a type and what differs from the ordinary. */

import { toWireHistory } from '../../daemon/core/wire-history.ts'
import type { Message, Messages } from '../../protocol/control-message.ts'
import { CLUSTERS, nodeNamed, parseHistory, parseTerm } from './names.ts'
import type { Arguments } from './transcript.ts'

export function buildMessage(type: string, args: Arguments): Message {
  const versions = (otherwise = '1..1'): { versionMin: number; versionMax: number } => {
    const [versionMin = 1, versionMax = 1] = (args.option('versions') ?? otherwise).split('..').map(Number)
    return { versionMin, versionMax }
  }
  switch (type) {
    case 'client_hello':
    case 'reader_hello':
      return { type, ...versions(), clusterId: clusterOf(args) }
    case 'session_begin': {
      const node = args.option('node') ?? 'A'
      const history = parseHistory(args.option('history') ?? '3A7@0')
      const term = history.at(-1)?.term ?? parseTerm('1A1')
      return {
        type,
        ...versions(),
        clusterId: clusterOf(args),
        nodeId: nodeNamed(node),
        address: `node${node}:7500`,
        channels: args.numberOption('channels', 1),
        term,
        history: toWireHistory(history),
        ends: args.listOption('ends', [0]),
        via: (args.option('via') ?? '').split('').map(nodeNamed), // `via=BC`: through B, then C
      }
    }
    case 'session_begin_ok':
      return {
        type,
        version: 1,
        nodeId: nodeNamed(args.option('node') ?? 'B'),
        session: BigInt(args.option('session') ?? '1'),
        secret: Buffer.alloc(16, args.numberOption('secret', 77)),
        resume: args.listOption('resume', [0]),
        logPorts: args.listOption('ports', [7601]),
      }
    case 'status_ok':
      return { type, status: { nodeId: nodeNamed(args.option('node') ?? 'B') } }
    case 'config_change':
      return { type, ...versions('2..2'), ...configChange(args) }
    case 'heartbeat':
    case 'heartbeat_ok':
      return { type, sequence: args.number() }
    case 'group_commit':
    case 'group_commit_ok':
    case 'epoch':
      return { type, epoch: BigInt(args.word()) }
    case 'session_end':
      return { type, reason: 'a transcript says so' }
    case 'log_open_ok':
      return {
        type,
        position: 0,
        sequence: 0,
        term: parseTerm('3A7'),
        missing: [],
        lastEpoch: 0n,
        lastTerm: parseTerm('3A7'),
        since: 0n,
      }
    case 'error': {
      const code = args.word()
      return { type, error: { code, message: 'Cannot do it: a transcript says so', hint: '', where: {} } }
    }
    default:
      throw new Error(`transcripts have no message ${type}`)
  }
}

function configChange(args: Arguments): Omit<Messages['config_change'], 'versionMin' | 'versionMax'> {
  const names = (args.option('members') ?? '').split(',').filter(Boolean)
  return {
    clusterId: clusterOf(args),
    base: args.numberOption('base', 1),
    loosen: args.option('loosen') === 'yes',
    quorum: args.numberOption('quorum', 0),
    // a name with a ? does not count
    members: names.map((name) => ({ address: name.replace('?', ''), inSync: !name.endsWith('?') })),
  }
}

function clusterOf(args: Arguments): string {
  const name = args.option('cluster') ?? 'ours'
  return name === 'any' ? '' : CLUSTERS[name]!
}
