/**
 * Writes the directories of a pair as this build leaves them, for test/abi/VERSION: run once per format version, by hand:
 *
 *   node dist/test/abi/write-directory.js test/abi/1
 *
 * Two lives of a master with two channels and a replica; sessions of all entry kinds, with and without versions of their
 * own. `entries.ndjson` says what was written, from what the application passed, not from the log.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type Entry } from '../../client/client.ts'
import { initNode, startNode } from '../../daemon/node.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { channelDirectory, listSegments, segmentName } from '../../wal/segments.ts'

const SEGMENT_BYTES = 65_536
const CHANNELS = 2

export interface WrittenEntry {
  readonly channel: number
  readonly op: string
  readonly storage: number
  readonly key?: string
  readonly value?: string
}

async function writePair(root: string): Promise<void> {
  mkdirSync(root, { recursive: true })
  const [master, replica] = [join(root, 'master'), join(root, 'replica')]
  const facts = { clusterId: randomUUID(), channels: CHANNELS, segmentBytes: SEGMENT_BYTES }
  initNode({ directory: replica, role: 'replica', ...facts })
  const standby = await startNode({ directory: replica, port: 0 })
  initNode({ directory: master, role: 'master', replicas: [`127.0.0.1:${standby.port}`], ...facts })
  const written: WrittenEntry[] = []
  for (let life = 1; life <= 2; life++) written.push(...(await writeLife(master, life)))
  await standby.close()
  for (const directory of [master, replica]) dropPrepared(directory)
  writeFileSync(join(root, 'entries.ndjson'), written.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
}

async function writeLife(directory: string, life: number): Promise<WrittenEntry[]> {
  const node = await startNode({ directory, port: 0 })
  const client = await connect({ address: `127.0.0.1:${node.port}` })
  const written: WrittenEntry[] = []
  for (let channel = 0; channel < CHANNELS; channel++) {
    const open = await client.openChannel({ channel })
    for (let round = 0; round < 12; round++) {
      const key = `life-${life}-channel-${channel}-${round}`
      const value = `${key} `.repeat(200) // long enough that the log spans segments
      const entries: Entry[] = [
        { op: 'put', storage: 1, key, value: Buffer.from(value) },
        { op: 'remove', storage: 1, key: `${key}-gone` },
      ]
      if (round === 0) entries.unshift({ op: 'add_storage', storage: 7 })
      if (round === 11) entries.push({ op: 'truncate_storage', storage: 7 }, { op: 'remove_storage', storage: 7 })
      await open.write(entries, { level: 'propagated' })
      for (const entry of entries) {
        const { op, storage } = entry
        const isKeyed = 'key' in entry
        written.push({
          channel,
          op,
          storage: Number(storage),
          ...(isKeyed ? { key: String(entry.key) } : {}),
          ...('value' in entry ? { value } : {}),
        })
      }
    }
  }
  await client.close()
  await node.close()
  return written
}

/** Files full of zeros say nothing: a node makes them anew. */
function dropPrepared(directory: string): void {
  for (let channel = 0; channel < CHANNELS; channel++) {
    const path = channelDirectory(directory, channel)
    const bases = listSegments(new NodeDisk(), path)
    for (const base of bases) {
      const file = join(path, segmentName(base))
      const disk = new NodeDisk().open(file, 'read')
      const bytes = Buffer.alloc(disk.bytes())
      disk.read(bytes, 0)
      disk.close()
      if (bytes.every((byte) => byte === 0)) rmSync(file)
    }
  }
}

const [root] = process.argv.slice(2)
if (root === undefined) throw new Error('Cannot write: found no directory, expected one, as in test/abi/1')
await writePair(root)
