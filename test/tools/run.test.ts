/** `travertine run`: the line that says it is ready, the log, and every way to its end. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster, newReplica, openChannel, runNode } from './node-pair.ts'
import { errorCode, freePorts, lastObject, run, start, until } from './travertine.ts'

const CLUSTER = '6f1f0c1e-8c3c-4e62-9d0a-2f8f3a1f7b55'

const put = (key: string, value = 'value') => ({ op: 'put', storage: 1, key, value: Buffer.from(value) }) as const

t.test('one line on stdout when it listens, for people or as JSON; the log on stderr', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  const clusterId = newMaster(directory, [], undefined, 2)
  const port = await freePorts(3)
  const plain = start(t, ['run', directory, '--port', String(port)])
  await plain.has('stdout', /\n/)
  t.equal(
    plain.stdout,
    `master ready on 127.0.0.1:${port}, log channels on ${port + 1}, ${port + 2}, pid ${plain.pid}\n`,
  )
  t.match(plain.stderr, /^\d{4}-\d\d-\d\dT[\d:.]+Z info {2}master listens on 127.0.0.1:\d+, log channels on/m)
  plain.kill('SIGTERM')
  const ended = await plain.ended
  t.equal(ended.code, 0)
  t.equal(ended.stdout.split('\n').length, 2, 'one line, to the end')
  t.notMatch(ended.stdout + ended.stderr, '\u001b', 'no colours into a pipe')
  t.match(ended.stderr, /stops at SIGTERM[\s\S]+stopped\n$/)

  const json = start(t, ['run', directory, '--port', '0', '--json', '--log-format', 'json'])
  await json.has('stdout', /\n/)
  const ready = JSON.parse(json.stdout)
  t.match(ready, { ok: true, role: 'master', host: '127.0.0.1', pid: json.pid, clusterId })
  t.equal(ready.logPorts.length, 2)
  const { client } = await openChannel(t, ready.port)
  t.equal(client.info.clusterId, clusterId, 'it listens where it says')
  await client.close()
  json.kill('SIGINT')
  const { code, stdout, stderr } = await json.ended
  t.equal(code, 0)
  t.same(JSON.parse(stdout), ready, 'nothing else on stdout')
  for (const line of stderr.trimEnd().split('\n'))
    t.match(JSON.parse(line), { level: /info|warn/, time: /Z$/, text: /./ })
})

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

t.test('SIGHUP is ignored, and said so', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const node = await runNode(t, directory)
  node.command.kill('SIGHUP')
  await node.command.has('stderr', /SIGHUP is ignored/)
  const { channel } = await openChannel(t, node.port)
  t.ok(await channel.write([put('key')], { level: 'stored' }), 'it goes on')
  node.command.kill('SIGTERM')
  t.equal((await node.command.ended).code, 0)
})

t.test('the end of stdin stops it only if it was told so', async (t) => {
  const directory = temporaryDirectory(t)
  newMaster(join(directory, 'a'))
  newMaster(join(directory, 'b'))
  const told = await runNode(t, join(directory, 'a'), ['--stop-with-stdin'])
  const other = await runNode(t, join(directory, 'b'))
  other.command.endStdin()
  told.command.endStdin()
  const ended = await told.command.ended
  t.equal(ended.code, 0)
  t.match(ended.stderr, 'stops at the end of stdin')
  const { client } = await openChannel(t, other.port)
  t.equal(client.state, 'open')
})

t.test('a log that nobody reads any more does not stop a node', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const node = await runNode(t, directory)
  node.command.closeReader('stderr')
  node.command.closeReader('stdout')
  for (let i = 0; i < 3; i++) node.command.kill('SIGHUP') // each writes a line
  const { channel } = await openChannel(t, node.port)
  t.ok(await channel.write([put('key')], { level: 'stored' }))
  node.command.kill('SIGTERM')
  t.equal((await node.command.ended).code, 0)
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
  t.equal(ended.code, 5)
  t.equal(errorCode(lastObject(ended)), 'CHANNEL_POISONED')
  t.match(ended.stderr, /EFBIG/)

  const after = await runNode(t, directory)
  const again = await openChannel(t, after.port)
  t.ok(await again.channel.write([put('key')], { level: 'stored' }), 'the next start recovers')
})

t.test('a signal before it listens just ends it', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const node = start(t, ['run', directory, '--port', '0'])
  node.kill('SIGTERM')
  const { code, signal, stdout } = await node.ended
  t.ok(code === 143 || signal === 'SIGTERM', `${code} ${signal}`) // by us, or by the kernel before we were there
  t.equal(stdout, '')
  const { code: next } = await run(t, ['run', directory, '--port', '99999'])
  t.equal(next, 2)
})
