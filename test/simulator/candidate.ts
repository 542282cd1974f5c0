/**
 * Whom an operator may make the master, while it is down: by its files, and by what clients were told.
 *
 * Not one that lacks what was PROPAGATED; and not one whose log does not reach to where the newest mastership that it knows
 * has begun: the starts of a history ascend (WAL-40). A replica adopts a history first and receives it then; and what it
 * has received may go with its power.
 *
 * What counts below those starts is there for certain: the power may go once more before the node has started. And the files
 * are read anew.
 * The view that the judge keeps of a node goes on from what it has seen, and notices only at the next start what a power
 * loss has taken; by that one seed 8036 made a replica master that had lost what it had adopted a history for.
 *
 * Shares no code with wal/mastership.ts, which refuses such a node by itself (WAL-79): where the two differ, a run fails.
 */
import type { SimDisk } from '../sim/sim-disk.ts'
import type { Session } from './history.ts'
import { LogView } from './log-view.ts'

export function mayBecomeMaster(disk: SimDisk, sessions: Iterable<Session>): boolean {
  const view = new LogView(
    () => disk,
    () => undefined,
  )
  view.advance()
  return reachesItsHistory(view) && [...sessions].every(({ id, propagated }) => !propagated || view.sessions.has(id))
}

function reachesItsHistory(view: LogView): boolean {
  const starts = view.history.at(-1)?.starts ?? []
  return view.channels.every(({ frames }, channel) => {
    const start = starts[channel] ?? 0
    const below = frames.filter(({ end }) => end <= start)
    return (below.at(-1)?.end ?? 0) === start && below.every((frame) => view.isDurable(frame))
  })
}
