/**
 * One Travertine node in a process of its own, as `travertine init` and `travertine run` make it. Only warnings and errors of
 * its log are shown; a watched one writes all of it, as JSON, to nobody. It says that it is there when all its segments are prepared, as the floor does with its file.
 * To any message of its parent it answers how far its first replica is behind.
 */
import { createWriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { initNode, startNode } from '../daemon/node.ts'
import { NodeDisk } from '../wal/node-disk.ts'
import { channelDirectory, listSegments } from '../wal/segments.ts'
import { endWithParent, tellParent } from './child-process.ts'

export interface NodeOrder {
  readonly directory: string
  readonly role: 'master' | 'replica'
  readonly clusterId: string
  readonly channels: number
  readonly segmentBytes: number
  readonly segmentsAhead: number
  /** Has an admin port, and writes a log. */
  readonly isWatched: boolean
  /** Of a master: where its replicas are. */
  readonly replicas: readonly string[]
  /** Where it listens; any free port if not said. */
  readonly port?: number
  /** Its directory is there already. */
  readonly isBack?: boolean
}

/** What a master says when it is asked. */
export interface ReplicaProgress {
  readonly isStreaming: boolean
  /** Undefined before it has streamed. */
  readonly lagBytes?: number | undefined
  readonly lagEpochs?: number | undefined
}

const {
  directory,
  segmentsAhead,
  isWatched,
  port = 0,
  isBack = false,
  ...rest
} = JSON.parse(process.argv[2] ?? '{}') as NodeOrder // written by systems.ts
if (!isBack) initNode({ directory, ...rest })
const nowhere = pino(createWriteStream('/dev/null'))
const node = await startNode({
  directory,
  port,
  segmentsAhead,
  admin: isWatched ? { host: '127.0.0.1', port: 0 } : undefined,
  onLog: ({ level, text }) => {
    if (isWatched) nowhere.info(text)
    if (level !== 'info') process.stderr.write(`\n${rest.role}: ${text}\n`)
  },
})
endWithParent(() => node.close())
process.on('message', () => {
  const [replica] = node.status().replicas
  const progress: ReplicaProgress = {
    isStreaming: replica?.state === 'streaming',
    lagBytes: replica?.lagBytes,
    lagEpochs: replica?.lagEpochs,
  }
  tellParent({ ...progress })
})
for (let channel = 0; !isBack && channel < rest.channels; channel++) {
  while (listSegments(new NodeDisk(), channelDirectory(directory, channel)).length < 1 + segmentsAhead) await sleep(20)
}
tellParent({ port: node.port, adminPort: node.admin?.port ?? 0 })
