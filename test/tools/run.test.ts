/** `travertine run`: the line that says it is ready, the log, and what may happen around it. */
import { join } from 'node:path'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster, openChannel, runNode } from './node-pair.ts'
import { freePorts, lastObject, occupiedPort, run, start } from './travertine.ts'

const put = (key: string, value = 'value') => ({ op: 'put', storage: 1, key, value: Buffer.from(value) }) as const

t.test('one line on stdout when it listens, for people or as JSON; the log on stderr', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  const clusterId = newMaster(directory, [], undefined, 2)
  const port = await freePorts(3)
  const plain = start(t, ['run', directory, '--port', String(port), '--admin-port', '0'])
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

t.test('the admin port: on loopback and told, on another port, or not there', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const taken = await occupiedPort(t)
  const refused = await run(t, ['run', directory, '--port', '0', '--admin-port', String(taken), '--json'])
  t.equal(refused.code, 6)
  t.match(lastObject(refused), { error: { code: 'PORT_IN_USE', where: { peer: `127.0.0.1:${taken}` } } })
  const node = await runNode(t, directory, ['--admin-port', '0'])
  const { admin } = JSON.parse(node.command.stdout)
  t.match(admin, { host: '127.0.0.1', port: Number })
  const ready = await fetch(`http://127.0.0.1:${admin.port}/readyz`)
  t.match(await ready.json(), { ready: true, state: 'working' })
  node.command.kill('SIGTERM')
  t.equal((await node.command.ended).code, 0, 'a connection that is kept open does not hold it')
  const without = await runNode(t, directory)
  t.equal(JSON.parse(without.command.stdout).admin, null)
})

t.test('SIGHUP does not end it', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const node = await runNode(t, directory)
  node.command.kill('SIGHUP')
  await node.command.has('stderr', /SIGHUP: the settings are as they were/)
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
