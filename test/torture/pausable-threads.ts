/**
 * Loaded into a node before its program (`node --import`), so that a test can make one channel thread of it stand still
 * while the others go on. Signals stop whole processes only, and a hook in the shipped program is not wanted.
 *
 * Orders come from the test over the process's message channel. A thread stands still either between two turns of its
 * event loop, or at its next fdatasync: before it, where frames are written and sent but not durable, or behind it, where
 * they are durable and nobody was told. Each pause is reported when it is over. Nothing here keeps a thread or the process
 * alive, and nothing is written to its output.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { BroadcastChannel, getEnvironmentData, isMainThread, setEnvironmentData, workerData } from 'node:worker_threads'
import { CHANNEL_COUNT_LIMIT } from '../../protocol/limits.ts'

export type PausePlace = 'between turns' | 'before fdatasync' | 'behind fdatasync'

/** From the test; it comes back, as it was, when the pause is over. */
export interface ThreadPause {
  readonly channel: number
  readonly place: PausePlace
  readonly ms: number
}

const NAME = 'travertine-torture'
/** Between threads: the same, and which way it goes. */
interface Passed extends ThreadPause {
  readonly isOver: boolean
}

/** Per channel and place at a flush: milliseconds to stand still, 0 for none. */
const PLACES: readonly PausePlace[] = ['before fdatasync', 'behind fdatasync']
const slotOf = (channel: number, place: PausePlace): number => channel * PLACES.length + PLACES.indexOf(place)

const bell = new BroadcastChannel(NAME)
bell.unref()
if (isMainThread) takeOrders()
else if (isChannelStart(workerData)) standStillWhenTold(workerData.start.channel)

function takeOrders(): void {
  const orders = new Int32Array(
    new SharedArrayBuffer(CHANNEL_COUNT_LIMIT * PLACES.length * Int32Array.BYTES_PER_ELEMENT),
  )
  setEnvironmentData(NAME, orders)
  onPassed((pause) => {
    if (pause.isOver) process.send?.(pause)
  })
  process.on('message', (message) => {
    const pause = message as ThreadPause // only torture-node.ts sends
    if (pause.place === 'between turns') bell.postMessage({ ...pause, isOver: false } satisfies Passed)
    else Atomics.store(orders, slotOf(pause.channel, pause.place), pause.ms)
  })
  process.channel?.unref()
}

function standStillWhenTold(channel: number): void {
  const orders = getEnvironmentData(NAME) as Int32Array // set above, before any worker is there
  const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const standStill = (place: PausePlace, ms: number): void => {
    Atomics.wait(never, 0, 0, ms)
    bell.postMessage({ channel, place, ms, isOver: true } satisfies Passed)
  }
  onPassed((pause) => {
    if (!pause.isOver && pause.channel === channel) standStill(pause.place, pause.ms)
  })
  const standStillAt = (place: PausePlace): void => {
    const ms = Atomics.exchange(orders, slotOf(channel, place), 0)
    if (ms > 0) standStill(place, ms)
  }
  const { fdatasyncSync } = fs
  fs.fdatasyncSync = (fd) => {
    standStillAt('before fdatasync')
    fdatasyncSync(fd)
    standStillAt('behind fdatasync')
  }
  syncBuiltinESMExports()
}

function onPassed(take: (pause: Passed) => void): void {
  bell.onmessage = (event) => {
    const { data } = event as { readonly data: Passed } // nobody else knows the name
    take(data)
  }
}

/** The job pool has workers too. */
function isChannelStart(data: unknown): data is { readonly start: { readonly channel: number } } {
  return typeof data === 'object' && data !== null && 'start' in data
}
