/** REP-3: builds of neighbouring protocol levels work together; without a common level both ranges are named. */
import assert from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { subscribe } from '../../client/subscription.ts'
import { PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../../protocol/control-message.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster, newReplica } from './node-pair.ts'
import { MAIN, start } from './travertine.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

const CLUSTER = '00000000-0000-4000-8000-000000000001'
const put = { op: 'put', storage: 1, key: 'key', value: Buffer.from('value') } as const

/** This build once more, speaking the levels `min` to `max`. @returns its entry file */
function buildOf(directory: string, min: number, max: number): string {
  const root = join(dirname(MAIN), '..', '..')
  for (const room of readdirSync(join(root, 'dist')).filter((name) => name !== 'test' && name !== 'bench'))
    cpSync(join(root, 'dist', room), join(directory, 'dist', room), { recursive: true, force: true })
  cpSync(join(root, 'package.json'), join(directory, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const file = join(directory, 'dist/protocol/control-message.js')
  const text = readFileSync(file, 'utf8')
  const patched = text
    .replace(/PROTOCOL_VERSION_MIN = \d+;/, `PROTOCOL_VERSION_MIN = ${min};`)
    .replace(/PROTOCOL_VERSION_MAX = \d+;/, `PROTOCOL_VERSION_MAX = ${max};`)
  writeFileSync(file, patched)
  if (max < 3) forgetVia(directory)
  return join(directory, 'dist/tools/main.js')
}

/** A build below level 3 does not know through whom a log may come, and says nothing of it. */
function forgetVia(directory: string): void {
  for (const [name, pattern] of [
    ['protocol/control-message', /^ *via: 'uuid\[\]\?',$/m],
    ['daemon/core/replication-session', /^ *via: source\.via,$/m],
  ] as const) {
    const file = join(directory, `dist/${name}.js`)
    const text = readFileSync(file, 'utf8')
    assert.match(text, pattern)
    writeFileSync(file, text.replace(pattern, ''))
  }
}

t.test('REP-3: a newer master', async (t) => {
  const { port } = await pair(t, [1, 3], [1, 2])
  const client = await connect({ address: `127.0.0.1:${port}` })
  const channel = await client.openChannel()
  t.ok(await channel.write([put], { level: 'propagated' }), 'PROPAGATED over two builds')
  await client.close()
})

t.test('REP-3: no common level is refused, and the master says so', async (t) => {
  const { command } = await pair(t, [1, 1], [2, 3])
  await command.has('stderr', /PROTOCOL_VERSION_UNSUPPORTED.*found versions 1 to 1, expected 2 to 3/)
  t.pass('with both ranges')
})

t.test('REP-3 REP-80: a newer replica, which feeds another one of the build of its master', async (t) => {
  const directory = temporaryDirectory(t)
  const old = buildOf(join(directory, 'old-build'), 1, 2)
  t.same([PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX], [1, 3], 'this build is the newer one')
  newReplica(join(directory, 'leaf'), CLUSTER)
  const leaf = await node(t, join(directory, 'leaf'), old)
  newReplica(join(directory, 'middle'), CLUSTER)
  const middle = await node(t, join(directory, 'middle'), MAIN, ['--feed', `127.0.0.1:${leaf.port}`])
  newMaster(join(directory, 'master'), [`127.0.0.1:${middle.port}`], CLUSTER)
  const { port } = await node(t, join(directory, 'master'), old)
  const client = await connect({ address: `127.0.0.1:${port}` })
  const channel = await client.openChannel()
  const { epoch } = await channel.write([put], { level: 'propagated' }) // over two builds
  await client.close()
  const reader = await subscribe({ address: `127.0.0.1:${leaf.port}`, fromEpoch: epoch })
  for await (const shown of reader) {
    t.same(
      [...shown.entries()].map(({ op }) => op),
      ['put'],
      'shown by the last one of the row',
    )
    break
  }
  await reader.close()
})

async function pair(t: Teardown, master: readonly [number, number], replica: readonly [number, number]) {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'r'), CLUSTER)
  const member = await node(t, join(directory, 'r'), buildOf(join(directory, 'replica-build'), ...replica))
  newMaster(join(directory, 'm'), [`127.0.0.1:${member.port}`], CLUSTER)
  return node(t, join(directory, 'm'), buildOf(join(directory, 'master-build'), ...master))
}

async function node(t: Teardown, directory: string, main: string, words: readonly string[] = []) {
  const command = start(t, ['run', directory, '--port', '0', '--no-admin', '--json', ...words], { main })
  const [line] = await command.has('stdout', /^.+\n/)
  const { port } = JSON.parse(line) as { port: number } // of our own command
  return { command, port }
}
