/**
 * `npm run bench:catch-up -- --bare`: what a catch-up costs writers on this machine, whoever does it. The writers are the same;
 * their master is the floor's (floor-master.ts), which appends and flushes, and beside it two bare processes copy a file over
 * a socket (bare-copy.ts). Held against this, the figures of two nodes tell what is theirs and what is the machine's.
 *
 * Nothing is replicated live here: the writers are alone before and after.
 */
import { join } from 'node:path'
import { MIB } from '../protocol/limits.ts'
import type { CopyOrder } from './bare-copy.ts'
import type { CatchUpFigures } from './catch-up-report.ts'
import { endChild, nextMessage, startChild } from './child-process.ts'
import { measureDisk } from './disk-speed.ts'
import type { FloorMasterOrder } from './floor-master.ts'
import { cpuMeter } from './process-usage.ts'
import { WriterWatch } from './writer-watch.ts'

const FLOOR_MASTER = new URL('./floor-master.js', import.meta.url)
const COPY = new URL('./bare-copy.js', import.meta.url)
/** Of the floor's master, which goes round in it. */
const FILE_BYTES = 64 * MIB

export interface BareOrder {
  readonly place: string
  readonly replicaPlace: string
  readonly bytes: number
  readonly diskBytes: number
  readonly writers: number
  readonly seconds: number
  /** No part takes longer. */
  readonly msMax: number
  readonly say: (text: string) => void
}

export async function measureBare(order: BareOrder): Promise<CatchUpFigures> {
  const { place, replicaPlace, bytes, diskBytes, writers, seconds, msMax, say } = order
  const diskBefore = measureDisk(replicaPlace, diskBytes)
  say('writing the file to be copied')
  const copier = (copy: CopyOrder): ReturnType<typeof startChild> => startChild(COPY, [JSON.stringify(copy)], undefined)
  const sender = copier({ role: 'sender', path: join(place, 'source'), bytes })
  await nextMessage(sender, 'the sender', msMax)
  const floorOrder: FloorMasterOrder = { directory: place, replicaPorts: [[]], fileBytes: FILE_BYTES }
  const floor = startChild(FLOOR_MASTER, [JSON.stringify(floorOrder)], undefined)
  const { port } = await nextMessage(floor, 'the floor', msMax)
  const writer = await WriterWatch.start({ address: `127.0.0.1:${port}`, loadBytes: 0, writers }, msMax)
  say('writers alone')
  const before = await writer.stretch(seconds)

  say('the copy begins')
  const receiver = copier({ role: 'receiver', path: join(replicaPlace, 'copy'), bytes })
  const listening = await nextMessage(receiver, 'the receiver', msMax)
  await writer.figures()
  const used = { master: cpuMeter(sender), replica: cpuMeter(receiver) }
  const beginMs = performance.now()
  sender.send(listening)
  // both, since a sender that fails says so by its end
  await Promise.all([nextMessage(receiver, 'the receiver', msMax), nextMessage(sender, 'the sender', msMax)])
  const copySeconds = (performance.now() - beginMs) / 1000
  const caughtUp = { bytes, seconds: copySeconds, cpuSeconds: { master: used.master(), replica: used.replica() } }
  const during = await writer.figures()
  say('writers alone again')
  const after = await writer.stretch(seconds)
  await writer.end()
  for (const child of [floor, sender, receiver]) await endChild(child)
  const disks = [diskBefore, measureDisk(replicaPlace, diskBytes)]
  return { disks, caughtUp, away: [before, after], during, level: null }
}
