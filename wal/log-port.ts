/**
 * What stands between the step machines of the board and a channel's log: types only, no code.
 *
 * The machines (board-machine.ts) decide when; the log (channel-log.ts, or the model in the interleaving test) does it.
 */

/** What the machines ask of the channel's log. Implemented by channel-log.ts, and by the model in the test. */
export interface LogPort {
  hasQueue(): boolean
  /** Stamps queued sessions with `layer` and appends them to the unwritten bytes. */
  appendQueue(layer: bigint): void
  appendSeal(layer: bigint, participants: bigint, stored: bigint): void
  /** Hands the unwritten bytes to the connected replicas. */
  sendUnwritten(): void
  /** Writes the unwritten bytes and makes them durable. Throws when it cannot: the channel is then poisoned. */
  writeAndSync(): void
  /** Are there sessions whose writers still wait for STORED or PROPAGATED, or a layer to seal? */
  hasUnanswered(): boolean
  answer(stored: bigint, propagated: bigint): void
  /** Lets `channel`, which may be the own one, recompute soon, and flush if it has a layer announced. */
  wake(channel: number): void
  /** First layer whose seal ends beyond `position`; undefined when there is none. May be lower than the truth. */
  firstSealBeyond(position: number): bigint | undefined
}

/** One operation under way. */
export interface StepMachine {
  /** At most one atomic access, or one call of the port. True: the operation is complete. */
  step(): boolean
}

/** An operation on the board with what follows it. */
export interface Operation {
  begin(): StepMachine
  done(): void
  /** A step has thrown; there are no further ones. */
  failed(thrown: unknown): void
}

/**
 * Carries out the operations of one channel, one after the other in the order of the calls. Production runs each to its
 * end at once (board-machine.ts); the simulator lets other channels go on between any two steps, and keeps whatever else
 * happens to this channel waiting until it is through.
 */
export type RunOperation = (operation: Operation) => void
