/**
 * Old directories, one pair per format version that has ever landed: this build reads them, finds nothing wrong with
 * them, and goes on from them. A format version is never taken out of test/abi.
 */
import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { startNode } from '../../daemon/node.ts'
import { FORMAT_LEVEL } from '../../protocol/cluster-config.ts'
import { compareLogs } from '../../tools/compare-logs.ts'
import { readLog } from '../../tools/read-log.ts'
import { verifyLog } from '../../tools/verify-log.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { repositoryRoot } from '../protocol/repository-root.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import type { WrittenEntry } from './write-directory.ts'

const disk = new NodeDisk()
const PLACE = join(repositoryRoot, 'test', 'abi')
const versions = readdirSync(PLACE).filter((name) => /^\d+$/.test(name))

t.same(
  versions.map(Number).sort((a, b) => a - b),
  Array.from({ length: FORMAT_LEVEL }, (_, i) => i + 1),
  'a pair of directories for every format version',
)

for (const version of versions) {
  t.test(`directories of format version ${version}`, async (t) => {
    const lines = readFileSync(join(PLACE, version, 'entries.ndjson'), 'utf8')
      .trimEnd()
      .split('\n')
    const written = lines.map((line) => JSON.parse(line) as WrittenEntry) // our own file
    const copy = temporaryDirectory(t)
    cpSync(join(PLACE, version), copy, { recursive: true })
    const [master, replica] = [join(copy, 'master'), join(copy, 'replica')]
    for (const directory of [master, replica]) {
      t.same(byChannel(entriesIn(directory)), byChannel(written), 'every entry is read, in order')
      t.match(await verifyLog({ directory, disk }), { findingCount: 0 }, 'and nothing is wrong')
    }
    const { partings } = await compareLogs({ disk, directories: [master, replica] })
    t.same(partings, [], 'one history')

    const node = await startNode({ directory: master, port: 0 })
    const client = await connect({ address: `127.0.0.1:${node.port}` })
    const channel = await client.openChannel({ channel: 1 })
    const more = { op: 'put', storage: 1, key: 'more', value: Buffer.from('more') } as const
    await channel.write([more], { level: 'stored' })
    await client.close()
    await node.close()
    const wanted = [...written, { channel: 1, op: 'put', storage: 1, key: 'more', value: 'more' }]
    t.same(byChannel(entriesIn(master)), byChannel(wanted), 'a master goes on')
    const standby = await startNode({ directory: replica, port: 0 })
    await standby.close()
    t.same(byChannel(entriesIn(replica)), byChannel(written), 'a replica starts, and changes nothing')
  })
}

function entriesIn(directory: string): WrittenEntry[] {
  return [...readLog({ directory }).entries()].map(({ channel, entry }) => ({
    channel,
    op: entry.op,
    storage: Number(entry.storage),
    ...('key' in entry ? { key: Buffer.from(entry.key).toString() } : {}),
    ...('value' in entry ? { value: Buffer.from(entry.value).toString() } : {}),
  }))
}

function byChannel(entries: readonly WrittenEntry[]): WrittenEntry[][] {
  return [0, 1].map((channel) => entries.filter((entry) => entry.channel === channel))
}
