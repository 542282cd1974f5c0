/** `travertine load` while its master goes and comes back: every record once, none lost, exit code 0. */
import { join } from 'node:path'
import t from 'tap'
import { initNode } from '../../daemon/node.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { CLUSTER, SEGMENT_BYTES } from './forged-log.ts'
import { loaded } from './load-target.ts'
import { type Command, freePorts, lastObject, start, until } from './travertine.ts'

const LINES = 3_000

async function node(t: Teardown, directory: string, port: number): Promise<Command> {
  const command = start(t, ['run', directory, '--port', `${port}`, '--json'])
  await command.has('stdout', /^.+\n/)
  return command
}

t.test('killed, then stopped in good order, both under load', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  initNode({ directory, role: 'master', clusterId: CLUSTER, channels: 1, segmentBytes: SEGMENT_BYTES })
  const port = await freePorts(2)
  let master = await node(t, directory, port)
  const words = ['--format', 'lines', '--batch', '10', '--address', `127.0.0.1:${port}`, '--level', 'stored', '--json']
  const load = start(t, ['load', '-', ...words])
  let lines = 0
  const feed = (): void => {
    const text = Array.from({ length: LINES }, (_, i) => `record ${lines + i + 1}\n`).join('')
    lines += LINES
    load.writeStdin(text)
  }
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const before = lines
    feed()
    await until(() => loaded(directory).length > before)
    feed() // some of these come into the log now, some are on their way, and some wait for the next node
    master.kill(signal)
    await master.ended
    master = await node(t, directory, port)
  }
  feed()
  load.endStdin()
  const { code, stdout } = await load.ended
  t.equal(code, 0, stdout)
  t.match(lastObject({ stdout }), { ok: true, acknowledged: { records: lines }, lost: { records: 0 } })
  master.kill('SIGTERM')
  await master.ended
  const keys = loaded(directory).map(([key]) => Number(key))
  t.equal(keys.length, lines, 'each once')
  t.strictSame(
    [...keys].sort((a, b) => a - b),
    Array.from({ length: lines }, (_, i) => i + 1),
  )
})
