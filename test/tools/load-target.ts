/** Where tests of `load` write to, and what they read from. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { initNode, startNode } from '../../daemon/node.ts'
import { readLog } from '../../tools/read-log.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { CLUSTER, SEGMENT_BYTES } from './forged-log.ts'

/** A master without replicas, in this process. */
export async function master(
  t: Teardown,
  channels = 1,
): Promise<{ directory: string; address: string; words: readonly string[] }> {
  const directory = join(temporaryDirectory(t), 'master')
  initNode({ directory, role: 'master', clusterId: CLUSTER, channels, segmentBytes: SEGMENT_BYTES })
  const node = await startNode({ directory, port: 0 })
  t.teardown(() => node.close())
  const address = `127.0.0.1:${node.port}`
  return { directory, address, words: ['--address', address, '--level', 'stored'] }
}

export function inputFile(t: Teardown, text: string | Buffer): string {
  const file = join(temporaryDirectory(t), 'input')
  writeFileSync(file, text)
  return file
}

/** Key and value of every entry in the log. */
export function loaded(directory: string): readonly (readonly [string, string, bigint, number])[] {
  return [...readLog({ directory }).entries()].map(({ entry, channel }) => {
    if (entry.op !== 'put') throw new Error(entry.op)
    return [Buffer.from(entry.key).toString(), Buffer.from(entry.value).toString(), entry.storage, channel] as const
  })
}
