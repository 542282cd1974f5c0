/**
 * A producer as its master knows it: what the log says of it (producer-table.ts), how far its sessions are answered, and
 * the connection that hears the answers, if there is one now.
 *
 * It outlives connections and goes with its entry in the table, so what came true while nobody listened is told to the
 * next connection (REP-66). Watermarks: propagated <= stored <= last.
 */
import type { TravertineError } from '../protocol/errors.ts'
import type { Origin } from './channel-log.ts'
import { ProducerEntry, type ProducerLimits, ProducerTable, type ProducerTableState } from './producer-table.ts'

/** One log connection of a client. */
export interface ProducerLink {
  stored(epoch: number, lastSequence: number): void
  propagated(epoch: number, lastSequence: number): void
  rejected(sequence: number, error: TravertineError): void
  /** Another connection of the same producer takes its place. */
  close(): void
}

type Note = (producer: Producer, sequence: number, epoch: number) => void

export class Producer extends ProducerEntry implements Origin {
  /** Who hears answers. */
  link: ProducerLink | undefined
  /** Sessions accepted, and neither stamped nor rejected yet. */
  queued = 0
  storedSequence = 0
  storedEpoch = 0
  propagatedSequence = 0
  propagatedEpoch = 0
  readonly #note: Note

  constructor(id: bigint, note: Note) {
    super(id)
    this.#note = note
  }

  get isGone(): boolean {
    return this.link === undefined
  }

  stamped(sequence: number, epoch: number): void {
    this.queued--
    this.#note(this, sequence, epoch)
  }

  /** Only for sessions that were queued; what a connection refuses at once it says itself. */
  rejected(sequence: number, error: TravertineError): void {
    this.queued--
    this.link?.rejected(sequence, error)
  }

  stored(epoch: bigint, lastSequence: number): void {
    if (lastSequence <= this.storedSequence) return
    this.storedSequence = lastSequence
    this.storedEpoch = Number(epoch)
    this.link?.stored(this.storedEpoch, lastSequence)
  }

  propagated(epoch: bigint, lastSequence: number): void {
    if (lastSequence <= this.propagatedSequence) return
    this.propagatedSequence = lastSequence
    this.propagatedEpoch = Number(epoch)
    this.link?.propagated(this.propagatedEpoch, lastSequence)
  }

  /** Tells a connection that has just been opened what is known already. */
  greet(link: ProducerLink): void {
    this.link = link
    if (this.storedSequence > 0) link.stored(this.storedEpoch, this.storedSequence)
    if (this.propagatedSequence > 0) link.propagated(this.propagatedEpoch, this.propagatedSequence)
  }
}

/** The table of a channel at the start of a mastership, at whose cut everything is STORED. */
export function masterTable(
  term: bigint,
  state?: ProducerTableState,
  limits?: ProducerLimits,
): ProducerTable<Producer> {
  const termNumber = Number(term)
  const note: Note = (producer, sequence, epoch) => table.note(producer, sequence, epoch, termNumber)
  const table: ProducerTable<Producer> = new ProducerTable((id) => new Producer(id, note), state, limits)
  for (const producer of table.values()) {
    producer.storedSequence = producer.last
    producer.storedEpoch = producer.lastEpoch
  }
  return table
}
