/** REP-3: builds of neighbouring protocol levels work together; without a common level both ranges are named. */
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
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
  return join(directory, 'dist/tools/main.js')
}

for (const [what, master, replica] of [
  ['a newer master', [1, 2], [1, 1]],
  ['a newer replica', [1, 1], [1, 2]],
] as const) {
  t.test(`REP-3: ${what}`, async (t) => {
    const { port } = await pair(t, master, replica)
    const client = await connect({ address: `127.0.0.1:${port}` })
    const channel = await client.openChannel()
    t.ok(await channel.write([put], { level: 'propagated' }), 'PROPAGATED over two builds')
    await client.close()
  })
}

t.test('REP-3: no common level is refused, and the master says so', async (t) => {
  const { command } = await pair(t, [1, 1], [2, 3])
  await command.has('stderr', /PROTOCOL_VERSION_UNSUPPORTED.*found versions 1 to 1, expected 2 to 3/)
  t.pass('with both ranges')
})

async function pair(t: Teardown, master: readonly [number, number], replica: readonly [number, number]) {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'r'), CLUSTER)
  const member = await node(t, join(directory, 'r'), buildOf(join(directory, 'replica-build'), ...replica))
  newMaster(join(directory, 'm'), [`127.0.0.1:${member.port}`], CLUSTER)
  return node(t, join(directory, 'm'), buildOf(join(directory, 'master-build'), ...master))
}

async function node(t: Teardown, directory: string, main: string) {
  const command = start(t, ['run', directory, '--port', '0', '--json'], { main })
  const [line] = await command.has('stdout', /^.+\n/)
  const { port } = JSON.parse(line) as { port: number } // of our own command
  return { command, port }
}
