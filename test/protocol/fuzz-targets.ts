/** What is fuzzed besides the codecs of the golden vectors: records on disk, and files that people write. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkConfig } from '../../config/load-config.ts'
import { parseSecretFile } from '../../protocol/authentication.ts'
import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { byteOffset, clusterId, epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import { decodeManifest, encodeManifest } from '../../wal/manifest.ts'
import { decodeRecoveryPoint } from '../../wal/recovery-point.ts'
import { encodeSmallRecord } from '../../wal/small-record.ts'
import { repairRecord } from './fuzz-repair.ts'
import { repositoryRoot } from './repository-root.ts'

export interface FuzzTarget {
  readonly name: string
  /** Good inputs, from which bad ones are made. */
  readonly samples: readonly Buffer[]
  readonly repair: (bytes: Buffer, sample: number) => Buffer
  readonly decode: (bytes: Buffer, sample: number) => unknown
}

const NODE = nodeId('11111111-0000-4000-8000-000000000000')
const TERM = { number: termNumber(3n), nodeId: NODE, tag: 77 }
const CONFIG = {
  ...EMPTY_CONFIG,
  number: 2,
  quorum: 1,
  members: [{ row: 1, address: '127.0.0.1:7500', inSync: true, via: 0 }],
}

const MANIFEST = encodeManifest({
  clusterId: clusterId('0aaaaaaa-0000-4000-8000-000000000001'),
  nodeId: NODE,
  role: 'master',
  channels: 2,
  segmentBytes: 64 * 1024,
  config: CONFIG,
  history: [{ term: TERM, firstEpoch: epoch(8n), baseEpoch: epoch(7n), starts: [byteOffset(0), byteOffset(4096)] }],
  fence: TERM,
})

const POINT = encodeSmallRecord('recovery-point', 1, {
  channel: 0,
  position: 70_000,
  epoch: 9n,
  stored: 9n,
  term: 3n,
  termTag: 77,
  sealPosition: 69_888,
  config: { position: 400, config: CONFIG },
  producers: { evictedEpoch: '4', producers: [['17', 12, '9', '3', 5, [7, 8]]] },
})

const asItIs = (bytes: Buffer): Buffer => bytes

export const TEXT_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'manifest',
    samples: [MANIFEST],
    repair: repairRecord,
    decode: (bytes) => decodeManifest(bytes, 'manifest'),
  },
  {
    name: 'recovery-point',
    samples: [POINT],
    repair: repairRecord,
    decode: (bytes) => decodeRecoveryPoint(bytes, 'recovery.point'),
  },
  {
    name: 'configuration-file',
    samples: ['master.toml', 'replica.toml'].map((name) => readFileSync(join(repositoryRoot, 'config', name))),
    repair: asItIs,
    decode: checkConfiguration,
  },
  {
    name: 'secret-file',
    samples: [
      Buffer.from(
        `# two of them\nall ${'0123456789abcdef'.repeat(2)}\nreader,writer ${'fedcba9876543210'.repeat(2)}\n`,
      ),
    ],
    repair: asItIs,
    decode: (bytes) => parseSecretFile(bytes.toString(), 'secret'),
  },
]

/** All that is wrong is typed; the first of it is the outcome. */
function checkConfiguration(bytes: Buffer): unknown {
  const directory = mkdtempSync(join(tmpdir(), 'travertine-fuzz-'))
  try {
    const file = join(directory, 'node.toml')
    writeFileSync(file, bytes)
    const { problems, loaded } = checkConfig({ file })
    const [first] = problems
    if (first !== undefined) throw first
    return loaded
  } finally {
    rmSync(directory, { recursive: true })
  }
}
