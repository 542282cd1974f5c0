/** Whom the simulator's operator may make the master: logs made by hand that it must turn down, and those they are made of. */
import t from 'tap'
import { writeManifest } from '../../wal/manifest.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import {
  DIRECTORY,
  emptyLog,
  frames,
  manifestOf,
  mastership,
  OTHER,
  overwrite,
  seal,
  session,
} from '../wal/hand-made-log.ts'
import { mayBecomeMaster } from './candidate.ts'
import { ClientHistory } from './history.ts'
import { folderOf } from './log-view.ts'

const first = mastership(1, [0, 0], 0n, OTHER)
const log = frames([session(1n), seal(1n), session(2n), seal(2n)], first)
const own = manifestOf(2, [first], 'replica')
const adopted = manifestOf(2, [first, mastership(2, [log.bytes.length, 0], 2n, OTHER)], 'replica')

/** A replica that holds the log up to `end`; flushed, or only written. */
function replica(end: number, manifest = adopted, isFlushed = true): SimDisk {
  const disk = emptyLog(manifest)
  if (isFlushed) overwrite(disk, 0, 0, log.bytes.subarray(0, end))
  else {
    const file = disk.open(`${folderOf(0)}/0000000000000000.wal`, 'write')
    file.write([log.bytes.subarray(0, end)], 0)
    file.close()
  }
  return disk
}

t.test('its log reaches to where the newest mastership that it knows has begun', (t) => {
  const [, epoch1, half, end] = log.ends as [number, number, number, number] // four frames
  t.ok(mayBecomeMaster(replica(end), []))
  t.notOk(mayBecomeMaster(replica(half), []), 'a seal is missing')
  t.notOk(mayBecomeMaster(replica(epoch1), []), 'an epoch is missing')
  t.notOk(mayBecomeMaster(replica(0), []), 'nothing has come yet')
  t.ok(mayBecomeMaster(replica(epoch1, own), []), 'without that history it may')
  t.ok(mayBecomeMaster(emptyLog(manifestOf(2, [], 'replica')), []), 'a new cluster')
  t.end()
})

t.test('what the power may take does not count', (t) => {
  const running = replica(log.bytes.length, adopted, false)
  t.notOk(mayBecomeMaster(running.killProcess(), []), 'it is seen, and may be gone before the node has started')
  t.notOk(mayBecomeMaster(running.crash('none'), []), 'seed 8036: it is gone')
  t.ok(mayBecomeMaster(running.crash('all'), []))
  t.ok(mayBecomeMaster(replica(log.bytes.length, own, false), []), 'beyond the begin of the newest mastership it may')
  t.end()
})

t.test('it holds what was PROPAGATED', (t) => {
  const history = new ClientHistory()
  const id = log.bytes.readDoubleLE(72 + 17) // header, and up to the key of its put
  const held = history.sent({ id, client: 'c', channel: 0, sentAt: 1 })
  const missing = history.sent({ id: 7, client: 'c', channel: 0, sentAt: 2 })
  const may = (disk: SimDisk): boolean => mayBecomeMaster(disk, history.sessions.values())
  t.ok(may(replica(0, own)), 'nothing was promised')
  held.propagated = { term: '1', epoch: 1 }
  t.ok(may(replica(log.bytes.length)))
  t.notOk(may(replica(0, own)))
  missing.propagated = { term: '1', epoch: 1 }
  t.notOk(may(replica(log.bytes.length)))
  t.end()
})

t.test('the manifest is read anew, too', (t) => {
  const disk = replica(log.ends[1]!, own)
  t.ok(mayBecomeMaster(disk, []))
  writeManifest(disk, DIRECTORY, adopted)
  t.notOk(mayBecomeMaster(disk, []))
  t.end()
})
