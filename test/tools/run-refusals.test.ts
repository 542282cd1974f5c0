/** `travertine run` on what it cannot run: a clear refusal, its exit code, and nothing changed. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import t from 'tap'
import { byteOffset, epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import { runCommand } from '../../tools/run.ts'
import { readManifest, writeManifest } from '../../wal/manifest.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { remountReadOnly, smallFileSystem, temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster, openChannel, runNode } from './node-pair.ts'
import { type Ended, errorCode, freePorts, lastObject, occupiedPort, run } from './travertine.ts'

/** The refusal for people: code first, and what to do on a line of its own. */
function refusal({ stderr }: Ended): string {
  return /^([A-Z_]+): Cannot .+\n {2}\S/m.exec(stderr)?.[1] ?? `nothing of that form in ${stderr}`
}

t.test('a directory that does not exist is not created', async (t) => {
  const parent = temporaryDirectory(t)
  const ended = await run(t, ['run', join(parent, 'none'), '--json'])
  t.equal(ended.code, 3)
  t.equal(errorCode(lastObject(ended)), 'DIRECTORY_MISSING')
  t.equal(refusal(ended), 'DIRECTORY_MISSING')
  t.match(ended.stderr, 'travertine init')
  t.same(readdirSync(parent), [])
})

t.test('a directory without a manifest is not initialised, empty or not', async (t) => {
  const directory = temporaryDirectory(t)
  for (const names of [[], ['thesis.txt']]) {
    for (const name of names) writeFileSync(join(directory, name), 'x')
    const ended = await runHere(['run', directory, '--json'])
    t.equal(ended.code, 3)
    t.equal(errorCode(lastObject(ended)), 'DIRECTORY_NOT_INITIALISED')
    t.equal(refusal(ended), 'DIRECTORY_NOT_INITIALISED')
    t.same(readdirSync(directory), names)
  }
})

t.test('a directory of a newer format, and one with a damaged manifest', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const file = join(directory, 'manifest')
  const text = readFileSync(file, 'utf8')
  const cases = [
    [
      text.replace(/^travertine manifest 1 /, 'travertine manifest 2 '),
      'FORMAT_UNSUPPORTED',
      /version 2, expected at most 1/,
    ],
    [text.replace('"channels":1', '"channels":2'), 'MANIFEST_CORRUPT', /CRC/],
  ] as const
  for (const [changed, code, says] of cases) {
    t.not(changed, text)
    writeFileSync(file, changed)
    const names = readdirSync(directory)
    const ended = await runHere(['run', directory, '--json', '--port', '0'])
    t.equal(ended.code, 3)
    t.match(lastObject(ended), { ok: false, error: { code, where: { file } } })
    t.match(ended.stderr, says)
    t.equal(refusal(ended), code)
    t.equal(readFileSync(file, 'utf8'), changed)
    t.same(readdirSync(directory), names)
  }
})

t.test('a directory that another process owns: its pid is named, and it goes on', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const owner = await runNode(t, directory)
  const ended = await runHere(['run', directory, '--json', '--port', '0'])
  t.equal(ended.code, 3)
  t.equal(errorCode(lastObject(ended)), 'DIRECTORY_LOCKED')
  t.match(refusal(ended), 'DIRECTORY_LOCKED')
  t.match(ended.stderr, `pid ${owner.command.pid} `)
  owner.command.kill('SIGTERM')
  t.equal((await owner.command.ended).code, 0)
})

t.test('a read-only file system', async (t) => {
  const { directory, reason } = smallFileSystem(t, 4_000_000)
  const path = join(directory, 'master')
  if (reason === '') newMaster(path)
  const obstacle = reason === '' ? remountReadOnly(directory) : reason
  if (obstacle !== '') {
    t.pass('a read-only file system', { skip: obstacle })
    return
  }
  const ended = await runHere(['run', path, '--json', '--port', '0'])
  t.equal(ended.code, 3)
  t.equal(errorCode(lastObject(ended)), 'DIRECTORY_READ_ONLY')
  t.equal(refusal(ended), 'DIRECTORY_READ_ONLY')
})

t.test('a port that is taken: that of the control channel, that of a log channel', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const taken = await occupiedPort(t)
  for (const port of [taken, taken - 1]) {
    const ended = await runHere(['run', directory, '--json', '--port', String(port), '--admin-port', '0'])
    t.equal(ended.code, 6)
    t.match(lastObject(ended), { ok: false, error: { code: 'PORT_IN_USE', where: { peer: `127.0.0.1:${taken}` } } })
    t.equal(refusal(ended), 'PORT_IN_USE')
    t.notMatch(ended.stderr, /Defect|\n +at /, 'no stack traces')
  }
  const port = await freePorts(2)
  const after = await runNode(t, directory, ['--port', String(port)])
  t.equal(after.port, port, 'the directory is free and whole afterwards')
  t.same(after.logPorts, [port + 1])
})

t.test('settings that cannot be', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory, [], undefined, 2)
  const cases: readonly (readonly string[])[] = [
    ['--port', '65536'],
    ['--port', '65534'], // no room for two log channels behind it
    ['--host', '192.0.2.1'], // never an address of this machine
    ['--create'],
  ]
  for (const words of cases) {
    const ended = await runHere(['run', directory, '--json', ...words])
    t.equal(ended.code, 2, words.join(' '))
    t.equal(errorCode(lastObject(ended)), 'CONFIG_INVALID', words.join(' '))
    t.notMatch(ended.stderr, /Defect|\n +at /, 'no stack traces')
  }
  for (const words of [
    ['--port', '-1'],
    ['--port', 'http'],
    ['--segments-ahead', '0'],
    ['--log-format', 'xml'],
  ]) {
    await t.rejects(runCommand().parseAsync([directory, ...words], { from: 'user' }), CommanderError, words.join(' '))
  }
})

t.test('a log that is damaged below what was flushed', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const node = await runNode(t, directory)
  const { channel, client } = await openChannel(t, node.port)
  for (let i = 0; i < 3; i++)
    await channel.write([{ op: 'put', storage: 1, key: `key ${i}`, value: Buffer.from('v') }], { level: 'stored' })
  await client.close()
  node.command.kill('SIGTERM')
  await node.command.ended
  const file = join(directory, 'channels/00/0000000000000000.wal')
  const bytes = readFileSync(file)
  const at = bytes.indexOf('key 0')
  bytes[at] = 0x4b
  writeFileSync(file, bytes)
  const ended = await run(t, ['run', directory, '--json', '--port', '0'])
  t.equal(ended.code, 4)
  t.match(lastObject(ended), { ok: false, error: { code: 'LOG_DAMAGED', where: { file, channel: 0 } } })
  t.match(ended.stderr, `offset ${at - 72 - 17}`)
  t.equal(refusal(ended), 'LOG_DAMAGED')
  t.same(readFileSync(file), bytes, 'nothing was changed')
})

t.test('a node that was made master and has not received what it knows of', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  newMaster(directory)
  const disk = new NodeDisk()
  const manifest = readManifest(disk, directory)
  const term = { number: termNumber(7n), nodeId: nodeId('0b9d1e2f-3a4b-4c5d-8e6f-000000000002'), tag: 77 }
  const adopted = { term, firstEpoch: epoch(4n), baseEpoch: epoch(3n), starts: [byteOffset(826)] }
  writeManifest(disk, directory, { ...manifest, history: [adopted], fence: term })
  const before = readFileSync(join(directory, 'manifest'))
  for (const attempt of [1, 2]) {
    const ended = await runHere(['run', directory, '--json', '--port', '0'])
    t.equal(ended.code, 4)
    t.match(lastObject(ended), { ok: false, error: { code: 'LOG_INCOMPLETE', where: { channel: 0, offset: 0 } } })
    t.match(ended.stderr, /expected at least 826, where term 7 began/)
    t.equal(refusal(ended), 'LOG_INCOMPLETE')
    t.same(readFileSync(join(directory, 'manifest')), before, `its fence has not moved, attempt ${attempt}`)
  }
})
