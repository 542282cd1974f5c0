/**
 * A master that wakes up with an older disk: what a client was told STORED, and nobody holds any more, it hears to be lost.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ClientError, connect, type LostSessions } from '../../client/client.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { loaded } from './load-target.ts'
import { newMaster, runNode } from './node-pair.ts'
import { freePorts } from './travertine.ts'

t.test('sessions that were STORED on a disk that is rolled back are told lost, and the channel goes on', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  const saved = `${directory}.saved`
  const port = await freePorts(3)
  newMaster(directory, [`127.0.0.1:${port + 2}`]) // a replica that never comes: nothing is PROPAGATED
  const run = () => runNode(t, directory, ['--port', `${port}`])
  let master = await run()
  const kill = async (): Promise<void> => {
    master.command.kill('SIGKILL')
    await master.command.ended
  }
  const told: LostSessions[] = []
  const client = await connect({ address: `127.0.0.1:${port}`, onLost: (lost) => void told.push(lost) })
  t.teardown(() => client.close({ signal: AbortSignal.abort() }))
  const channel = await client.openChannel()
  const write = (key: string) => channel.beginSession().put(1n, key, Buffer.from('value')).end()

  const kept = [1, 2, 3].map((i) => write(`kept ${i}`))
  await Promise.all(kept.map(({ stored }) => stored))
  master.command.kill('SIGSTOP') // what a copy holds is what a crash might have left
  cpSync(directory, saved, { recursive: true })
  master.command.kill('SIGCONT')
  const lost = [1, 2, 3].map((i) => write(`lost ${i}`))
  const commits = await Promise.all(lost.map(({ stored }) => stored))
  const waiting = lost[0]!.propagated.then(
    () => undefined,
    (error: ClientError) => error,
  )
  await kill()
  rmSync(directory, { recursive: true })
  cpSync(saved, directory, { recursive: true })
  master = await run()

  const next = await write('next').stored
  t.equal(next.sequence, 7, 'numbers are never used again')
  t.match(
    await waiting,
    { code: 'SESSION_LOST', outcome: 'lost', stored: commits[0] },
    'who waits for PROPAGATED hears it',
  )
  await t.rejects(lost[2]!.propagated, { code: 'SESSION_LOST', outcome: 'lost' }, 'and so does who asks later')
  t.same(told, [{ channel: 0, from: 4, to: 6 }])
  t.equal(channel.lostSessions, 3)
  const undecided = await Promise.race([kept[0]!.propagated.catch(() => 'failed'), Promise.resolve('waits')])
  t.equal(undecided, 'waits', 'what is in the log still waits for the replica')
  await kill()
  t.same(
    loaded(directory).map(([key]) => key),
    ['kept 1', 'kept 2', 'kept 3', 'next'],
  )
})
