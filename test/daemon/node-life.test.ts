/** A node from outside: ports that are taken, shutdown, a disk without room, a channel that cannot go on. */
import { readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { DiskWatch } from '../../daemon/io/disk-watch.ts'
import { initNode, startNode } from '../../daemon/node.ts'
import { KIB, LOW_WATER_SEGMENTS, SEGMENT_BYTES_MIN } from '../../protocol/limits.ts'
import { nodeClock } from '../../world/node-clock.ts'
import { smallFileSystem, temporaryDirectory } from '../temp-directory.ts'
import { Cluster, readKeys } from './cluster.ts'
import { HELLO, put, RawClient, RawConnection, until } from './raw-client.ts'

t.test('a port that is taken: the refusal names it, no term is begun, and the directory is free again', async (t) => {
  const directory = join(temporaryDirectory(t), 'm')
  initNode({ directory, role: 'master', channels: 2, segmentBytes: SEGMENT_BYTES_MIN })
  const squatter = createServer()
  const taken = await new Promise<number>((resolve) => {
    squatter.listen({ port: 0, host: '127.0.0.1' }, () => {
      const address = squatter.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  t.teardown(() => squatter.close())
  const manifest = readFileSync(join(directory, 'manifest'))
  // The control port itself, and the port of log channel 1 (control port + 2).
  for (const port of [taken, taken - 2]) {
    await t.rejects(startNode({ directory, port }), { code: 'PORT_IN_USE', where: { peer: `127.0.0.1:${taken}` } })
    t.ok(readFileSync(join(directory, 'manifest')).equals(manifest), 'the manifest is as it was')
  }
  const node = await startNode({ directory, port: 0 })
  await node.close()
})

t.test('shutdown: what is in flight is answered, what is new is refused', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1 })
  await cluster.untilStreaming()
  const client = await cluster.client()
  const link = await client.open(0)
  await link.untilPropagated(link.write(put('a')))
  await cluster.stop('r1')
  const waiting = link.write(put('b'))
  await link.untilStored(waiting)
  t.equal(link.propagated, waiting - 1)

  let ended = false
  const stopping = cluster.stop('m').then(() => {
    ended = true
  })
  // The channel may read a session or two before it hears of the shutdown; those are in flight, too.
  const expected = ['a', 'b']
  while (link.rejected.length === 0) {
    const late = link.write(put('late'))
    await until('an answer', () => link.stored >= late || link.rejected.length > 0)
    if (link.stored >= late) expected.push('late')
  }
  t.same(
    link.rejected.map((r) => [r.sequence, r.error.code]),
    [[link.sequence, 'SHUTTING_DOWN']],
  )
  const another = new RawConnection(client.hello.logPorts[0]!)
  await until('no new log connection', () => another.closed)
  t.notOk(ended, 'it waits for what is in flight')

  await cluster.run('r1')
  await stopping
  await until('the connection is closed', () => link.connection.closed)
  t.equal(link.propagated, link.sequence - 1, 'all but the rejected one were answered before the end')
  t.ok((await cluster.compare('m', 'r1')).same)
  t.same(readKeys(cluster.directory('m')), expected)
})

t.test('shutdown: a hello is refused with SHUTTING_DOWN', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1 })
  await cluster.untilStreaming()
  const { port } = cluster.node('m')
  const link = await (await cluster.client()).open(0)
  await cluster.stop('r1')
  await link.untilStored(link.write(put('keeps it waiting')))
  const stopping = cluster.stop('m')
  const connection = new RawConnection(port)
  connection.send(HELLO)
  t.equal((await connection.refusal())?.code, 'SHUTTING_DOWN')
  await cluster.run('r1')
  await stopping
})

t.test('a channel that cannot go on stops the node, and `closed` says why', async (t) => {
  const directory = join(temporaryDirectory(t), 'm')
  initNode({ directory, role: 'master', segmentBytes: SEGMENT_BYTES_MIN })
  const node = await startNode({ directory, port: 0 })
  t.teardown(() => node.close())
  const client = await RawClient.connect(node.port)
  t.teardown(() => client.close())
  const link = await client.open(0)
  await link.untilStored(link.write(put('good')))
  // The channel's directory goes away: no new segment can be made, and this session needs several.
  const files = join(directory, 'channels', '00')
  renameSync(files, `${files}-away`)
  link.write(put('large', Buffer.alloc(16 * SEGMENT_BYTES_MIN)))
  await t.rejects(node.closed, { code: 'CHANNEL_POISONED', where: { channel: 0 } })
  await until('the connection is closed', () => link.connection.closed)
  t.equal(link.stored, 1)
  t.equal(link.error?.code, 'CHANNEL_POISONED')

  renameSync(`${files}-away`, files)
  const again = await startNode({ directory, port: 0 })
  await again.close()
  t.same(readKeys(directory), ['good'], 'what was answered is there, and nothing else')
})

t.test('the low-water mark: twice the next segments of all channels', async (t) => {
  const segmentBytes = 100
  let free = LOW_WATER_SEGMENTS * segmentBytes * 3
  const changes: (readonly [boolean, number])[] = []
  let asked = 0
  const watch = new DiskWatch({
    clock: nodeClock,
    channels: 3,
    segmentBytes,
    freeBytes: () => {
      asked++
      return Promise.resolve(free)
    },
    onChange: (low, bytes) => changes.push([low, bytes]),
    onError: (error) => t.fail(String(error)),
  })
  t.teardown(() => watch.stop())
  const check = async (failed?: boolean): Promise<void> => {
    watch.check(failed)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await check()
  t.same(changes, [], 'just enough is enough')
  free--
  await check()
  await check()
  t.same(changes, [[true, free]], 'one byte less is not, and it is said once')
  t.ok(watch.isLow)
  free++
  await until('it resumes by itself', () => changes.length === 2)
  t.same(changes[1], [false, free])
  t.notOk(watch.isLow)

  await check(true)
  t.same(changes[2], [true, free], 'a segment that could not be made counts, whatever the numbers say')
  watch.stop()
  const before = asked
  await check()
  t.equal(asked, before, 'a watch that was stopped asks no more')
})

t.test(
  'a disk without room: sessions are rejected with DISK_LOW, and accepted again when room comes back',
  async (t) => {
    const { directory: root, reason } = smallFileSystem(t, 1_024 * KIB)
    if (reason !== '') return t.comment(reason)
    const directory = join(root, 'm')
    initNode({ directory, role: 'master', segmentBytes: SEGMENT_BYTES_MIN })
    const node = await startNode({ directory, port: 0 })
    t.teardown(() => node.close())
    const client = await RawClient.connect(node.port)
    t.teardown(() => client.close())
    const link = await client.open(0)
    await until('the segments ahead are there', () => freeOf(root) < (1_024 - 3 * 64) * KIB)
    const ballast = join(root, 'ballast')
    writeFileSync(ballast, Buffer.alloc(freeOf(root) - 100 * KIB))

    // The next segment change is when the node looks; what is accepted until then fits into the segments ahead.
    const value = Buffer.alloc(16 * KIB)
    let last = 0
    while (link.rejected.length === 0) {
      last = link.write(put(`k${last}`, value))
      await until('an answer', () => link.stored >= last || link.rejected.length > 0 || link.connection.closed)
      if (link.connection.closed) break
    }
    t.notOk(link.connection.closed, 'the connection goes on')
    t.equal(link.rejected[0]?.error.code, 'DISK_LOW')
    t.ok(node.status().diskLow)

    rmSync(ballast)
    await until('room is seen', () => !node.status().diskLow)
    const after = link.write(put('after', value))
    await link.untilStored(after)
    client.close()
    await node.close()
    const keys = readKeys(directory)
    t.equal(keys.at(-1), 'after')
    t.equal(keys.length, after - link.rejected.length, 'each accepted session once, and no rejected one')
    return undefined
  },
)

const freeOf = (directory: string): number => {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}
