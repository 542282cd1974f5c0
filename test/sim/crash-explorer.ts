/**
 * Runs something once on a simulated disk and, before each of its operations and after the last, looks at what a crash
 * at that moment may leave: each selected outcome of a power loss, and the end of the process alone.
 *
 * A crash in the middle of an operation needs no case of its own: what it may leave is among what a crash right before
 * or right after it may leave, since an unflushed write may survive in any part.
 */
import { InvariantError } from '../../protocol/assert.ts'
import { asError } from '../../protocol/errors.ts'
import { type SelectionOptions, survivors } from './crash-choices.ts'
import type { SimDisk } from './sim-disk.ts'
import type { SimStep } from './sim-handle.ts'

export interface CrashPoint {
  /** The disk to restart on. The check may do with it what it likes. */
  readonly disk: SimDisk
  /** Operation before which it happened; undefined after the last. */
  readonly step: SimStep | undefined
  readonly kind: 'power loss' | 'process killed'
  readonly lost: readonly string[]
}

export interface ExploreOptions {
  /** Left as it is: the run has a copy. */
  readonly disk: SimDisk
  readonly run: (disk: SimDisk) => void
  /** Throws if the state may not be. Called in the middle of the run: it sees what the run has promised by then. */
  readonly check: (point: CrashPoint) => void
  readonly selection?: SelectionOptions
}

/** @returns how much was looked at: a test asserts that it was not nothing. */
export function exploreCrashes(options: ExploreOptions): { moments: number; points: number } {
  const disk = options.disk.fork()
  let moments = 0
  let points = 0
  let failure: InvariantError | undefined
  const check = (point: CrashPoint): void => {
    points += 1
    try {
      options.check(point)
    } catch (thrown) {
      failure = checkFailed(point, asError(thrown))
      throw failure
    }
  }
  // The first operation is always a moment: the state before the run is one too.
  let seen = -1
  const look = (step: SimStep | undefined): void => {
    if (disk.changes === seen || failure !== undefined) return
    seen = disk.changes
    moments += 1
    for (const survivor of survivors(disk, { seed: moments, ...options.selection })) {
      check({ disk: survivor.disk, step, kind: 'power loss', lost: survivor.lost })
    }
    check({ disk: disk.killProcess(), step, kind: 'process killed', lost: [] })
  }
  disk.onStep = look
  try {
    options.run(disk)
    look(undefined)
  } finally {
    disk.onStep = undefined
    // The code under test may have taken the failure for one of its own disk and gone on.
    // biome-ignore lint/correctness/noUnsafeFinally: the first failure explains whatever came after it
    if (failure !== undefined) throw failure
  }
  return { moments, points }
}

/** A state that may not be was found: with the operation and with what was lost. */
function checkFailed(point: CrashPoint, error: Error): InvariantError {
  const when = point.step === undefined ? 'after the last operation' : `before operation ${point.step.index}`
  return new InvariantError(`${point.kind} ${when}: ${error.message}`, {
    step: point.step,
    lost: point.lost,
    stack: error.stack,
  })
}
