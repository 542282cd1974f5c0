/** The ends of `travertine run`: drained, out of time, at once, or by itself because the disk has failed. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster, newReplica, openChannel, runNode } from './node-pair.ts'
import { errorCode, lastObject, start, until } from './travertine.ts'

const CLUSTER = '6f1f0c1e-8c3c-4e62-9d0a-2f8f3a1f7b55'

const put = (key: string, value = 'value') => ({ op: 'put', storage: 1, key, value: Buffer.from(value) }) as const

t.test('SIGTERM drains: what is under way is answered before the end', async (t) => {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'replica'), CLUSTER)
  const replica = await runNode(t, join(directory, 'replica'))
  newMaster(join(directory, 'master'), [`127.0.0.1:${replica.port}`], CLUSTER)
  const master = await runNode(t, join(directory, 'master'))
  const { channel } = await openChannel(t, master.port)
  await channel.write([put('first')], { level: 'propagated' })

  replica.command.kill('SIGSTOP') // nothing can become PROPAGATED now
  const receipts = Array.from({ length: 20 }, (_, i) => {
    const session = channel.beginSession()
    session.put(1, `key ${i}`, Buffer.from('value'))
    return session.end()
  })
  await Promise.all(receipts.map((receipt) => receipt.stored))
  master.command.kill('SIGTERM')
  await master.command.has('stderr', /stops at SIGTERM/)
  const propagated = Promise.all(receipts.map((receipt) => receipt.propagated))
  replica.command.kill('SIGCONT')
  t.equal((await propagated).length, 20)
  t.equal((await master.command.ended).code, 0)
  replica.command.kill('SIGTERM')
  t.equal((await replica.command.ended).code, 0)

  const again = await runNode(t, join(directory, 'master'))
  const { client } = await openChannel(t, again.port)
  t.ok(client.info.storedEpoch >= 2n, 'and is there after the next start')
})

t.test('draining has a limit: a replica that never answers does not keep the master', async (t) => {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'replica'), CLUSTER)
  const replica = await runNode(t, join(directory, 'replica'))
  newMaster(join(directory, 'master'), [`127.0.0.1:${replica.port}`], CLUSTER)
  const master = await runNode(t, join(directory, 'master'))
  const { channel } = await openChannel(t, master.port)
  await channel.write([put('first')], { level: 'propagated' })
  replica.command.kill('SIGSTOP')
  await channel.write([put('second')], { level: 'stored' })
  const startedAt = performance.now()
  master.command.kill('SIGTERM')
  t.equal((await master.command.ended).code, 0)
  const seconds = (performance.now() - startedAt) / 1000
  t.ok(seconds > 5 && seconds < 30, `waited ${seconds.toFixed(1)} s`)
})

t.test('a second signal ends it at once', async (t) => {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'replica'), CLUSTER)
  const replica = await runNode(t, join(directory, 'replica'))
  newMaster(join(directory, 'master'), [`127.0.0.1:${replica.port}`], CLUSTER)
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const master = await runNode(t, join(directory, 'master'))
    const { channel } = await openChannel(t, master.port)
    await channel.write([put('first')], { level: 'propagated' })
    replica.command.kill('SIGSTOP')
    await channel.write([put('second')], { level: 'stored' })
    master.command.kill('SIGTERM')
    await master.command.has('stderr', /stops at SIGTERM/)
    master.command.kill(signal)
    const ended = await master.command.ended
    t.equal(ended.code, code)
    t.match(ended.stderr, 'stops at once')
    t.notMatch(ended.stderr, 'stopped\n')
    replica.command.kill('SIGCONT')
  }
})

t.test('a node whose disk fails stops by itself, with the error and its exit code', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const unlimited = await runNode(t, directory)
  const files = join(directory, 'channels/00')
  await until(() => readdirSync(files).filter((name) => name.endsWith('.wal')).length === 3) // as many as it wants ahead
  unlimited.command.kill('SIGTERM')
  t.equal((await unlimited.command.ended).code, 0)
  // Writes beyond 32 KiB of a file fail now: to the node that is a disk that refuses.
  const limited = start(t, ['run', directory, '--port', '0', '--json'], { shell: 'ulimit -f 64; exec "$@"' })
  const [line] = await limited.has('stdout', /^.+\n/)
  const { channel } = await openChannel(t, JSON.parse(line).port)
  const failure = await channel.write([put('large', 'x'.repeat(60_000))], { level: 'stored' }).then(
    () => undefined,
    (error: unknown) => error,
  )
  t.match(failure, { outcome: 'unknown' }, 'the writer is not told that it is stored')
  const ended = await limited.ended
  t.equal(ended.signal, null)
  t.equal(ended.code, 5)
  t.equal(errorCode(lastObject(ended)), 'CHANNEL_POISONED')
  t.match(ended.stderr, /EFBIG/)

  const after = await runNode(t, directory)
  const again = await openChannel(t, after.port)
  t.ok(await again.channel.write([put('key')], { level: 'stored' }), 'the next start recovers')
})
