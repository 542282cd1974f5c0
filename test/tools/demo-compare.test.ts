/** What `travertine up --demo` compares: that it finds every difference, and says which and where. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { initNode, startNode } from '../../daemon/node.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { FRAME_HEADER_BYTES } from '../../protocol/frame.ts'
import { compareWithLog } from '../../tools/demo-compare.ts'
import type { DemoEntry } from '../../tools/demo-data.ts'
import { DemoLoad, type SentSession } from '../../tools/demo-load.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { lastObject, run } from './travertine.ts'

/** Of the key in a put (protocol/entry.ts). */
const PUT_KEY_OFFSET = 17

const put = (key: string, value = `value of ${key}`): DemoEntry => ({
  op: 'put',
  storage: 1n,
  key: Buffer.from(key),
  value: Buffer.from(value),
})

/** A log with a storage and four sessions of two records on two channels, and what was sent. */
async function writtenLog(t: { teardown(handler: () => unknown): unknown }) {
  const directory = join(temporaryDirectory(t), 'master')
  const replica = join(temporaryDirectory(t), 'replica')
  const { clusterId } = initNode({
    directory: replica,
    role: 'replica',
    clusterId: CLUSTER,
    channels: 2,
    segmentBytes: 65_536,
  })
  const second = await startNode({ directory: replica, port: 0 })
  t.teardown(() => second.close())
  const replicas = [`127.0.0.1:${second.port}`]
  initNode({ directory, role: 'master', clusterId, channels: 2, segmentBytes: 65_536, replicas })
  const node = await startNode({ directory, port: 0 })
  t.teardown(() => node.close())
  const sessions = [0, 1, 0, 1].map((channel, i) => ({ channel, entries: [put(`key ${i}`), put(`other ${i}`)] }))
  const first = { channel: 0, entries: [{ op: 'add_storage', storage: 1n } as const] }
  const load = new DemoLoad({
    address: `127.0.0.1:${node.port}`,
    data: { entryCount: 9, first, sessions },
    onChange: () => undefined,
  })
  await load.run()
  return { directory: replica, load, node }
}

const CLUSTER = '6f1f0c1e-8c3c-4e62-9d0a-2f8f3a1f7b55'

function difference(directory: string, sent: readonly SentSession[]): TravertineError {
  try {
    compareWithLog(directory, sent)
  } catch (error) {
    if (error instanceof TravertineError) return error
    throw error
  }
  throw new Error('no difference was found')
}

t.test('finds every kind of difference between what was sent and what lies in the files', async (t) => {
  const { directory, load, node } = await writtenLog(t)
  const { sent } = load
  t.equal(load.propagated.entries, 9)
  t.equal(compareWithLog(directory, sent), 9, 'equal, while both nodes run')

  const on = (channel: number) => sent.filter((session) => session.channel === channel)
  const [storage, first, third] = on(0) as [SentSession, SentSession, SentSession] // as sent above
  const [second, fourth] = on(1) as [SentSession, SentSession] // as sent above
  const changed = (session: SentSession, entries: readonly DemoEntry[]) =>
    sent.map((other) => (other === session ? { ...session, entries } : other))
  const without = (session: SentSession) => sent.filter((other) => other !== session)
  const [key0, other0] = first.entries as [DemoEntry, DemoEntry] // as sent above
  const cases: readonly (readonly [string, readonly SentSession[], RegExp])[] = [
    [
      'a value',
      changed(first, [put('key 0', 'value of key O'), other0]),
      /found put of key "key 0" with another value, expected put of key "key 0"/,
    ],
    [
      'a key',
      changed(first, [put('key O', 'value of key 0'), other0]),
      /found put of key "key 0", expected put of key "key O"/,
    ],
    [
      'another storage',
      changed(storage, [{ op: 'add_storage', storage: 2n }]),
      /found add_storage in storage 1, expected add_storage/,
    ],
    ['another operation', changed(storage, [put('key')]), /found add_storage in storage 1, expected put of key "key"/],
    [
      'the order within a session',
      changed(first, [other0, key0]),
      /found put of key "key 0", expected put of key "other 0"/,
    ],
    [
      'the order of sessions',
      [storage, third, first, second, fourth],
      /found put of key "key 0", expected put of key "key 2"/,
    ],
    [
      'an entry too many in the log',
      changed(fourth, fourth.entries.slice(0, 1)),
      /found put of key "other 3" at the end, expected nothing more/,
    ],
    [
      'one session cut into two',
      changed(third, third.entries.slice(0, 1)).concat({ ...third, entries: third.entries.slice(1) }),
      /found entry 1 of a session, expected entry 0, put of key "other 2"/,
    ],
    [
      'two sessions made one',
      [storage, { ...first, entries: [...first.entries, ...third.entries] }, second, fourth],
      /found entry 0 of a session, expected entry 2, put of key "key 2"/,
    ],
    [
      'a session that is not in the log',
      [...sent, { ...fourth, entries: [put('lost'), put('too')] }],
      /found no valid frame of channel 1 after epoch \d+, where 2 entries are missing, expected put of key "lost" next/,
    ],
    [
      'an entry that is not in the log',
      changed(fourth, [...fourth.entries, put('lost')]),
      /where 1 entries are missing, expected put of key "lost" next/,
    ],
    ['a session that was never sent', without(third), /found put of key "key 2" at the end, expected nothing more/],
    [
      'another epoch',
      sent.map((other) =>
        other === second ? { ...second, commit: fourth.commit && { ...fourth.commit, epoch: 999n as never } } : other,
      ),
      /found put of key "key 1" in epoch \d+, expected epoch 999/,
    ], // the brand means nothing here
  ]
  for (const [name, claimed, says] of cases) {
    const error = difference(directory, claimed)
    t.equal(error.code, 'HISTORIES_DIFFER', name)
    t.match(error.message, says, name)
    t.match(error.where, { file: directory, channel: Number, offset: Number }, name)
  }

  const client = await connect({ address: `127.0.0.1:${node.port}` })
  await client.write([{ op: 'put', storage: 1, key: 'late', value: Buffer.from('x') }], { level: 'propagated' })
  await client.close()
  t.match(difference(directory, sent).message, /found put of key "late" at the end/)
})

/** Loaded into every process: the disk below the replica's second channel changes one byte, and says nothing. */
const LYING_DISK = `
  import fs from 'node:fs'
  import { syncBuiltinESMExports } from 'node:module'
  const { openSync, writeSync, writevSync } = fs
  const AT = ${FRAME_HEADER_BYTES + PUT_KEY_OFFSET} // the first byte of the first key
  const lying = new Set()
  fs.openSync = (path, ...rest) => {
    const fd = openSync(path, ...rest)
    if (String(path).endsWith('replica/channels/01/0000000000000000.wal')) lying.add(fd)
    else lying.delete(fd)
    return fd
  }
  fs.writevSync = (fd, buffers, position) => {
    let at = position
    return writevSync(fd, buffers.map((buffer) => {
      const index = AT - at
      at += buffer.length
      if (!lying.has(fd) || index < 0 || index >= buffer.length) return buffer
      const changed = Buffer.from(buffer)
      changed[index] ^= 1
      return changed
    }), position)
  }
  fs.writeSync = (fd, buffer, ...rest) => {
    const [offset, length, position] = rest
    if (!lying.has(fd)) return writeSync(fd, buffer, ...rest)
    return fs.writevSync(fd, [buffer.subarray(offset, offset + length)], position)
  }
  syncBuiltinESMExports()
`

t.test('a byte that has changed on the replica’s disk: not ok, and it says where', async (t) => {
  const parent = temporaryDirectory(t)
  const hook = join(temporaryDirectory(t), 'lying-disk.mjs')
  writeFileSync(hook, LYING_DISK)
  const env = { TMPDIR: parent, NODE_OPTIONS: `--import ${pathToFileURL(hook)}` }
  const ended = await run(t, ['up', '--demo', '--once'], { env })
  t.equal(ended.code, 4)
  const result = lastObject(ended)
  t.match(result, {
    ok: false,
    error: { code: 'HISTORIES_DIFFER', where: { channel: 1, offset: 0 } },
    replicaEntriesVerified: 0,
  })
  t.ok(Number(result['entries']) > 20_000, 'what was acknowledged is told nevertheless')
  t.match(ended.stderr, /HISTORIES_DIFFER: Cannot confirm the log: found no valid frame of channel 1 after epoch \d+/)
  t.same(readdirSync(parent), [])
})
