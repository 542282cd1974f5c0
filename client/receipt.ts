/**
 * The receipt of a session: two promises, made only when somebody reads them.
 *
 * A receipt moves one way: sent, stored, propagated, or from any of these to failed. The first failure is final: an
 * acknowledgement that comes after it changes nothing. Promises read before, between or after these steps say the same.
 *
 * A rejection of `stored` or `propagated` never becomes an unhandledRejection: most applications look at one of the
 * two, and both fail together. The promise of `write()` has one reader and stays loud.
 */
import { assert } from '../protocol/assert.ts'
import type { Epoch, Term } from '../protocol/ids.ts'
import { ClientError, type Failure, sessionError } from './client-error.ts'
import type { Commit, Level } from './commit.ts'
import { NO_REPLICA } from './failures.ts'
import type { Opening } from './opening.ts'
import type { CallLimits } from './options.ts'

export interface Receipt {
  /** Number of the session on its channel object; 0 where it was never sent. */
  readonly sequence: number
  /** Durable on the master. */
  readonly stored: Promise<Commit>
  /** Durable on the replicas that the policy asks for, too. NO_REPLICA_IN_SET where it asks for none. */
  readonly propagated: Promise<Commit>
}

/** What one STORED says of the sessions that it is for. */
export interface StoredAt {
  readonly term: Term
  readonly epoch: Epoch
  /** During which it came. */
  readonly opening: Opening
}

/** What a receipt needs from the bookkeeping that made it. */
export interface ReceiptOwner {
  readonly channel: number
  /** Replicas that PROPAGATED asks for now. */
  readonly replicas: number
  /** Called once somebody waits for PROPAGATED of a session that was STORED during `opening`. */
  joinPropagated(receipt: PendingReceipt, opening: Opening): void
}

class Deferred {
  readonly promise: Promise<Commit>
  resolve!: (commit: Commit) => void
  reject!: (error: ClientError) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

export class PendingReceipt implements Receipt {
  readonly sequence: number
  /** Of its frame: what it takes from the window until it is answered. */
  readonly bytes: number
  readonly limits: CallLimits
  /** Counted by its owner as "somebody may wait for it". */
  live = false
  /** A node that is shutting down has refused it, and it was not sent again. Its owner's. */
  refusal: Failure | undefined
  /** Nothing more is to be heard of it from the node, and it is not sent again. Its owner's. */
  isAnswered = false
  readonly #owner: ReceiptOwner
  readonly #loud: boolean
  #storedAt: StoredAt | undefined
  #isPropagated = false
  #failure: Failure | undefined
  #stored: Deferred | undefined
  #propagated: Deferred | undefined

  constructor(owner: ReceiptOwner, of: { sequence: number; bytes: number; limits: CallLimits; loud: boolean }) {
    this.#owner = owner
    this.sequence = of.sequence
    this.bytes = of.bytes
    this.limits = of.limits
    this.#loud = of.loud
  }

  get stored(): Promise<Commit> {
    if (this.#stored === undefined) {
      this.#stored = new Deferred()
      if (this.#storedAt !== undefined) this.#stored.resolve(this.#commit(this.#storedAt))
      else if (this.#failure !== undefined) this.#reject(this.#stored, this.#failure)
    }
    return this.#stored.promise
  }

  get propagated(): Promise<Commit> {
    if (this.#propagated === undefined) {
      this.#propagated = new Deferred()
      if (this.#isPropagated && this.#storedAt !== undefined) this.#propagated.resolve(this.#commit(this.#storedAt))
      else if (this.#failure !== undefined) this.#reject(this.#propagated, this.#failure)
      else if (this.#owner.replicas === 0) this.#reject(this.#propagated, NO_REPLICA)
      else if (this.#storedAt !== undefined) this.#owner.joinPropagated(this, this.#storedAt.opening)
    }
    return this.#propagated.promise
  }

  promise(level: Level): Promise<Commit> {
    return level === 'stored' ? this.stored : this.propagated
  }

  get isFailed(): boolean {
    return this.#failure !== undefined
  }

  /** Somebody has read `propagated`, and it can still be reached. */
  get awaitsPropagated(): boolean {
    return (
      this.#propagated !== undefined && !this.#isPropagated && this.#failure === undefined && this.#owner.replicas > 0
    )
  }

  reachStored(at: StoredAt): void {
    if (this.#failure !== undefined) return
    assert(this.#storedAt === undefined, 'a session is stored once', { sequence: this.sequence })
    this.#storedAt = at
    this.#stored?.resolve(this.#commit(at))
    // the policy may have been another one when somebody began to wait
    if (this.#propagated !== undefined && this.#owner.replicas === 0) this.#reject(this.#propagated, NO_REPLICA)
  }

  reachPropagated(): void {
    if (this.#failure !== undefined) return
    assert(this.#storedAt !== undefined, 'stored comes before propagated', { sequence: this.sequence })
    this.#isPropagated = true
    this.#propagated?.resolve(this.#commit(this.#storedAt))
  }

  /** Ends what was not reached yet. The first failure stays. */
  fail(failure: Failure): void {
    if (this.#failure !== undefined || this.#isPropagated) return
    this.#failure = failure
    if (this.#stored !== undefined && this.#storedAt === undefined) this.#reject(this.#stored, failure)
    if (this.#propagated !== undefined) this.#reject(this.#propagated, failure)
  }

  /** Does nothing to a promise that has ended before. */
  #reject(deferred: Deferred, failure: Failure): void {
    if (!this.#loud) deferred.promise.catch(() => {})
    const stored = this.#storedAt === undefined ? undefined : this.#commit(this.#storedAt)
    deferred.reject(sessionError(failure, { channel: this.#owner.channel, sequence: this.sequence, stored }))
  }

  #commit({ term, epoch }: StoredAt): Commit {
    return { term, epoch, sequence: this.sequence }
  }
}

/** The same condition, met by a call that names its level before anything is sent. */
export function refuseWithoutReplica(level: Level, replicas: number): void {
  if (level === 'stored' || replicas > 0) return
  throw new ClientError(NO_REPLICA.code, `Cannot write to the level propagated: ${NO_REPLICA.reason}`, 'not-applied', {
    hint: 'write to the level stored, or add a replica to the in-sync set',
  })
}
