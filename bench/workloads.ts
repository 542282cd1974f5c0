/**
 * What is measured, and what is to be reached (DESIGN 11). Every writer is a closed loop: it sends a session, waits for
 * PROPAGATED, sends the next. Writer w uses channel w mod channels.
 */
import { PUT_OVERHEAD_BYTES } from '../protocol/entry.ts'
import { FRAME_HEADER_BYTES } from '../protocol/frame.ts'

export const KEY_BYTES = 16
export const VALUE_BYTES = 100

export type RatioName = 'p50' | 'commits' | 'entries'

export interface Workload {
  readonly name: WorkloadName
  /** Sessions in flight. */
  readonly writers: number
  readonly entriesPerSession: number
  /** Share of the byte limit of a run that a round gets, relative to the other workloads. */
  readonly bytesWeight: number
  /** What Travertine must reach on one channel, as a ratio to the floor. */
  readonly target: { readonly ratio: RatioName; readonly atMost?: number; readonly atLeast?: number }
}

export type WorkloadName = 'one' | 'many' | 'bulk'

/** In the order of the report. */
export const WORKLOADS: readonly Workload[] = [
  { name: 'one', writers: 1, entriesPerSession: 1, bytesWeight: 1, target: { ratio: 'p50', atMost: 1.2 } },
  { name: 'many', writers: 64, entriesPerSession: 1, bytesWeight: 4, target: { ratio: 'commits', atLeast: 0.75 } },
  { name: 'bulk', writers: 8, entriesPerSession: 1000, bytesWeight: 15, target: { ratio: 'entries', atLeast: 0.7 } },
]

/** Bytes of one session's frame, as sent by the client and as it lies on both disks. */
export function sessionBytes({ entriesPerSession }: Pick<Workload, 'entriesPerSession'>): number {
  return FRAME_HEADER_BYTES + entriesPerSession * (PUT_OVERHEAD_BYTES + KEY_BYTES + VALUE_BYTES)
}
