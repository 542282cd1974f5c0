/** The local pair, stopped at the worst moment of its start. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LocalPair } from '../../tools/local-pair.ts'
import { temporaryDirectory } from '../temp-directory.ts'

/** Longer than a node needs from its lock to its ready line. If it is too short, the test just sees less. */
const REPLICA_START_MS = 1_000

/** This process does nothing meanwhile: it does not read what its children say. */
const blockFor = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

t.test('stopped after the replica has said that it listens, and before anybody has heard it', async (t) => {
  const directory = join(temporaryDirectory(t), 'pair')
  const said: string[] = []
  const pair = new LocalPair({ directory, channels: 1, port: 0, say: (text) => said.push(text) })
  const started = pair.start().then(
    () => undefined,
    (error: unknown) => error,
  )
  while (!existsSync(join(directory, 'replica/lock'))) blockFor(10)
  blockFor(REPLICA_START_MS)
  await pair.stop()
  t.ok((await started) instanceof Error, 'the start has failed')
  t.notMatch(said.join('\n'), 'master')
  t.notOk(existsSync(join(directory, 'master')), 'no master was made any more')
})
