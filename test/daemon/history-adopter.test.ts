/**
 * A replica adopts a history that cuts its log, and one operation of its disk fails: each of them once. Where it goes on
 * as it was, a power loss leaves what it goes by; where a power loss may leave either history, it has to stop, and what it
 * goes by after its next start no power loss takes away again.
 */
import t, { type Test } from 'tap'
import { HeldEpochs } from '../../daemon/held-epochs.ts'
import { HistoryAdopter } from '../../daemon/history-adopter.ts'
import type { JobRunner } from '../../daemon/io/job-pool.ts'
import { ManifestKeeper } from '../../daemon/manifest-keeper.ts'
import { openLog } from '../../daemon/open-log.ts'
import { jobsOn } from '../../daemon/threads/jobs.ts'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'
import type { Disk } from '../../wal/disk.ts'
import { type Manifest, readManifest } from '../../wal/manifest.ts'
import { survivors } from '../sim/crash-choices.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import type { SimStep } from '../sim/sim-handle.ts'
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

const OLD = mastership(4, [0, 0], 0n, OTHER)
const BEFORE = manifestOf(2, [OLD], 'replica')
const { bytes: BYTES, ends: ENDS } = frames([session(1n), seal(1n), session(2n), seal(2n)], OLD)
/** Cuts behind the first epoch. */
const NEW = mastership(5, [ENDS[1]!, 0], 1n, OTHER)

function diskBefore(): SimDisk {
  const disk = emptyLog(BEFORE)
  overwrite(disk, 0, 0, BYTES)
  return disk.crash('all')
}

function poolOn(disk: Disk): JobRunner {
  const runJob = jobsOn(disk)
  return {
    run: async (name, args) => {
      const answer = runJob(name, args)
      if ('error' in answer) throw fromWireError(answer.error)
      return answer.result
    },
  }
}

type Fate = 'follows' | 'refuses' | 'stops'

async function adopt(disk: SimDisk): Promise<{ fate: Fate; manifest: Manifest }> {
  const keeper = new ManifestKeeper({ pool: poolOn(disk), directory: DIRECTORY, manifest: BEFORE })
  const adopter: HistoryAdopter = new HistoryAdopter({
    keeper,
    held: new HeldEpochs({ whole: 0n, heldThrough: [0n, 0n], seals: [] }),
    threads: {
      start: async () => [],
      stop: async () => undefined,
      send: () => undefined,
      sendAll: () =>
        queueMicrotask(() => {
          for (const [channel, end] of [ENDS[3]!, 0].entries()) adopter.quiet(end, channel)
        }),
    },
    onCut: () => undefined,
  })
  try {
    const result = await adopter.adopt([OLD, NEW])
    return { fate: result instanceof TravertineError ? 'refuses' : 'follows', manifest: keeper.current }
  } catch (thrown) {
    if (!(thrown instanceof TravertineError)) throw thrown
    return { fate: 'stops', manifest: keeper.current }
  }
}

const termOf = ({ history }: Manifest): bigint | undefined => history.at(-1)?.term.number

function termsLeft(disk: SimDisk): (bigint | undefined)[] {
  return [...new Set([...survivors(disk)].map((s) => termOf(readManifest(s.disk, DIRECTORY))))].sort()
}

async function operations(): Promise<SimStep[]> {
  const disk = diskBefore()
  const steps: SimStep[] = []
  disk.onStep = (step) => steps.push(step)
  await adopt(disk)
  return steps
}

async function restartAndCheck(t: Test, disk: SimDisk, what: string): Promise<void> {
  const manifest = readManifest(disk, DIRECTORY)
  const world = { randomBytes: (bytes: number): Buffer => Buffer.alloc(bytes, 1) }
  const log = await openLog(poolOn(disk), world, { directory: DIRECTORY, manifest })
  t.equal(log.ends[0], termOf(log.manifest) === 5n ? ENDS[1] : ENDS[3], `${what}: the log ends where the history says`)
  t.same(termsLeft(disk), [termOf(log.manifest)], `${what}: what it goes by after a restart is durable`)
}

t.test('each operation fails once', async (t) => {
  const steps = await operations()
  const fates = new Map<Fate, string[]>()
  for (const [i, { kind }] of steps.entries()) {
    const nth = steps.slice(0, i + 1).filter((step) => step.kind === kind).length
    const disk = diskBefore()
    disk.fail({ kind, nth })
    const { fate, manifest } = await adopt(disk)
    const what = `${kind} ${nth} of the adoption`
    fates.set(fate, [...(fates.get(fate) ?? []), what])
    if (fate !== 'stops')
      t.same(termsLeft(disk), [termOf(manifest)], `${what}: it ${fate}, and a power loss changes nothing`)
    await restartAndCheck(t, disk.killProcess(), what)
  }
  t.ok(fates.get('refuses')!.length > 10)
  t.same(
    fates.get('stops'),
    ['rename 2 of the adoption', 'syncDirectory 3 of the adoption'],
    'the manifest, not divergent/',
  )
  t.equal(fates.get('follows'), undefined)
})

t.test('nothing fails', async (t) => {
  const disk = diskBefore()
  t.match(await adopt(disk), { fate: 'follows', manifest: { history: [OLD, NEW] } })
  t.same(termsLeft(disk), [5n])
  await restartAndCheck(t, disk.killProcess(), 'nothing fails')
})
